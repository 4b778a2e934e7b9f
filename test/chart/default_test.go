package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// build builds a directory below config.
func build(t *testing.T, dir string) objects {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), root+"/config/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	built := objects{}
	for _, r := range all.Resources() {
		encoded, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		o := parse(t, encoded)
		built[o.id()] = o
	}
	return built
}

// difference is something in which the chart may differ from kustomize. Each removes it from an object of one of them.
type difference struct {
	what, why  string
	chart      func(t *testing.T, o object)
	kustomized func(t *testing.T, o object)
}

var contentHash = regexp.MustCompile(`^keyward-configuration-[0-9a-z]{10}$`)

// configurationName removes the hash from the name of the manager's ConfigMap, where it is named.
func configurationName(t *testing.T, o object) {
	if o.kind() == "ConfigMap" && contentHash.MatchString(o.name()) {
		o.fields("metadata")["name"] = "keyward-configuration"
	}
	volumes, _ := o.at("spec", "template", "spec", "volumes").([]any)
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		if name := object(volume).text("configMap", "name"); contentHash.MatchString(name) {
			object(volume).fields("configMap")["name"] = "keyward-configuration"
		}
	}
}

// configurationContent compares the manager's file by what is in it.
func configurationContent(t *testing.T, o object) {
	if o.kind() != "ConfigMap" {
		return
	}
	var parsed any
	if err := yaml.Unmarshal([]byte(o.text("data", "manager.yaml")), &parsed); err != nil {
		t.Fatal(err)
	}
	o.fields("data")["manager.yaml"] = parsed
}

func without(path []string, names ...string) func(*testing.T, object) {
	return func(_ *testing.T, o object) {
		if o.at(path...) == nil {
			return
		}
		fields := o.fields(path...)
		for _, name := range names {
			delete(fields, name)
		}
		if len(fields) == 0 {
			delete(o.fields(path[:len(path)-1]...), path[len(path)-1])
		}
	}
}

// differences are all in which they may differ, besides the Namespace, which Helm creates (--create-namespace).
var differences = []difference{
	{
		what: "labels of the release", why: "people and programs find the objects of a release by them",
		chart: without([]string{"metadata", "labels"},
			"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"),
	},
	{
		what: "labels of generated objects", why: "controller-gen writes none",
		chart: func(t *testing.T, o object) {
			generated := o.kind() == "CustomResourceDefinition" || strings.HasSuffix(o.kind(), "WebhookConfiguration") ||
				strings.HasSuffix(o.kind(), "Role") && o.name() == "keyward-manager"
			if generated {
				without([]string{"metadata", "labels"}, "app.kubernetes.io/name", "app.kubernetes.io/component")(t, o)
			}
		},
	},
	{
		what: "helm.sh/resource-policy", why: "an uninstallation leaves the CRDs, and so the keys, and the authority",
		chart: without([]string{"metadata", "annotations"}, "helm.sh/resource-policy"),
	},
	{
		what: "hash in the name of the ConfigMap", why: "Helm deletes the old one before the Pods that use it; the chart has its " +
			"hash in an annotation of the Pods",
		chart:      without([]string{"spec", "template", "metadata", "annotations"}, "checksum/configuration"),
		kustomized: configurationName,
	},
	{
		what: "form of the manager's file", why: "kustomize has comments in it",
		chart: configurationContent, kustomized: configurationContent,
	},
}

// namespacedDifferences are those where the manager watches some namespaces only.
var namespacedDifferences = append([]difference{
	{
		what: "how webhooks select namespaces", why: "the chart knows the names, and needs no label on what is not its own",
		chart: selectors(func(t *testing.T, selector object) {
			expressions, _ := selector.at("matchExpressions").([]any)
			watched := object{"key": "kubernetes.io/metadata.name", "operator": "In", "values": []any{tenants}}
			last := len(expressions) - 1
			if last < 0 || asYAML(t, expressions[last].(map[string]any)) != asYAML(t, watched) {
				t.Errorf("a webhook does not select the namespace: %v", selector)
				return
			}
			selector["matchExpressions"] = expressions[:last]
			if last == 0 {
				delete(selector, "matchExpressions")
			}
		}),
		kustomized: selectors(without([]string{"matchLabels"}, "keyward.dev/watched")),
	},
	{what: "order of flags", why: "it does not matter", chart: sortFlags, kustomized: sortFlags},
}, differences...)

// selectors changes the namespaceSelector of every webhook, except of the one that is called for labelled Pods of all namespaces.
func selectors(change func(*testing.T, object)) func(*testing.T, object) {
	return func(t *testing.T, o object) {
		webhooks, _ := o.at("webhooks").([]any)
		for _, w := range webhooks {
			webhook, _ := w.(map[string]any)
			if webhook["name"] == "pods.validating.keyward.dev" {
				continue
			}
			selector, _ := webhook["namespaceSelector"].(map[string]any)
			change(t, selector)
		}
	}
}

func sortFlags(_ *testing.T, o object) {
	if o.kind() != "Deployment" {
		return
	}
	for _, container := range containers(o) {
		if args, is := container["args"].([]any); is {
			slices.SortFunc(args, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	}
}

// TestDefaultIsKustomize: with default values, the chart installs what config/default installs.
func TestDefaultIsKustomize(t *testing.T) {
	compareWithKustomize(t, nil, "default", differences)
}

// TestNamespacedIsKustomize: with watchNamespaces, it installs what config/namespaced installs.
func TestNamespacedIsKustomize(t *testing.T) {
	compareWithKustomize(t, parseValues(t, "watchNamespaces: ["+tenants+"]"), "namespaced", namespacedDifferences)
}

func compareWithKustomize(t *testing.T, values map[string]any, dir string, differences []difference) {
	t.Helper()
	charted, kustomized := objects{}, objects{}
	for _, o := range render(t, load(t), systemNamespace, values) {
		for _, d := range differences {
			if d.chart != nil {
				d.chart(t, o)
			}
		}
		charted[o.id()] = o
	}
	for _, o := range build(t, dir) {
		if o.kind() == "Namespace" {
			continue
		}
		for _, d := range differences {
			if d.kustomized != nil {
				d.kustomized(t, o)
			}
		}
		kustomized[o.id()] = o
	}
	if len(kustomized) < 30 {
		t.Errorf("config/%s has only %d objects", dir, len(kustomized))
	}
	for id, want := range kustomized {
		got, has := charted[id]
		if !has {
			t.Errorf("the chart has no %s", id)
		} else if diff := cmp.Diff(asYAML(t, want), asYAML(t, got)); diff != "" {
			t.Errorf("%s (-kustomize, +chart):\n%s", id, diff)
		}
	}
	for id := range charted {
		if _, has := kustomized[id]; !has {
			t.Errorf("config/%s has no %s", dir, id)
		}
	}
}

// TestDifferencesExist: each allowed difference is one.
func TestDifferencesExist(t *testing.T) {
	for _, d := range differences {
		differs := false
		changes := func(all objects, change func(*testing.T, object)) {
			for _, o := range all {
				before := asYAML(t, o)
				if change != nil {
					change(t, o)
				}
				differs = differs || asYAML(t, o) != before
			}
		}
		changes(render(t, load(t), systemNamespace, nil), d.chart)
		changes(build(t, "default"), d.kustomized)
		if !differs {
			t.Errorf("%s: there is no such difference any more", d.what)
		}
	}
}
