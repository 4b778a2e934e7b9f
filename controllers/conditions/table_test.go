package conditions_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
)

const (
	root = "../.."
	page = root + "/docs/conditions.md"
)

var update = flag.Bool("update", false, "write the tables of docs/conditions.md again")

// constant is a constant of api/v1alpha1, with what its comment says.
type constant struct{ name, value, meaning string }

// constants are those of api/v1alpha1/conditions.go whose names begin so.
func constants(t *testing.T, prefix string) []constant {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), root+"/api/v1alpha1/conditions.go", nil,
		parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []constant
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		name := spec.Names[0].Name
		literal, _ := spec.Values[0].(*ast.BasicLit)
		value, err := strconv.Unquote(literal.Value)
		meaning, ok := strings.CutPrefix(strings.Join(strings.Fields(spec.Doc.Text()), " "), name+": ")
		if err != nil || !ok {
			t.Errorf("the comment of %s has to begin with %q", name, name+": ")
		}
		all = append(all, constant{name, value, strings.TrimSuffix(meaning, ".")})
		return true
	})
	return all
}

// uses are where the reasons are used: the types of conditions, "event" or "admission".
func uses() map[string][]string {
	all := map[string][]string{}
	for _, c := range conditions.Types() {
		for _, reason := range c.Reasons {
			all[reason.Name] = append(all[reason.Name], c.Name)
		}
	}
	for _, reason := range conditions.EventReasons() {
		all[reason.Name] = append(all[reason.Name], "event")
	}
	for _, reason := range conditions.AdmissionReasons() {
		all[reason] = append(all[reason], "admission")
	}
	return all
}

// TestTableIsComplete: every type and reason that has a constant is in the table, and nothing else is.
func TestTableIsComplete(t *testing.T) {
	var declared, listed []string
	for _, c := range constants(t, "Condition") {
		declared = append(declared, c.value)
	}
	for _, c := range conditions.Types() {
		listed = append(listed, c.Name)
		for i, reason := range c.Reasons {
			if slices.ContainsFunc(c.Reasons[:i], func(r conditions.Reason) bool { return r.Name == reason.Name }) {
				t.Errorf("%s has %s twice", c.Name, reason.Name)
			}
		}
	}
	slices.Sort(declared)
	slices.Sort(listed)
	if !slices.Equal(declared, listed) {
		t.Errorf("types of conditions: declared %v, in the table %v", declared, listed)
	}
	used := uses()
	for _, reason := range constants(t, "Reason") {
		if len(used[reason.value]) == 0 {
			t.Errorf("%s is not in the table: add it to the conditions or events that have it, or remove it", reason.name)
		}
		delete(used, reason.value)
	}
	for reason := range used {
		t.Errorf("%q is in the table and has no constant", reason)
	}
}

// TestReasonsAreConstants: no code that sets conditions or sends events writes a reason of its own, which the table
// would not have. Reasons are recognized by the names of fields and by the positions of arguments.
func TestReasonsAreConstants(t *testing.T) {
	known := map[string]bool{}
	for _, c := range slices.Concat(constants(t, "Reason"), constants(t, "Condition")) {
		known[c.name] = true
	}
	for _, dir := range []string{"controllers", "internal", "webhook"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			if strings.HasSuffix(path, "internal/groupevent/catalogue.go") {
				return nil // the examples of events have reasons that people gave
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			reject := func(node ast.Expr) {
				if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING && literal.Value != `""` {
					t.Errorf("%s: the reason %s is no constant of api/v1alpha1", files.Position(node.Pos()), literal.Value)
				}
			}
			ast.Inspect(file, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.KeyValueExpr:
					if field, ok := node.Key.(*ast.Ident); ok && field.Name == "Reason" {
						reject(node.Value)
					}
				case *ast.SelectorExpr:
					if in, ok := node.X.(*ast.Ident); ok && in.Name == "v1alpha1" && strings.HasPrefix(node.Sel.Name, "Reason") && !known[node.Sel.Name] {
						t.Errorf("%s: %s is not declared in api/v1alpha1/conditions.go", files.Position(node.Pos()), node.Sel.Name)
					}
				case *ast.CallExpr:
					method, ok := node.Fun.(*ast.SelectorExpr)
					if !ok {
						break
					}
					// Set(type, status, reason, …), event(object, warning, reason, …), Eventf(object, related, type, reason, …)
					if at := map[string]int{"Set": 2, "event": 2, "Eventf": 3}[method.Sel.Name]; at > 0 && len(node.Args) > at+1 {
						reject(node.Args[at])
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPage holds docs/conditions.md to the table. With -update it writes the page's tables again.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	want := between(t, got, "conditions", tableOfTypes(t))
	want = between(t, want, "reasons", tableOfReasons(t))
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("docs/conditions.md is not what the table says; write it again: go test ./controllers/conditions -run TestPage -update")
	}
}

// between puts a text between the markers of the name.
func between(t *testing.T, page, name, text string) string {
	t.Helper()
	begin, end := "<!-- "+name+": generated -->\n", "<!-- "+name+": end -->\n"
	before, rest, ok := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("docs/conditions.md lacks the markers of %s", name)
	}
	return before + begin + text + end + after
}

func tableOfTypes(t *testing.T) string {
	t.Helper()
	meanings := map[string]string{}
	for _, c := range constants(t, "Condition") {
		meanings[c.value] = c.meaning
	}
	var out strings.Builder
	out.WriteString("| condition | of | normally | it is true when |\n|---|---|---|---|\n")
	for _, c := range conditions.Types() {
		usual := string(c.Normal)
		if c.OnlyWhileTrue {
			usual = "absent"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", c.Name, strings.Join(c.Kinds, ", "), usual, meanings[c.Name])
	}
	return out.String()
}

func tableOfReasons(t *testing.T) string {
	t.Helper()
	used := uses()
	events := map[string]string{}
	for _, c := range conditions.Types() {
		for _, reason := range c.Reasons {
			if reason.Event != "" && c.EventReason == "" {
				events[reason.Name] = reason.Event
			}
		}
	}
	for _, reason := range conditions.EventReasons() {
		events[reason.Name] = reason.Event
	}
	var out strings.Builder
	out.WriteString("| reason | in | event | meaning |\n|---|---|---|---|\n")
	for _, reason := range constants(t, "Reason") {
		in := slices.DeleteFunc(slices.Clone(used[reason.value]), func(name string) bool { return name == "event" })
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", reason.value, strings.Join(in, ", "), events[reason.value], reason.meaning)
	}
	return out.String()
}

func TestEvents(t *testing.T) {
	of := func(kind string, status metav1.ConditionStatus, reason, message string) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: status, Reason: reason, Message: message}}
	}
	stalled := of(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonGroupNotFound, "one")
	suspended := of(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "one")
	low := of(v1alpha1.ConditionQuotaLow, metav1.ConditionTrue, v1alpha1.ReasonQuotaUsed, "one")
	for name, test := range map[string]struct {
		before, after []metav1.Condition
		want          []conditions.Event
	}{
		"a problem is announced": {nil, stalled,
			[]conditions.Event{{Type: corev1.EventTypeWarning, Reason: v1alpha1.ReasonGroupNotFound, Message: "one"}}},
		"but not twice": {stalled, stalled, nil},
		"another text is": {of(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonGroupNotFound,
			"two"), stalled, []conditions.Event{{Type: corev1.EventTypeWarning, Reason: v1alpha1.ReasonGroupNotFound, Message: "one"}}},
		"its end is not": {stalled, nil, nil},
		"a declared state is no warning": {nil, suspended,
			[]conditions.Event{{Type: corev1.EventTypeNormal, Reason: v1alpha1.ReasonSuspended, Message: "one"}}},
		"a revocation is announced by its version": {suspended,
			of(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonRevoked, "two"), nil},
		"a quota is announced by its condition's name": {nil, low,
			[]conditions.Event{{Type: corev1.EventTypeWarning, Reason: v1alpha1.ConditionQuotaLow, Message: "one"}}},
		"once for all texts": {of(v1alpha1.ConditionQuotaLow, metav1.ConditionTrue, v1alpha1.ReasonQuotaUsed,
			"two"), low, nil},
		"and not where it is not used": {nil,
			of(v1alpha1.ConditionQuotaLow, metav1.ConditionFalse, v1alpha1.ReasonQuotaUsed, "one"), nil},
		"what is normal is silent": {nil,
			of(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "one"), nil},
	} {
		if got := conditions.Events(test.before, test.after); !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
