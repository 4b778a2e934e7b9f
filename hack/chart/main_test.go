package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpToDate: what is committed is what the generator writes, and there is nothing else beside it.
func TestUpToDate(t *testing.T) {
	const root = "../.."
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, chartDir, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not what make generate writes (%v)", name, err)
		}
	}
	for _, dir := range generatedDirs {
		err := filepath.WalkDir(filepath.Join(root, chartDir, dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(filepath.Join(root, chartDir), path)
			if _, known := files[filepath.ToSlash(name)]; !known {
				t.Errorf("%s is no longer generated; make generate removes it", name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestValuesAreDocumented: every value has a description, unless it is one of Kubernetes' own names.
func TestValuesAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("../..", chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := parseValues(text)
	if err != nil {
		t.Fatal(err)
	}
	evident := map[string]bool{ // what they are is known from Kubernetes or from their parent
		"enabled": true, "create": true, "name": true, "annotations": true, "labels": true, "nodeSelector": true, "priorityClassName": true,
		"repository": true, "pullPolicy": true, "logLevel": true, "terminationGracePeriodSeconds": true, "className": true, "hostnames": true,
		"type": true, "port": true, "loadBalancerClass": true, "loadBalancerSourceRanges": true, "sizeLimit": true, "maxUnavailable": true,
		"minReplicas": true, "maxReplicas": true, "scrapeTimeout": true,
	}
	var check func(v *value)
	check = func(v *value) {
		for _, child := range v.children {
			if len(child.children) == 0 && child.description == "" && !evident[child.path[len(child.path)-1]] {
				t.Errorf("%s has no comment", child.name())
			}
			check(child)
		}
	}
	check(root)
}

func TestParseValues(t *testing.T) {
	root, err := parseValues([]byte("# The file.\n\n# One.\n# More of it.\n# +schema {type: integer}\none: 1\ntwo:\n  # Three.\n  three: a\n"))
	if err != nil {
		t.Fatal(err)
	}
	one, three := root.child("one"), root.child("two").child("three")
	if one.description != "One. More of it." || one.schema["type"] != "integer" || three.name() != "two.three" || three.description != "Three." {
		t.Errorf("%+v, %+v", one, three)
	}
	if _, err := root.schemaOf(); err != nil {
		t.Error(err)
	}
}

// TestDefaultsNeedTypes: an empty default says nothing about what may be there.
func TestDefaultsNeedTypes(t *testing.T) {
	for _, text := range []string{"a: {}", "a: []", "a: 1", "a: null", "a: {b: []}"} {
		root, err := parseValues([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := root.schemaOf(); err == nil || !strings.Contains(err.Error(), "+schema") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTemplatesInDescriptions: Helm does not execute what a description shows.
func TestTemplatesInDescriptions(t *testing.T) {
	text, err := crdTemplate([]byte("---\nkind: A\nmetadata:\n  annotations:\n    a: b\n  name: x\nspec: \"{{ .Key }}\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`spec: "{{ "{{" }} .Key }}"`, "helm.sh/resource-policy: keep", "if .Values.crds.install"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if _, err := crdTemplate([]byte("kind: A\n")); err == nil {
		t.Error("a CRD of another form is accepted")
	}
}

// TestCRDsAreNotPruned: the deletion of a CRD deletes all keys of the cluster, so no tool does that on its own.
func TestCRDsAreNotPruned(t *testing.T) {
	const root = "../.."
	for _, dir := range []string{crdDir, "charts/keyward/templates/crds"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.yaml"))
		if err != nil || len(files) != 10 {
			t.Fatalf("%s has %d CRDs, want 10: %v", dir, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			metadata, _, _ := strings.Cut(string(text), "\nspec:\n")
			for _, want := range []string{
				"    argocd.argoproj.io/sync-options: Prune=false,Delete=false\n", "    kustomize.toolkit.fluxcd.io/prune: disabled\n",
			} {
				if !strings.Contains(metadata, want) {
					t.Errorf("%s lacks %q", file, want)
				}
			}
		}
	}
}
