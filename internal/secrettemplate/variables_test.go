package secrettemplate_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/secrettemplate"
)

// TestVariablesAreDocumented compares the table of variables with that of the documentation, row by row, and with what
// kubectl explain says.
func TestVariablesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n| variable | value | example |\n|---|---|---|\n")
	if !found {
		t.Fatal("docs/api.md has no table of variables")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, v := range secrettemplate.Variables() {
		want = append(want, fmt.Sprintf("| `.%s` | %s | `%s` |", v.Name, v.Description, v.Example))
	}
	if table != strings.Join(want, "\n") {
		t.Errorf("docs/api.md has\n%s\nand should have\n%s", table, strings.Join(want, "\n"))
	}

	crd, err := os.ReadFile("../../config/crd/bases/keyward.dev_apikeys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range secrettemplate.Variables() {
		if !strings.Contains(string(crd), "."+v.Name) {
			t.Errorf("the schema does not mention .%s", v.Name)
		}
	}
}

// TestVariableExamples renders every variable to its example.
func TestVariableExamples(t *testing.T) {
	values := secrettemplate.Values{
		Key: func() string { return "kw_3mY8bQ…" }, KeyID: "k5u0ev2qr8h1c9g7a", Name: "web", Namespace: "shop", Group: "tenants/acme",
		Projects: []string{"marketing", "product"}, ExpiresAt: "2027-02-19T12:00:00Z",
	}
	for _, v := range secrettemplate.Variables() {
		got, err := secrettemplate.Render(map[string]v1alpha1.EntryTemplate{"x": v1alpha1.EntryTemplate("{{ ." + v.Name + " }}")}, values)
		if err != nil || string(got["x"]) != v.Example {
			t.Errorf(".%s: %q, %v, want %q", v.Name, got["x"], err, v.Example)
		}
	}
}

// TestCheckAll reports each entry that is wrong once, those that do not parse first.
func TestCheckAll(t *testing.T) {
	large := v1alpha1.EntryTemplate(strings.Repeat("{{ .Projects }}", 17))
	templates := map[string]v1alpha1.EntryTemplate{"a": large, "b": "{{ .Key", "c": "{{ .Secret }}", "d": "{{ .Key }}", "e": large}
	var got []string
	for _, e := range secrettemplate.CheckAll(templates) {
		got = append(got, e.Entry)
		if !strings.HasPrefix(e.Error(), e.Entry+": ") {
			t.Error(e)
		}
	}
	if fmt.Sprint(got) != "[b c a e]" {
		t.Errorf("got %v", got)
	}
	if first := secrettemplate.Check(templates); first == nil || !strings.HasPrefix(first.Error(), "b: ") {
		t.Error(first)
	}
}
