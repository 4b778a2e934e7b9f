package secrettemplate_test

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey/secrettemplate"
)

var values = secrettemplate.Values{
	Key: func() string { return `kw_"secret"` }, KeyID: "k1", Name: "web", Namespace: "acme",
	Group: "acme/acme", Projects: []string{"a", "b"},
}

func TestRender(t *testing.T) {
	tests := map[string]struct{ template, want string }{
		"a line":      {"ACME_KEY={{ .Key }}\n", "ACME_KEY=kw_\"secret\"\n"},
		"JSON":        {`{"key": {{ .Key | quote }}}`, `{"key": "kw_\"secret\""}`},
		"basic auth":  {`{{ b64enc .Key }}`, "a3dfInNlY3JldCI="},
		"a URL":       {`?k={{ urlquery .Key }}`, "?k=kw_%22secret%22"},
		"a condition": {`{{ if .ExpiresAt }}{{ .ExpiresAt }}{{ else }}never{{ end }}`, "never"},
		"all fields":  {`{{.KeyID}} {{.Name}} {{.Namespace}} {{.Group}} {{.Projects}}`, "k1 web acme acme/acme a,b"},
		"a comment":   {`{{/* why */}}x`, "x"},
		"nothing":     {"", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := secrettemplate.Render(map[string]v1alpha1.EntryTemplate{"entry": v1alpha1.EntryTemplate(test.template)}, values)
			if err != nil {
				t.Fatal(err)
			}
			if string(got["entry"]) != test.want {
				t.Errorf("got %q, want %q", got["entry"], test.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct{ template, mention string }{
		"a field that is not there":   {`{{ .Keey }}`, ".Keey is not a field"},
		"a loop":                      {`{{ range .Projects }}x{{ end }}`, "not supported"},
		"a nested template":           {`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, "not supported"},
		"a block":                     {`{{ block "x" . }}{{ end }}`, "not supported"},
		"a huge printf":               {`{{ printf "%1000000000d" 1 }}`, "printf is not a function"},
		"a call":                      {`{{ call .Key }}`, "call is not a function"},
		"a variable":                  {`{{ $x := .Key }}{{ $x }}`, "variables"},
		"the whole context":           {`{{ . }}`, "not supported"},
		"a loop in an else":           {`{{ if .Key }}{{ else }}{{ range .Key }}{{ end }}{{ end }}`, "not supported"},
		"an unclosed action":          {`{{ .Key `, "unclosed"},
		"a method on a field":         {`{{ .Key.Len }}`, "not a field"},
		"too large":                   {strings.Repeat("x", secrettemplate.MaxSize+1), "larger"},
		"a function of too many args": {`{{ quote .Key .Key }}`, "cannot be executed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := secrettemplate.Check(map[string]v1alpha1.EntryTemplate{".env": v1alpha1.EntryTemplate(test.template)})
			if err == nil || !strings.HasPrefix(err.Error(), ".env: ") || !strings.Contains(err.Error(), test.mention) {
				t.Errorf("got %v, want an error of .env that mentions %q", err, test.mention)
			}
		})
	}
}

// FuzzCheck: whatever a user writes is rendered or refused, quickly and within bounds, and
// the refusal does not hold the key.
func FuzzCheck(f *testing.F) {
	f.Add(`ACME_KEY={{ .Key | quote }}`)
	f.Add(`{{ if .Key }}{{ else if .Name }}{{ end }}`)
	f.Add(`{{ define "a" }}{{ end }}{{ with .Key }}{{ break }}{{ end }}`)
	f.Fuzz(func(t *testing.T, text string) {
		rendered, err := secrettemplate.Render(map[string]v1alpha1.EntryTemplate{"e": v1alpha1.EntryTemplate(text)}, values)
		if err != nil && strings.Contains(err.Error(), "secret") && !strings.Contains(text, "secret") {
			t.Errorf("the refusal holds the key: %v", err)
		}
		if len(rendered["e"]) > secrettemplate.MaxSize {
			t.Errorf("%d bytes were rendered", len(rendered["e"]))
		}
	})
}
