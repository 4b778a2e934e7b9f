package manifests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyward-dev/keyward/console/options"
)

// TestConsole: the console has no credential of its own and no right, its limits fit, its arguments are understood, and of its ports only that of the
// pages is open to everybody.
func TestConsole(t *testing.T) {
	b := build(t, "console")
	if len(b.deployments) != 1 || len(b.bindings)+len(b.clusterWide)+len(b.roles)+len(b.clusterRoles) != 0 {
		t.Fatalf("%d Deployments; bindings: %v %v", len(b.deployments), b.bindings, b.clusterWide)
	}
	d := &b.deployments[0]
	pod := d.Spec.Template.Spec
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("it has a token")
	}
	for _, volume := range pod.Volumes {
		if volume.Projected != nil {
			t.Errorf("volume %s may have a token", volume.Name)
		}
	}
	if d.Spec.Replicas == nil || *d.Spec.Replicas != 1 {
		t.Error("each replica knows only the sessions that were ended at it")
	}
	c := pod.Containers[0]
	if got, limit := goLimit(t, c.Env), c.Resources.Limits.Memory().Value(); got < limit*70/100 || got > limit-28<<20 {
		t.Errorf("GOMEMLIMIT is %d of %d", got, limit)
	}
	in := func(name string) string { return map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}[name] }
	args := slices.Clone(c.Args)
	for _, e := range c.Env { // as the kubelet does
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "metadata.namespace" {
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "$("+e.Name+")", "elsewhere")
			}
		}
	}
	if _, err := options.Parse(args, in, os.Stderr); err != nil {
		t.Error(err)
	}
	if !slices.Contains(args, "--manager-namespace=elsewhere") {
		t.Error("in another namespace it does not look for the Installation there")
	}
	for _, argument := range c.Args {
		_, path, _ := strings.Cut(argument, "=")
		if strings.HasPrefix(path, "/") && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix(path, m.MountPath) }) {
			t.Errorf("%s: nothing is mounted there", argument)
		}
	}
	for _, one := range []struct {
		from source
		port int32
		open bool
	}{
		{source{}, 8443, true}, {source{}, 8080, false}, {source{}, 8081, false},
		{source{namespace: map[string]string{"network.keyward.dev/monitoring": "true"}}, 8080, true},
		{source{namespace: inSystem}, 8080, false},
	} {
		if got := b.reaches(t, one.from, d, one.port); got != one.open {
			t.Errorf("%v reaches %d: %v", one.from, one.port, got)
		}
	}
}

// TestConsoleByAProvider: the components for a provider give the console its file, and for impersonation a token and the right to impersonate the listed
// groups, and no other.
func TestConsoleByAProvider(t *testing.T) {
	dir := t.TempDir()
	base, err := filepath.Abs("../../config/console")
	if err != nil {
		t.Fatal(err)
	}
	relative := func(from, to string) string {
		t.Helper()
		path, err := filepath.Rel(from, to)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	at := relative(dir, base)
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [" + at + "]\ncomponents: [" + at + "/oidc, " + at + "/impersonate]\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := build(t, relative(filepath.Dir(base), dir))
	if len(b.clusterRoles) != 1 || len(b.clusterWide) != 1 || len(b.bindings)+len(b.roles) != 0 {
		t.Fatalf("%v %v %v", b.clusterRoles, b.clusterWide, b.bindings)
	}
	for _, role := range b.clusterRoles {
		for _, rule := range role.Rules {
			isGroups := slices.Equal(rule.Resources, []string{"groups"})
			if !slices.Equal(rule.Verbs, []string{"impersonate"}) || !isGroups && !slices.Equal(rule.Resources, []string{"users"}) ||
				isGroups && len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, "*") {
				t.Errorf("it may %v", rule)
			}
		}
	}
	pod := b.deployments[0].Spec.Template.Spec
	if pod.AutomountServiceAccountToken == nil || !*pod.AutomountServiceAccountToken {
		t.Error("it has no token to impersonate with")
	}
	if c := pod.Containers[0]; !slices.Contains(c.Args, "--config=/var/run/keyward/config/console.yaml") || !slices.ContainsFunc(c.VolumeMounts,
		func(m corev1.VolumeMount) bool { return m.MountPath == "/var/run/keyward/config" }) {
		t.Errorf("%v %v", c.Args, c.VolumeMounts)
	}
}
