package chart

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	consoleconfig "github.com/keyward-dev/keyward/console/config"
)

// TestConsoleFile: the console reads the file that the chart writes, and the ClusterRole has the groups of the file and no others.
func TestConsoleFile(t *testing.T) {
	for feature, groups := range map[string][]string{"console-oidc": nil, "console-impersonate": {"oidc:team-a", "oidc:team-b"}} {
		rendered := renderFeature(t, feature)
		file, err := consoleconfig.Parse([]byte(rendered.one(t, "ConfigMap", "keyward-console-config").text("data", "console.yaml")))
		if err != nil {
			t.Fatalf("%s: %v", feature, err)
		}
		deployment := rendered.one(t, "Deployment", "keyward-console")
		if token := deployment.at("spec", "template", "spec", "automountServiceAccountToken"); token != (groups != nil) {
			t.Errorf("%s: its token: %v", feature, token)
		}
		if groups == nil {
			if file.OIDC.Impersonate != nil || file.OIDC.ClientSecretFile == "" || file.OIDC.CAFile == "" || len(file.OIDC.Scopes) != 3 {
				t.Errorf("%s: %+v", feature, file.OIDC)
			}
			continue
		}
		if !slices.Equal(file.OIDC.Impersonate.Allowed, groups) {
			t.Errorf("%s: %v", feature, file.OIDC.Impersonate.Allowed)
		}
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict([]byte(asYAML(t, rendered.one(t, "ClusterRole", "keyward-console-impersonate"))), &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if !slices.Equal(rule.Verbs, []string{"impersonate"}) || slices.Equal(rule.Resources, []string{"groups"}) && !slices.Equal(rule.ResourceNames, groups) {
				t.Errorf("%s: it may %v", feature, rule)
			}
		}
	}
}

// TestConsoleRights: the console has a right of its own only where it was asked for.
func TestConsoleRights(t *testing.T) {
	for feature, want := range map[string][]string{
		"console": nil, "console-oidc": nil, "console-exposure": nil,
		"console-impersonate": {"ClusterRole keyward-console-impersonate", "ClusterRoleBinding keyward-console-impersonate"},
		"console-replicas":    {"Role keyward-console-revocations", "RoleBinding keyward-console-revocations"},
	} {
		var got []string
		for _, kind := range []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} {
			for _, o := range renderFeature(t, feature).ofKind(kind) {
				if o.text("metadata", "labels", "app.kubernetes.io/component") == "console" {
					got = append(got, o.kind()+" "+o.name())
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", feature, got)
		}
	}
}

// TestConsoleReplicasAsKustomize: what several replicas share, and may write, is the same as in config/console/replicas.
func TestConsoleReplicasAsKustomize(t *testing.T) {
	kustomized, rendered := buildWith(t, "console", "replicas"), renderFeature(t, "console-replicas")
	for kind, name := range map[string]string{"Role": "keyward-console-revocations", "RoleBinding": "keyward-console-revocations",
		"ConfigMap": "keyward-console-revocations", "PodDisruptionBudget": "keyward-console"} {
		a, b := kustomized.one(t, kind, name), rendered.one(t, kind, name)
		delete(a, "metadata")
		delete(b, "metadata")
		if asYAML(t, a) != asYAML(t, b) {
			t.Errorf("%s: kustomize has\n%s\nand the chart\n%s", kind, asYAML(t, a), asYAML(t, b))
		}
	}
}

// buildWith builds a directory below config with components in it.
func buildWith(t *testing.T, dir string, components ...string) objects {
	t.Helper()
	own, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Abs(root + "/config")
	if err != nil {
		t.Fatal(err)
	}
	at, err := filepath.Rel(own, filepath.Join(config, dir))
	if err != nil {
		t.Fatal(err)
	}
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + at + "]\ncomponents:\n"
	for _, component := range components {
		text += "  - " + at + "/" + component + "\n"
	}
	if err := os.WriteFile(filepath.Join(own, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	to, err := filepath.Rel(config, own)
	if err != nil {
		t.Fatal(err)
	}
	return build(t, to)
}
