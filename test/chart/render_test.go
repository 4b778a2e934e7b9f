package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/yaml"
)

const (
	root            = "../.."
	chartDir        = root + "/charts/keyward"
	systemNamespace = "keyward-system"
	releaseName     = "keyward"
)

// kubeVersion is that of the API server in tests, which Helm does not ask when it only renders.
var kubeVersion = &common.KubeVersion{Version: "v1.37.1", Major: "1", Minor: "37"}

// object is a parsed Kubernetes object.
type object map[string]any

func (o object) at(path ...string) any {
	var value any = map[string]any(o)
	for _, name := range path {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	return value
}

func (o object) text(path ...string) string {
	text, _ := o.at(path...).(string)
	return text
}

// fields returns the object at the path, and creates what is missing.
func (o object) fields(path ...string) map[string]any {
	fields := map[string]any(o)
	for _, name := range path {
		inner, is := fields[name].(map[string]any)
		if !is {
			inner = map[string]any{}
			fields[name] = inner
		}
		fields = inner
	}
	return fields
}

func (o object) kind() string      { return o.text("kind") }
func (o object) name() string      { return o.text("metadata", "name") }
func (o object) namespace() string { return o.text("metadata", "namespace") }

// id identifies an object in a cluster.
func (o object) id() string {
	return strings.Join([]string{o.text("apiVersion"), o.kind(), o.namespace(), o.name()}, " ")
}

// objects are objects by their id.
type objects map[string]object

func (o objects) sorted() []object {
	var all []object
	for _, id := range slices.Sorted(maps.Keys(o)) {
		all = append(all, o[id])
	}
	return all
}

func (o objects) ofKind(kind string) []object {
	return slices.DeleteFunc(o.sorted(), func(o object) bool { return o.kind() != kind })
}

// one returns the only object of that kind and name.
func (o objects) one(t *testing.T, kind, name string) object {
	t.Helper()
	found := slices.DeleteFunc(o.ofKind(kind), func(o object) bool { return o.name() != name })
	if len(found) != 1 {
		t.Fatalf("there are %d %s %s", len(found), kind, name)
	}
	return found[0]
}

// load reads the chart again, so that a test may change it.
func load(t *testing.T) *chartv2.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// setFile replaces a file of the chart that is not a template.
func setFile(c *chartv2.Chart, name string, data []byte) {
	c.Files = slices.DeleteFunc(c.Files, func(f *common.File) bool { return f.Name == name })
	c.Files = append(c.Files, &common.File{Name: name, Data: data})
}

// readValues reads a values file.
func readValues(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseValues(t, string(text))
}

func parseValues(t *testing.T, text string) map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// release renders the chart as helm template does.
func release(c *chartv2.Chart, namespace string, values map[string]any) (*releasev1.Release, error) {
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName, install.Namespace, install.KubeVersion = releaseName, namespace, kubeVersion
	released, err := install.Run(c, values)
	if err != nil {
		return nil, err
	}
	rendered, is := released.(*releasev1.Release)
	if !is {
		return nil, fmt.Errorf("a release is a %T", released)
	}
	return rendered, nil
}

// render renders the chart to objects.
func render(t *testing.T, c *chartv2.Chart, namespace string, values map[string]any) objects {
	t.Helper()
	rendered, err := release(c, namespace, values)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for _, text := range documents(rendered.Manifest) {
		encoded, err := yaml.YAMLToJSONStrict([]byte(text))
		if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		o := parse(t, encoded)
		if o == nil {
			continue
		}
		if _, twice := all[o.id()]; twice {
			t.Errorf("%s is rendered twice", o.id())
		}
		all[o.id()] = o
	}
	return all
}

// documents splits a manifest at its separators.
func documents(manifest string) []string {
	var all []string
	for text := range strings.SplitSeq("\n"+manifest, "\n---\n") {
		if strings.TrimSpace(text) != "" {
			all = append(all, text)
		}
	}
	return all
}

// parse decodes JSON in one way, whoever has encoded it.
func parse(t *testing.T, encoded []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(encoded, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func asYAML(t *testing.T, o object) string {
	t.Helper()
	text, err := yaml.Marshal(map[string]any(o))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
