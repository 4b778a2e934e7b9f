package chart

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
)

var update = flag.Bool("update", false, "write the expected renderings")

// fixtureFiles are files of the chart in renderings: those of config/monitoring change too often to be in expectations.
var fixtureFiles = map[string]string{
	"files/monitoring/services.yaml":               "testdata/monitoring/services.yaml",
	"files/monitoring/monitors.yaml":               "testdata/monitoring/monitors.yaml",
	"files/monitoring/rules.yaml":                  "testdata/monitoring/rules.yaml",
	"files/monitoring/dashboards/keyward-one.json": "testdata/monitoring/keyward-one.json",
}

// features returns the names of the values files, each of which shows a feature.
func features(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d values files, %v", len(paths), err)
	}
	for i, path := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(path), ".yaml")
	}
	return paths
}

// renderFeature renders the chart with the values of a feature.
func renderFeature(t *testing.T, name string) objects {
	t.Helper()
	return render(t, withFixtures(t), namespaceOf(name), readValues(t, "testdata/values/"+name+".yaml"))
}

func withFixtures(t *testing.T) *chartv2.Chart {
	t.Helper()
	c := load(t)
	for i := range c.Files {
		if strings.HasPrefix(c.Files[i].Name, "files/monitoring/") {
			c.Files[i].Name = "replaced"
		}
	}
	for name, path := range fixtureFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		setFile(c, name, text)
	}
	return c
}

// namespaceOf is the namespace of the release: most features are shown in the usual one.
func namespaceOf(feature string) string {
	if feature == "namespace" {
		return "keys"
	}
	return systemNamespace
}

// TestGolden compares what the values of each feature change with what is expected, in testdata/golden:
//
//	go test -run TestGolden -update
//
// default.yaml has all objects but the CRDs. The others have what differs from it, as merge patches: null is what is removed.
func TestGolden(t *testing.T) {
	defaults := renderFeature(t, "default")
	for _, name := range features(t) {
		t.Run(name, func(t *testing.T) {
			got := expectation(t, name, defaults)
			path := "testdata/golden/" + name + ".yaml"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got == "" {
				t.Error("these values change nothing")
			}
		})
	}
}

// expectation is how the feature differs from the defaults.
func expectation(t *testing.T, name string, defaults objects) string {
	t.Helper()
	var b strings.Builder
	after := map[string]object{}
	for _, o := range renderFeature(t, name) {
		after[namespaceless(o, namespaceOf(name))] = o
	}
	before := map[string]object{}
	for _, o := range defaults.sorted() {
		id := namespaceless(o, systemNamespace)
		before[id] = o
		if _, has := after[id]; !has {
			b.WriteString("# without " + id + "\n")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		o, old := after[id], before[id]
		switch {
		case name == "default" && o.kind() != "CustomResourceDefinition" || name != "default" && old == nil:
			b.WriteString("---\n" + asYAML(t, o))
		case name != "default":
			if patch := mergePatch(old, o); len(patch) > 0 {
				b.WriteString("--- # " + id + "\n" + asYAML(t, patch))
			}
		}
	}
	return b.String()
}

// namespaceless is an id without the namespace of the release.
func namespaceless(o object, namespace string) string {
	return strings.Replace(o.id(), " "+namespace+" ", " ", 1)
}

// mergePatch returns the JSON merge patch that makes after of before.
func mergePatch(before, after map[string]any) map[string]any {
	patch := map[string]any{}
	for key := range before {
		if _, has := after[key]; !has {
			patch[key] = nil
		}
	}
	for key, value := range after {
		old, wasObject := before[key].(map[string]any)
		fields, isObject := value.(map[string]any)
		switch {
		case wasObject && isObject:
			if inner := mergePatch(old, fields); len(inner) > 0 {
				patch[key] = inner
			}
		case !reflect.DeepEqual(before[key], value):
			patch[key] = value
		}
	}
	return patch
}
