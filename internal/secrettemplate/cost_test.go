package secrettemplate_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"text/template"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/secrettemplate"
	"github.com/keyward-dev/keyward/test/cost"
)

// bound is what all templates of an ApiKey may cost, whether they are accepted or refused.
var bound = cost.Cost{Allocated: 32 << 20, Worked: 50 * time.Millisecond}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// withinBounds checks and renders the templates with the values, and fails where that costs
// too much, or where the check accepts what rendering refuses.
func withinBounds(t failer, templates map[string]v1alpha1.EntryTemplate,
	values secrettemplate.Values) (rendered map[string][]byte, refused error) {
	t.Helper()
	measured := func(what string, f func()) {
		if is, within := cost.Within(bound, f); !within {
			t.Fatalf("%s allocated %d bytes and worked for %v: %.300q", what, is.Allocated, is.Worked, fmt.Sprint(templates))
		}
	}
	measured("admission", func() { refused = secrettemplate.Check(templates) })
	var err error
	measured("rendering", func() { rendered, err = secrettemplate.Render(templates, values) })
	if refused == nil && err != nil {
		t.Fatalf("admission accepts what cannot be rendered: %v: %.300q", err, fmt.Sprint(templates))
	}
	if refused != nil && len(refused.Error()) > 1000 {
		t.Fatalf("the refusal has %d bytes", len(refused.Error()))
	}
	for name, text := range rendered {
		if len(text) > secrettemplate.MaxSize {
			t.Fatalf("%s has %d bytes", name, len(text))
		}
	}
	return rendered, refused
}

var fieldNames = []string{".Key", ".KeyID", ".Name", ".Namespace", ".Group", ".Projects", ".ExpiresAt", ".Other", "."}

// hostile generates templates by the grammar; known ones use only what is supported,
// and mostly functions.
type hostile struct {
	*rapid.T
	known bool
}

func (h hostile) repeat(what string, most int, f func() string) string {
	var out strings.Builder
	for range rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, most)).Draw(h.T, what) {
		out.WriteString(f())
		if out.Len() > 16<<10 {
			break
		}
	}
	return out.String()
}

func (h hostile) function() string {
	if h.known {
		return rapid.SampledFrom([]string{"b64enc", "quote", "urlquery"}).Draw(h.T, "function")
	}
	return rapid.SampledFrom([]string{"b64enc", "quote", "urlquery", "b64enc", "quote", `printf "%100000000d"`, "html",
		"js", "print", "len", "and", "or", "eq", "index", "slice"}).Draw(h.T, "function")
}

func (h hostile) operand(depth int) string {
	switch rapid.IntRange(0, 9).Draw(h.T, "operand") {
	case 0:
		if depth > 0 {
			return "(" + h.pipe(depth-1) + ")"
		}
	case 1:
		return fmt.Sprintf("%q", strings.Repeat(rapid.SampledFrom([]string{"a", `"`, "}}", "(", "é", "\x00"}).Draw(h.T,
			"char"), rapid.IntRange(0, 4000).Draw(h.T, "length")))
	case 2:
		if h.known {
			break
		}
		n := rapid.IntRange(0, 5000).Draw(h.T, "parentheses")
		return strings.Repeat("(", n) + ".Key" + strings.Repeat(")", n)
	}
	if h.known {
		return rapid.SampledFrom(fieldNames[:7]).Draw(h.T, "field")
	}
	return rapid.SampledFrom(fieldNames).Draw(h.T, "field")
}

func (h hostile) pipe(depth int) string {
	if rapid.Bool().Draw(h.T, "prefix") {
		calls := h.repeat("calls", 100, func() string { return h.function() + " (" })
		return calls + h.operand(depth) + strings.Repeat(")", strings.Count(calls, "("))
	}
	return h.operand(depth) + h.repeat("stages", 100, func() string { return "|" + h.function() })
}

func (h hostile) text(depth int) string {
	trim := rapid.SampledFrom([]string{"", "- "}).Draw(h.T, "trim")
	switch rapid.IntRange(0, 7).Draw(h.T, "construct") {
	case 0:
		return h.repeat("text", 16<<10, func() string { return "text " })
	case 1:
		n := 1
		if depth > 0 && !h.known {
			n = rapid.IntRange(1, 1000).Draw(h.T, "ifs")
		}
		return strings.Repeat("{{"+trim+"if "+h.pipe(1)+"}}", n) +
			h.repeat("body", 20, func() string { return h.text(depth - 1) }) + "{{else}}" + strings.Repeat("{{end}}", n)
	case 2:
		if h.known {
			return "{{/* a comment */}}"
		}
		return rapid.SampledFrom([]string{
			`{{ range .Projects }}{{ .Key }}{{ end }}`, `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`,
			`{{ block "x" . }}{{ end }}`,
			`{{ with .Key }}{{ . }}{{ end }}`, `{{ $x := .Key }}{{ $x }}`, `{{/* `, `*/}}`, `{{ "`, "{{`", `{{'`, `{{`, `{{end}}`,
		}).Draw(h.T, "other")
	case 3:
		if h.known {
			return "{{" + h.pipe(3) + "}}"
		}
		return strings.Repeat("{{"+h.pipe(1)+"}}", rapid.IntRange(1, 3000).Draw(h.T, "actions"))
	default:
		return "{{" + trim + h.pipe(2) + "}}"
	}
}

// TestCost generates hostile templates, with any number of entries.
func TestCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, templates := hostile{t, rapid.Bool().Draw(t, "known")}, map[string]v1alpha1.EntryTemplate{}
		text := h.repeat("parts", 50, func() string { return h.text(3) })
		for i := range rapid.SampledFrom([]int{1, 2, 4, 16, 17}).Draw(t, "entries") {
			templates[fmt.Sprint("e", i)] = v1alpha1.EntryTemplate(text[:min(len(text), 16<<10)])
		}
		_, _ = withinBounds(t, templates, values)
	})
}

// TestCostOfTheLargest checks templates at the bounds, which are accepted.
func TestCostOfTheLargest(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		entries int
		refused bool
	}{
		"calls":                {text: strings.Repeat("{{ .Projects | b64enc }}", 11), entries: 4},
		"calls, unseen":        {text: strings.Repeat("{{ if .Projects | b64enc | quote | urlquery }}{{ end }}", 5), entries: 6},
		"calls of long texts":  {text: "{{ if \"" + strings.Repeat("x", 900) + "\" | quote | b64enc | quote }}{{ end }}", entries: 16},
		"actions":              {text: strings.Repeat(`{{""}}`, 256), entries: 16},
		"long actions":         {text: strings.Repeat(`{{"`+strings.Repeat("x", 1000)+`"}}`, 4), entries: 16},
		"text":                 {text: strings.Repeat("x", 4<<10), entries: 16},
		"fields":               {text: strings.Repeat("{{.Projects}}", 8), entries: 15},
		"a chain of 54":        {text: "{{if (.Projects" + strings.Repeat("|b64enc", 54) + ")}}x{{end}}", entries: 1, refused: true},
		"a nested chain":       {text: "{{if " + strings.Repeat("quote (", 24) + ".Key" + strings.Repeat(")", 24) + "}}x{{end}}", entries: 1, refused: true},
		"more than all may be": {text: strings.Repeat("{{.Projects}}", 16), entries: 16, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			templates := map[string]v1alpha1.EntryTemplate{}
			for i := range test.entries {
				templates[fmt.Sprint("e", i)] = v1alpha1.EntryTemplate(test.text)
			}
			if _, err := withinBounds(t, templates, values); err != nil != test.refused {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAsTextTemplate: what is accepted is rendered as text/template does, for any values that the
// schema admits, which Check need not see.
func TestAsTextTemplate(t *testing.T) {
	functions := template.FuncMap{
		"b64enc":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"urlquery": url.QueryEscape,
		"quote": func(s string) (string, error) {
			var out bytes.Buffer
			encoder := json.NewEncoder(&out)
			encoder.SetEscapeHTML(false)
			err := encoder.Encode(s)
			return strings.TrimSuffix(out.String(), "\n"), err
		},
	}
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[!-~]{20,512}`).Draw(t, "key")
		values := secrettemplate.Values{
			Key: func() string { return key }, KeyID: "k1", Name: rapid.StringMatching(`[a-z0-9]{1,253}`).Draw(t, "name"), Namespace: "acme",
			Group: "acme/acme", Projects: rapid.SliceOfN(rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?`), 1, 64).Draw(t, "projects"),
			ExpiresAt: rapid.SampledFrom([]string{"", "2030-01-01T00:00:00Z"}).Draw(t, "expiresAt"),
		}
		text := modest{t}.list(2)
		rendered, err := withinBounds(t, map[string]v1alpha1.EntryTemplate{"e": v1alpha1.EntryTemplate(text)}, values)
		if err != nil {
			return
		}
		accepted++
		var want bytes.Buffer
		data := map[string]string{
			"Key": key, "KeyID": values.KeyID, "Name": values.Name, "Namespace": values.Namespace, "Group": values.Group,
			"Projects": strings.Join(values.Projects, ","), "ExpiresAt": values.ExpiresAt,
		}
		if err := template.Must(template.New("e").Funcs(functions).Parse(text)).Execute(&want, data); err != nil || want.String() != string(rendered["e"]) {
			t.Fatalf("%q: got %q, want %q, %v", text, rendered["e"], want.String(), err)
		}
	})
	if accepted == 0 {
		t.Error("no template was accepted")
	}
}

// modest generates templates that are mostly accepted.
type modest struct{ *rapid.T }

func (m modest) pipe(depth int) string {
	choose := func(of ...string) string { return rapid.SampledFrom(of).Draw(m.T, "choice") }
	operand := choose(".Key", ".KeyID", ".Name", ".Namespace", ".Group", ".Projects", ".ExpiresAt", `""`, `"a\"b"`, "`c`")
	if depth > 0 && rapid.IntRange(0, 4).Draw(m.T, "nested") == 0 {
		operand = "(" + m.pipe(depth-1) + ")"
	}
	return operand + choose("", "", " | b64enc", " | quote", " | urlquery", " | quote | urlquery", " | urlquery | b64enc | quote")
}

func (m modest) list(depth int) string {
	var out strings.Builder
	for range rapid.IntRange(0, 4).Draw(m.T, "nodes") {
		switch rapid.IntRange(0, 4).Draw(m.T, "node") {
		case 0:
			out.WriteString(rapid.SampledFrom([]string{"text", " \n ", "}}", "é", "{{/* c */}}", "{{- /* c */ -}}"}).Draw(m.T, "text"))
		case 1:
			if depth > 0 {
				out.WriteString("{{ if " + m.pipe(2) + " -}} " + m.list(depth-1) + " {{- else if " + m.pipe(1) + " }}" + m.list(depth-1) + "{{ else }}" + m.list(depth-1) + "{{ end }}")
			}
		default:
			out.WriteString("{{ " + m.pipe(2) + " }}")
		}
	}
	return out.String()
}

// FuzzTemplate: any template is rendered or refused within bounds, and a refusal does
// not contain the key.
func FuzzTemplate(f *testing.F) {
	f.Add(`ACME_KEY={{ .Key | quote }}`)
	f.Add(`{{ if .Key }}{{ else if .Name }}{{ end }}`)
	f.Add(`{{ define "a" }}{{ end }}{{ with .Key }}{{ break }}{{ end }}`)
	f.Add(`{{if (.Projects` + strings.Repeat("|b64enc", 36) + `)}}x{{end}}`)
	f.Add(`{{ "}}" | quote }}{{ '(' }}{{- /* {{ */ -}}` + "{{ `}}` }}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := withinBounds(t, map[string]v1alpha1.EntryTemplate{"e": v1alpha1.EntryTemplate(text)}, values); err != nil &&
			strings.Contains(err.Error(), "secret") && !strings.Contains(text, "secret") {
			t.Errorf("the refusal holds the key: %v", err)
		}
	})
}
