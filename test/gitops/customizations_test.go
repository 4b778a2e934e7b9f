package gitops

import (
	"cmp"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var update = flag.Bool("update", false,
	"write what is generated: test data and argocd-cm.yaml in config/argocd, and the table in docs/how-to/gitops.md")

// customizations is where the scripts are, in the layout of Argo CD's own repository.
var customizations = filepath.Join(root, "config/argocd/resource_customizations", v1alpha1.GroupVersion.Group)

var kinds = []string{"ApiKey", "DomainAllowlist", "Group"}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// script reads a script of a kind.
func script(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{customizations}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// healthTests is a file health_test.yaml, and actionTests is a file action_test.yaml.
type (
	healthTests struct {
		Tests []healthTest `json:"tests"`
	}
	healthTest struct {
		HealthStatus argoHealth `json:"healthStatus"`
		InputPath    string     `json:"inputPath"`
	}
	actionTests struct {
		DiscoveryTests []discoveryTest `json:"discoveryTests"`
		ActionTests    []actionTest    `json:"actionTests"`
	}
	discoveryTest struct {
		InputPath string       `json:"inputPath"`
		Result    []argoAction `json:"result"`
	}
	actionTest struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	}
)

// TestCustomizations does what Argo CD's own tests do with such a directory.
func TestCustomizations(t *testing.T) {
	for _, kind := range kinds {
		var tests healthTests
		decode(t, script(t, kind, "health_test.yaml"), &tests)
		if len(tests.Tests) < 3 {
			t.Errorf("%s has %d tests of health", kind, len(tests.Tests))
		}
		for _, test := range tests.Tests {
			t.Run(kind+"/"+test.InputPath, func(t *testing.T) {
				got, err := healthOf(object(t, kind, test.InputPath), script(t, kind, "health.lua"))
				if err != nil {
					t.Fatal(err)
				}
				if got != test.HealthStatus {
					t.Errorf("the health is %+v, want %+v", got, test.HealthStatus)
				}
			})
		}
	}
	var tests actionTests
	decode(t, script(t, "ApiKey/actions/action_test.yaml"), &tests)
	tested := map[string]bool{}
	for _, test := range tests.DiscoveryTests {
		t.Run("discovery/"+test.InputPath, func(t *testing.T) {
			got, err := actionsOf(object(t, "ApiKey/actions", test.InputPath), script(t, "ApiKey/actions/discovery.lua"))
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(test.Result, got); d != "" {
				t.Error(d)
			}
			for _, action := range got {
				if action.IconClass == "" || action.DisplayName == "" {
					t.Errorf("%s has no icon or no name", action.Name)
				}
			}
		})
	}
	for _, test := range tests.ActionTests {
		tested[test.Action] = true
		t.Run("action/"+test.Action, func(t *testing.T) {
			got, _, err := act(object(t, "ApiKey/actions", test.InputPath), script(t, "ApiKey/actions", test.Action, "action.lua"))
			if err != nil {
				t.Fatal(err)
			}
			want := object(t, "ApiKey/actions", test.ExpectedOutputPath)
			if d := gocmp.Diff(asYAML(t, want.Object), asYAML(t, got.Object)); d != "" {
				t.Error(d)
			}
		})
	}
	for _, name := range actionNames(t) {
		if !tested[name] {
			t.Errorf("action %s has no test", name)
		}
	}
}

// actionNames are the directories of actions.
func actionNames(t *testing.T) []string {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(customizations, "ApiKey/actions/*/action.lua"))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(scripts))
	for i, path := range scripts {
		names[i] = filepath.Base(filepath.Dir(path))
	}
	return names
}

func object(t *testing.T, dir, path string) *unstructured.Unstructured {
	t.Helper()
	return parse(t, script(t, dir, path))[0]
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func asYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write writes a generated file.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConfigMap compares config/argocd/argocd-cm.yaml, which is there to be copied, with the scripts.
func TestConfigMap(t *testing.T) {
	data := map[string]string{}
	for _, kind := range kinds {
		id := v1alpha1.GroupVersion.Group + "_" + kind
		data["resource.customizations.health."+id] = script(t, kind, "health.lua")
		if kind == "ApiKey" {
			data["resource.customizations.actions."+id] = asYAML(t, definedActions(t))
		}
	}
	var text strings.Builder
	text.WriteString("# Generated from resource_customizations by go test ./... -run TestConfigMap -update in test/gitops; DO NOT EDIT.\n" +
		"# kubectl -n argocd patch configmap argocd-cm --patch-file config/argocd/argocd-cm.yaml\n")
	text.WriteString(asYAML(t, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "argocd-cm"}, "data": data,
	}))
	path := filepath.Join(root, "config/argocd/argocd-cm.yaml")
	if *update {
		write(t, path, text.String())
	}
	if d := gocmp.Diff(text.String(), read(t, "config/argocd/argocd-cm.yaml")); d != "" {
		t.Errorf("run this test with -update: %s", d)
	}
}

// definedActions are the actions of an ApiKey in the form of the ConfigMap.
func definedActions(t *testing.T) map[string]any {
	t.Helper()
	var definitions []map[string]string
	for _, name := range actionNames(t) {
		definitions = append(definitions, map[string]string{"name": name, "action.lua": script(t, "ApiKey/actions", name, "action.lua")})
	}
	return map[string]any{"discovery.lua": script(t, "ApiKey/actions/discovery.lua"), "definitions": definitions}
}

// recording collects objects of a real run, as test data for Argo CD's repository.
type recording struct {
	health  map[string][]healthTest
	actions actionTests
}

// keep records an object in a state, without what differs in every run for no reason.
func (r *recording) keep(t *testing.T, kind, state string, u *unstructured.Unstructured, health argoHealth, actions []argoAction) {
	t.Helper()
	recorded := u.DeepCopy()
	recorded.SetManagedFields(nil)
	recorded.SetResourceVersion("")
	input := "testdata/" + state + ".yaml"
	write(t, filepath.Join(customizations, kind, input), asYAML(t, recorded.Object))
	r.health[kind] = append(r.health[kind], healthTest{HealthStatus: health, InputPath: input})
	if kind != "ApiKey" {
		return
	}
	r.actions.DiscoveryTests = append(r.actions.DiscoveryTests, discoveryTest{InputPath: "../" + input, Result: actions})
	for _, action := range actions {
		known := slices.ContainsFunc(r.actions.ActionTests, func(test actionTest) bool { return test.Action == action.Name })
		if known || action.Disabled {
			continue
		}
		output := "testdata/" + action.Name + ".yaml"
		after, _, err := act(recorded, script(t, "ApiKey/actions", action.Name, "action.lua"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(customizations, "ApiKey/actions", output), asYAML(t, after.Object))
		r.actions.ActionTests = append(r.actions.ActionTests,
			actionTest{Action: action.Name, InputPath: "../" + input, ExpectedOutputPath: output})
	}
}

// finish writes the lists of tests.
func (r *recording) finish(t *testing.T) {
	t.Helper()
	for kind, tests := range r.health {
		slices.SortFunc(tests, func(a, b healthTest) int { return cmp.Compare(a.InputPath, b.InputPath) })
		write(t, filepath.Join(customizations, kind, "health_test.yaml"), asYAML(t, healthTests{tests}))
	}
	write(t, filepath.Join(customizations, "ApiKey/actions/action_test.yaml"), asYAML(t, r.actions))
}
