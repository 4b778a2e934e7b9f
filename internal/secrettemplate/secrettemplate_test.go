package secrettemplate_test

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/secrettemplate"
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
		"a field that is not there": {`{{ .Keey }}`, ".Keey is not a field"},
		"a loop":                    {`{{ range .Projects }}x{{ end }}`, "not supported"},
		"a nested template":         {`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, "not supported"},
		"a block":                   {`{{ block "x" . }}{{ end }}`, "not supported"},
		"a huge printf":             {`{{ printf "%1000000000d" 1 }}`, "printf is not a function"},
		"a call":                    {`{{ call .Key }}`, "call is not a function"},
		"a variable":                {`{{ $x := .Key }}{{ $x }}`, "variables"},
		"the whole context":         {`{{ . }}`, "not supported"},
		"a loop in an else":         {`{{ if .Key }}{{ else }}{{ range .Key }}{{ end }}{{ end }}`, "not supported"},
		"an unclosed action":        {`{{ .Key `, "unclosed"},
		"a method on a field":       {`{{ .Key.Len }}`, "not a field"},
		"too large": {strings.Repeat(`{{ .Key | urlquery | quote | urlquery }}`, 5) +
			strings.Repeat("x", secrettemplate.MaxSize-2000), "larger"},
		"large only when all is long": {strings.Repeat(`{{ .Projects }}`, 17), "as long as they can be"},
		"a function of too many args": {`{{ quote .Key .Key }}`, "takes one text, and is given 2"},
		"a function of none":          {`{{ quote }}`, "takes one text, and is given 0"},
		"a function as an argument":   {`{{ quote b64enc }}`, "not supported"},
		"a field that is given one":   {`{{ "a" | .Key }}`, "takes no argument"},
		"only in the other branch":    {`{{ if .ExpiresAt }}{{ else }}{{ quote .Key .Key }}{{ end }}`, "takes one text"},
		"a long pipeline":             {`{{ .Key | b64enc | b64enc | b64enc | b64enc }}`, "more than 3 functions"},
		"a long nested pipeline":      {`{{ if (b64enc (b64enc (.Key | b64enc | b64enc))) }}x{{ end }}`, "more than 3 functions"},
		"many calls":                  {strings.Repeat(`{{ b64enc "" }}`, 17), "more than 16 times"},
		"many actions":                {strings.Repeat(`{{ "" }}`, 257), "more than 256 actions"},
		"a long action":               {`{{ if "}}" }}{{ "` + strings.Repeat("x", 1024) + `" }}{{ end }}`, "more than 1024 bytes"},
		"deep parentheses": {`{{ ` + strings.Repeat("(", 9) + `.Key` + strings.Repeat(")", 9) + ` }}`,
			"more than 8 parentheses"},
		"deep conditions":             {strings.Repeat(`{{ if .Key }}`, 9) + strings.Repeat(`{{ end }}`, 9), "more than 8 if"},
		"a template in its own place": {`{{ define "entry" }}x{{ end }}`, "not supported"},
		"a long name of a function":   {`{{ ` + strings.Repeat("x", 1000) + ` }}`, "xx… is not a function"},
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
