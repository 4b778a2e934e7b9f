package specchange_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/specchange"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestDiff(t *testing.T) {
	old := object(t, `
spec:
  tier: Pro
  state: Active
  limits: {keys: 3}
  context: {database: acme, secret: hidden}
  projects: [{name: a, routes: [{paths: [/secret]}]}, {name: b}]`)
	changed := object(t, `
spec:
  tier: Business
  state: Active
  limits: {requestsPerMonth: 500}
  context: {database: other, bucket: hidden}
  projects: [{name: b, routes: [{paths: [/other]}]}, {name: c}]`)
	expected := []specchange.Field{
		{Path: "spec.tier", Before: "Pro", After: "Business"},
		{Path: "spec.limits.keys", Before: "3"},
		{Path: "spec.limits.requestsPerMonth", After: "500"},
		{Path: "spec.projects[].name", Before: "a", After: "c"},
		{Path: "spec.context{}", Before: "database, secret", After: "bucket, database"},
	}
	if diff := cmp.Diff(expected, specchange.Diff("Group", old, changed)); diff != "" {
		t.Error(diff)
	}
	if fields := specchange.Diff("Group", old, old); len(fields) > 0 {
		t.Errorf("nothing was changed: %v", fields)
	}
	if fields := specchange.Diff("Group", nil, old); len(fields) != 5 || fields[0].After != "Pro" {
		t.Errorf("%v", fields)
	}
	asks := object(t, `{spec: {keyPolicy: {requests: Manual}}}`)
	if diff := cmp.Diff([]specchange.Field{{Path: "spec.keyPolicy.requests", Before: "Manual"}}, specchange.Diff("Group", asks, object(t, `{spec: {}}`))); diff != "" {
		t.Error(diff)
	}
	// The schema refuses these types later.
	if fields := specchange.Diff("Group", nil, object(t, `{spec: {tier: {}, state: [1], projects: 7, context: [], limits: text}}`)); len(fields) != 2 {
		t.Errorf("%v", fields)
	}
}

// TestValuesAreNotRecorded: of values that may be confidential, and of paths, a change has the names.
func TestValuesAreNotRecorded(t *testing.T) {
	for _, c := range []struct {
		kind, old, changed string
		field              specchange.Field
	}{
		{"ApiKey", `{context: {plan: hidden-a, site: hidden-b}}`, `{context: {plan: hidden-c, site: hidden-b, user: hidden-d}}`,
			specchange.Field{Path: "spec.context{}", Before: "plan", After: "plan, user"}},
		{"ApiKey", `{context: {plan: hidden-a}}`, `{}`, specchange.Field{Path: "spec.context{}", Before: "plan"}},
		{"Group", `{sealedContext: [{name: pay, secretKeyRef: {name: s, key: hidden-a}}, {name: mail, secretKeyRef: {name: s, key: hidden-b}}]}`,
			`{sealedContext: [{name: mail, secretKeyRef: {name: hidden-c, key: hidden-b}}]}`,
			specchange.Field{Path: "spec.sealedContext{secretKeyRef}", Before: "mail, pay", After: "mail"}},
		{"Group", `{projects: [{name: a, public: [/hidden-a]}, {name: b, public: [/hidden-b]}, {name: c}]}`,
			`{projects: [{name: b, public: [/hidden-b]}, {name: c, public: [/hidden-c]}, {name: a, public: [/hidden-d]}]}`,
			specchange.Field{Path: "spec.projects{public}", Before: "a", After: "a, c"}},
	} {
		fields := specchange.Diff(c.kind, object(t, "spec: "+c.old), object(t, "spec: "+c.changed))
		if diff := cmp.Diff([]specchange.Field{c.field}, fields); diff != "" {
			t.Error(diff)
		}
		if strings.Contains(fmt.Sprint(fields, specchange.Diff(c.kind, nil, object(t, "spec: "+c.old))), "hidden") {
			t.Errorf("a value is recorded: %v", fields)
		}
		if fields := specchange.Diff(c.kind, object(t, "spec: "+c.old), object(t, "spec: "+c.old)); len(fields) > 0 {
			t.Errorf("nothing was changed: %v", fields)
		}
	}
	// The schema refuses these later.
	odd := object(t, `{spec: {context: [7], sealedContext: {a: 7}, projects: [7, {public: 7}, {name: {}, public: [7]}], addresses: {}}}`)
	specchange.Diff("Group", odd, object(t, `{spec: {sealedContext: [7, {secretKeyRef: 7}, {name: [], secretKeyRef: []}]}}`))
}

func TestRequestsAreOfKeys(t *testing.T) {
	asked := object(t, fmt.Sprintf(`{metadata: {annotations: {%q: now, %q: k-1}}}`, v1alpha1.AnnotationRotateRequestedAt,
		v1alpha1.AnnotationClaimedVersion))
	if fields := specchange.Diff("ApiKey", nil, asked); len(fields) != 2 || fields[0].After != "now" || fields[1].After != "k-1" {
		t.Errorf("%v", fields)
	}
	if fields := specchange.Diff("Group", nil, asked); len(fields) > 0 {
		t.Errorf("%v", fields)
	}
}

// TestNoKeyText: whoever writes the text of a key into a field does not get it into the log.
func TestNoKeyText(t *testing.T) {
	key, err := keyformat.Mint("kw", strings.NewReader(strings.Repeat("random", 100)))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%s", "key=%s", "'%s'.", strings.Repeat("x ", 300) + "%s"} {
		fields := specchange.Diff("Group", nil, map[string]any{"spec": map[string]any{"displayName": fmt.Sprintf(form, key.Reveal())}})
		if len(fields) != 1 || strings.Contains(fields[0].After, key.Reveal()) || !strings.Contains(fields[0].After, "the text of a key") {
			t.Errorf(form+": %v", "…", fields)
		}
	}
}

func TestAddIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		annotations := map[string]string{}
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.IntRange(0, 5000), func(n int) string { return strings.Repeat("é", n) }))
		n := rapid.IntRange(1, 9).Draw(t, "changes")
		for i := range n {
			change := specchange.Change{
				Generation: int64(i + 1), At: time.Unix(int64(i), 0).UTC(), User: text.Draw(t, "user"),
				Groups: rapid.SliceOfN(text, 0, 12).Draw(t, "groups"), Via: "kubectl",
			}
			list := map[string]any{}
			for range rapid.IntRange(0, 40).Draw(t, "fields") {
				list[text.Draw(t, "name")] = "x"
			}
			change.Fields = specchange.Diff("Group", nil, map[string]any{"spec": map[string]any{"context": list}})
			for range 30 {
				change.Fields = append(change.Fields, change.Fields...)
				if len(change.Fields) > 40 || len(change.Fields) == 0 {
					break
				}
			}
			value, err := specchange.Add(annotations, change)
			if err != nil {
				t.Fatal(err)
			}
			if len(value) > 8<<10 {
				t.Fatalf("%d bytes", len(value))
			}
			annotations[v1alpha1.AnnotationChanges] = value
		}
		changes := specchange.Of(annotations)
		if len(changes) == 0 || len(changes) > 4 || changes[len(changes)-1].Generation != int64(n) {
			t.Fatalf("of %d: %+v", n, changes)
		}
	})
}

func TestOthersAreNotRead(t *testing.T) {
	for _, text := range []string{"", "{}", "[", `"x"`, "[" + strings.Repeat(" ", 9000) + "]"} {
		if changes := specchange.Of(map[string]string{v1alpha1.AnnotationChanges: text}); changes != nil {
			t.Errorf("%q: %v", text, changes)
		}
	}
}

func TestVia(t *testing.T) {
	for _, of := range []struct{ user, manager, via string }{
		{"jane", "kubectl-client-side-apply", "kubectl"}, {"jane", "kubectl-keyward", "kubectl"}, {"jane", "keyward-cli", "kubectl"}, {"jane", "", "other"},
		{"system:serviceaccount:argocd:c", "argocd-controller", "gitops"}, {"system:serviceaccount:flux:c", "helm-controller", "gitops"},
		{"jane", "helm", "helm"}, {"jane", "keyward-console", "console"}, {"system:serviceaccount:ci:c", "script", "automation"},
	} {
		if via := specchange.Via(of.user, of.manager); via != of.via {
			t.Errorf("%+v: %s", of, via)
		}
	}
}

// TestNoPaths holds the list of fields to what a log never has.
func TestNoPaths(t *testing.T) {
	for _, kind := range []string{"ApiKey", "Group", "DomainAllowlist"} {
		if len(specchange.Paths(kind)) == 0 {
			t.Errorf("nothing is recorded of %s", kind)
		}
		for _, path := range specchange.Paths(kind) {
			for _, never := range []string{"routes", "paths", "query", "importFrom", "description", "template"} {
				if strings.Contains(path, never) {
					t.Errorf("%s: %s", kind, path)
				}
			}
		}
	}
}
