// Package secrettemplate renders the entries of a Secret from templates that users write.
// The language is text/template without anything that could run long or grow large: no
// loops, no nested templates, no variables, and three functions.
package secrettemplate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// MaxSize is how many bytes an entry may have when rendered.
const MaxSize = 64 << 10

// Values are what templates may use.
type Values struct {
	// Key is the plaintext: Values live only while a Secret is rendered.
	Key func() string

	KeyID     string
	Name      string
	Namespace string
	Group     string
	Projects  []string
	// ExpiresAt is RFC 3339 in UTC, empty where the key never ends.
	ExpiresAt string
}

// functions that templates may call.
var functions = template.FuncMap{
	"b64enc":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"quote":    quote,
	"urlquery": url.QueryEscape,
}

var fields = []string{"Key", "KeyID", "Name", "Namespace", "Group", "Projects", "ExpiresAt"}

// Check returns what is wrong with the templates, the first by name, or nil.
func Check(templates map[string]v1alpha1.EntryTemplate) error {
	_, err := Render(templates, Values{
		Key: func() string { return "kw_sample" }, KeyID: "k0", Name: "name", Namespace: "namespace",
		Group: "group", Projects: []string{"project"}, ExpiresAt: "2030-01-01T00:00:00Z",
	})
	return err
}

// Render renders all templates. An error names the entry, never a value.
func Render(templates map[string]v1alpha1.EntryTemplate, values Values) (map[string][]byte, error) {
	data := map[string]any{
		"Key": values.Key(), "KeyID": values.KeyID, "Name": values.Name, "Namespace": values.Namespace,
		"Group": values.Group, "Projects": strings.Join(values.Projects, ","), "ExpiresAt": values.ExpiresAt,
	}
	rendered := make(map[string][]byte, len(templates))
	for _, entry := range slices.Sorted(maps.Keys(templates)) {
		text, err := render(string(templates[entry]), data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry, err)
		}
		rendered[entry] = text
	}
	return rendered, nil
}

func render(text string, data map[string]any) ([]byte, error) {
	tmpl, err := template.New("entry").Funcs(functions).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if len(tmpl.Templates()) > 1 {
		return nil, errors.New("nested templates are not supported")
	}
	if tmpl.Tree != nil {
		if err := check(tmpl.Root); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, data); err != nil {
		return nil, errors.New("the template cannot be executed; use only fields and the functions b64enc, quote and urlquery")
	}
	if out.Len() > MaxSize {
		return nil, fmt.Errorf("the entry is larger than %d bytes", MaxSize)
	}
	return out.Bytes(), nil
}

// check refuses every construct but text, if, fields, strings and the functions.
func check(node parse.Node) error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return checkAll(n.Nodes)
	case *parse.TextNode, *parse.StringNode, *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		return check(n.Pipe)
	case *parse.IfNode:
		return checkAll([]parse.Node{n.Pipe, n.List, n.ElseList})
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return errors.New("variables are not supported")
		}
		for _, command := range n.Cmds {
			if err := checkAll(command.Args); err != nil {
				return err
			}
		}
		return nil
	case *parse.FieldNode:
		if len(n.Ident) == 1 && slices.Contains(fields, n.Ident[0]) {
			return nil
		}
		return fmt.Errorf(".%s is not a field; use .%s", strings.Join(n.Ident, "."), strings.Join(fields, ", ."))
	case *parse.IdentifierNode:
		if _, known := functions[n.Ident]; known {
			return nil
		}
		return fmt.Errorf("%s is not a function here; use b64enc, quote or urlquery", n.Ident)
	default:
		return fmt.Errorf("%s is not supported; use fields, if and else, and the functions b64enc, quote and urlquery", node)
	}
}

func checkAll(nodes []parse.Node) error {
	for _, node := range nodes {
		if err := check(node); err != nil {
			return err
		}
	}
	return nil
}

func quote(s string) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "", err
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
