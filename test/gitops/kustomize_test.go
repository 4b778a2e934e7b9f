package gitops

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// built builds a directory of the repository with kustomize.
func built(t *testing.T, files filesys.FileSystem, dir string) []*unstructured.Unstructured {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

// field returns a text at a path such as spec.groupRef.name or containers.0.name.
func field(u any, path string) string {
	for _, step := range strings.Split(path, ".") {
		switch at := u.(type) {
		case map[string]any:
			u = at[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(at) {
				return ""
			}
			u = at[i]
		}
	}
	text, _ := u.(string)
	return text
}

// TestPreview builds a preview with namePrefix: every reference follows, also that of a Pod to the Secret of its key; and it
// works beside the original.
func TestPreview(t *testing.T) {
	objects := built(t, filesys.MakeFsOnDisk(), filepath.Join(root, "config/kustomize/preview"))
	got := map[string]string{}
	pod := "spec.template.spec."
	for _, u := range objects {
		got[u.GetKind()] = u.GetName()
		for _, path := range []string{
			"spec.groupRef.name", "spec.secret.restart.0.name",
			pod + "containers.0.env.0.valueFrom.secretKeyRef.name", pod + "volumes.0.secret.secretName",
		} {
			if value := field(u.Object, path); value != "" {
				got[u.GetKind()+" "+path] = value
			}
		}
	}
	if d := gocmp.Diff(map[string]string{
		"Group": "pr42-shop", "ApiKey": "pr42-web", "DomainAllowlist": "pr42-web", "Deployment": "pr42-storefront",
		"ApiKey spec.groupRef.name": "pr42-shop", "DomainAllowlist spec.groupRef.name": "pr42-shop",
		"ApiKey spec.secret.restart.0.name":                                    "pr42-storefront",
		"Deployment " + pod + "containers.0.env.0.valueFrom.secretKeyRef.name": "pr42-web",
		"Deployment " + pod + "volumes.0.secret.secretName":                    "pr42-web",
	}, got); d != "" {
		t.Error(d)
	}

	c := needCluster(t)
	namespace := c.namespace(t, "preview")
	original := parse(t, read(t, "config/kustomize/preview/shop.yaml"))
	f := c.flux(t, kustomizev1.Kustomization{})
	for _, set := range [][]*unstructured.Unstructured{original, objects} {
		for _, u := range set {
			u.SetNamespace(namespace)
		}
		f.reconciles(t, set)
	}
	for _, name := range []string{"web", "pr42-web"} {
		c.awaitKey(t, namespace, name, "active", inState(v1alpha1.KeyActive, 1))
	}
}

// TestReferences follows every reference that the component names, so that a wrong path fails: each kind that refers is built
// with a reference at each path, and a prefix.
func TestReferences(t *testing.T) {
	const dir = "/preview"
	files := filesys.MakeFsInMemory()
	var names struct {
		NameReference []struct {
			Kind, Group, Version string
			FieldSpecs           []struct{ Kind, Group, Path string }
		} `json:"nameReference"`
	}
	decode(t, read(t, "config/kustomize/references/names.yaml"), &names)
	versions := map[string]string{
		"Pod": "v1", "Secret": "v1", "Job": "batch/v1", "CronJob": "batch/v1", "Rollout": "argoproj.io/v1alpha1",
		"PushSecret": "external-secrets.io/v1alpha1",
		"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
	}
	lists := map[string]bool{
		"containers": true, "initContainers": true, "env": true, "envFrom": true, "volumes": true, "sources": true,
		"restart": true, "notify": true,
	}
	var manifests []string
	add := func(kind, name string, content map[string]any) {
		version := versions[kind]
		if version == "" {
			version = v1alpha1.GroupVersion.String()
		}
		if content == nil {
			content = map[string]any{}
		}
		content["apiVersion"], content["kind"], content["metadata"] = version, kind, map[string]any{"name": name}
		manifests = append(manifests, asYAML(t, content))
	}
	type reference struct{ kind, name, path, want string }
	var references []reference
	for i, of := range names.NameReference {
		target := fmt.Sprintf("target%d", i)
		add(of.Kind, target, nil)
		for j, spec := range of.FieldSpecs {
			var value any = target
			steps := strings.Split(spec.Path, "/")
			path := steps
			for k := len(steps) - 1; k >= 0; k-- {
				value = map[string]any{steps[k]: value}
				if k > 0 && lists[steps[k-1]] {
					value = []any{value}
				}
			}
			var dotted []string
			for _, step := range path {
				dotted = append(dotted, step)
				if lists[step] {
					dotted = append(dotted, "0")
				}
			}
			name := fmt.Sprintf("from%d-%d", i, j)
			content, _ := value.(map[string]any)
			add(spec.Kind, name, content)
			references = append(references, reference{spec.Kind, "pr42-" + name, strings.Join(dotted, "."), "pr42-" + target})
		}
	}
	for name, text := range map[string]string{
		dir + "/all.yaml":                strings.Join(manifests, "---\n"),
		dir + "/kustomization.yaml":      "namePrefix: pr42-\nresources: [all.yaml]\ncomponents: [../references]\n",
		"/references/kustomization.yaml": read(t, "config/kustomize/references/kustomization.yaml"),
		"/references/names.yaml":         read(t, "config/kustomize/references/names.yaml"),
	} {
		if err := files.WriteFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	byName := map[string]*unstructured.Unstructured{}
	for _, u := range built(t, files, dir) {
		byName[u.GetKind()+u.GetName()] = u
	}
	if len(references) < 40 {
		t.Errorf("there are %d references", len(references))
	}
	for _, r := range references {
		if u := byName[r.kind+r.name]; u == nil || field(u.Object, r.path) != r.want {
			t.Errorf("%s %s does not follow", r.kind, r.path)
		}
	}
}

// TestPrincipalComponent: every validation server, and nothing else, gets the Secret and the flags, with the patch that the page shows.
func TestPrincipalComponent(t *testing.T) {
	_, patch, _ := strings.Cut(read(t, "docs/how-to/principal.md"), "\ncomponents: [../config/kustomize/principal]\n")
	patch, _, shown := strings.Cut(patch, "```")
	if !shown {
		t.Fatal("the page shows no kustomization")
	}
	files := filesys.MakeFsInMemory()
	for name, text := range map[string]string{
		"/cluster/kustomization.yaml":   "resources: [deployment.yaml, other.yaml]\ncomponents: [../principal]\n" + patch,
		"/cluster/deployment.yaml":      read(t, "config/validator/deployment.yaml"),
		"/cluster/other.yaml":           read(t, "config/manager/deployment.yaml"),
		"/principal/kustomization.yaml": read(t, "config/kustomize/principal/kustomization.yaml"),
	} {
		if err := files.WriteFile(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	deployments := 0
	for _, u := range built(t, files, "/cluster") {
		if u.GetKind() != "Deployment" {
			continue
		}
		deployments++
		text := fmt.Sprint(u.Object)
		for _, part := range []string{"--principal-key-file=/var/run/keyward/principal",
			"--principal-issuer=https://keys.acme.com", "--principal-audience=https://content.acme.com", "mountPath:/var/run/keyward/principal", "secretName:keyward-principal"} {
			if strings.Contains(text, part) != (u.GetName() == "keyward-validator") {
				t.Errorf("%s: %s is wrong: %s", u.GetName(), part, text)
			}
		}
	}
	if deployments != 2 {
		t.Errorf("%d Deployments", deployments)
	}
}
