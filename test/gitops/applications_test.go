package gitops

import (
	"bytes"
	"strings"
	"testing"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestApplicationSet renders config/argocd/tenants.yaml as Argo CD does: each text of the template is a Go template with the
// functions of sprig, and a key that is missing is an error.
func TestApplicationSet(t *testing.T) {
	set := parse(t, read(t, "config/argocd/tenants.yaml"))[0]
	of, _, err := unstructured.NestedMap(set.Object, "spec", "template")
	if err != nil {
		t.Fatal(err)
	}
	options, _, err := unstructured.NestedStringSlice(set.Object, "spec", "goTemplateOptions")
	if err != nil {
		t.Fatal(err)
	}
	parameters := map[string]any{"path": map[string]any{
		"path": "tenants/globex", "basename": "globex", "segments": []string{"tenants", "globex"},
	}}
	rendered, _ := render(t, of, options, parameters).(map[string]any)
	for path, want := range map[string]string{
		"metadata.name": "tenant-globex", "spec.source.path": "tenants/globex", "spec.destination.namespace": "globex",
	} {
		if got := field(rendered, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if automated, _, _ := unstructured.NestedBool(rendered, "spec", "syncPolicy", "automated", "prune"); automated {
		t.Error("a directory that is renamed revokes all keys of a tenant")
	}
}

func render(t *testing.T, value any, options []string, parameters any) any {
	t.Helper()
	switch value := value.(type) {
	case string:
		parsed, err := template.New("").Funcs(sprig.TxtFuncMap()).Option(options...).Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := parsed.Execute(&text, parameters); err != nil {
			t.Fatal(err)
		}
		return text.String()
	case map[string]any:
		rendered := map[string]any{}
		for name, item := range value {
			rendered[name] = render(t, item, options, parameters)
		}
		return rendered
	case []any:
		rendered := make([]any, len(value))
		for i, item := range value {
			rendered[i] = render(t, item, options, parameters)
		}
		return rendered
	}
	return value
}

// TestApplications checks what a schema would not: that all objects of config/argocd come from one repository, and that keys
// are applied again until the webhooks answer.
func TestApplications(t *testing.T) {
	for _, u := range append(parse(t, read(t, "config/argocd/applications.yaml")), parse(t, read(t, "config/argocd/tenants.yaml"))...) {
		spec, _ := u.Object["spec"].(map[string]any)
		if u.GetKind() == "ApplicationSet" {
			of, _ := spec["template"].(map[string]any)
			spec, _ = of["spec"].(map[string]any)
		}
		if url := field(spec, "source.repoURL"); !strings.HasPrefix(url, "https://git.acme.example/") {
			t.Errorf("%s comes from %q", u.GetName(), url)
		}
		policy, _ := spec["syncPolicy"].(map[string]any)
		if u.GetName() != "keyward" && policy["retry"] == nil {
			t.Errorf("%s is not applied again", u.GetName())
		}
	}
}
