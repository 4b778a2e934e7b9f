// Package secrettemplate renders the entries of a Secret from templates that users write.
//
// The language is a small part of that of text/template: text, if and else, fields, string
// literals and three functions, without loops, variables and nested templates. Functions make
// longer texts of their arguments, so a chain of them grows exponentially, also where its
// result is never output. The work is therefore bounded before it is done: by the size and
// the form of the templates, and by a budget of bytes that every text which is made is taken
// from. Admission and controller render with the same code in the same bounds, and admission
// with the longest values that there can be: what it accepts, the controller can render.
package secrettemplate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Bounds of the templates of one Secret.
const (
	// MaxEntries is how many templates there may be.
	MaxEntries = 16
	// MaxTemplates is how many bytes all of them may have together.
	MaxTemplates = 64 << 10
	// MaxSize is how many bytes an entry may have when rendered, and an argument of a function.
	MaxSize = 64 << 10
	// MaxWork is how many bytes all entries may have together, with all results of functions.
	MaxWork = 512 << 10
)

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

var fields = []string{"Key", "KeyID", "Name", "Namespace", "Group", "Projects", "ExpiresAt"}

// byField are the values as templates see them.
func (v Values) byField() map[string]string {
	return map[string]string{
		"Key": v.Key(), "KeyID": v.KeyID, "Name": v.Name, "Namespace": v.Namespace,
		"Group": v.Group, "Projects": strings.Join(v.Projects, ","), "ExpiresAt": v.ExpiresAt,
	}
}

// longest are the values from which the longest texts follow, by what the schema admits. A
// quotation mark is the character that all functions make the most of. Only expiresAt can be
// empty, and lead into the other branch of an if.
func longest(expiresAt string) Values {
	const (
		maxKeyID, maxLabel, maxName = 32, 63, 253
		maxProjects                 = 64
	)
	return Values{
		Key:       func() string { return strings.Repeat(`"`, keyformat.MaxImport) },
		KeyID:     strings.Repeat("k", maxKeyID),
		Name:      strings.Repeat("n", maxName),
		Namespace: strings.Repeat("n", maxLabel),
		Group:     strings.Repeat("n", maxLabel) + "/" + strings.Repeat("n", maxName),
		Projects:  slices.Repeat([]string{strings.Repeat("p", maxLabel)}, maxProjects),
		ExpiresAt: expiresAt,
	}
}

// Check returns what is wrong with the templates, the first by name, or nil: then Render
// succeeds whatever the values are.
func Check(templates map[string]v1alpha1.EntryTemplate) error {
	if len(templates) == 0 {
		return nil
	}
	entries, err := compile(templates)
	if err != nil {
		return err
	}
	for _, expiresAt := range []string{"9999-12-31T23:59:59Z", ""} {
		if _, err := render(entries, longest(expiresAt)); err != nil {
			return fmt.Errorf("%w, where names and key are as long as they can be", err)
		}
	}
	return nil
}

// Render renders all templates. An error names the entry, never a value.
func Render(templates map[string]v1alpha1.EntryTemplate, values Values) (map[string][]byte, error) {
	entries, err := compile(templates)
	if err != nil {
		return nil, err
	}
	return render(entries, values)
}

// entry is a template whose form was checked.
type entry struct {
	name string
	root *parse.ListNode
}

// compile reads the templates, in the order of their names.
func compile(templates map[string]v1alpha1.EntryTemplate) ([]entry, error) {
	if len(templates) > MaxEntries {
		return nil, fmt.Errorf("there are %d entries; write at most %d", len(templates), MaxEntries)
	}
	size := 0
	for _, text := range templates {
		size += len(text)
	}
	if size > MaxTemplates {
		return nil, fmt.Errorf("the templates have %d bytes together; write at most %d", size, MaxTemplates)
	}
	entries := make([]entry, 0, len(templates))
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		root, err := read(string(templates[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		entries = append(entries, entry{name, root})
	}
	return entries, nil
}

func render(entries []entry, values Values) (map[string][]byte, error) {
	r := &renderer{values: values.byField(), left: MaxWork}
	rendered := make(map[string][]byte, len(entries))
	for _, entry := range entries {
		var out output
		if err := r.list(&out, entry.root); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.name, err)
		}
		rendered[entry.name] = out.text
	}
	return rendered, nil
}

var (
	errSize = fmt.Errorf("the entry, or what a function is given, is larger than %d bytes", MaxSize)
	errWork = fmt.Errorf("all entries, with what functions make on the way, are larger than %d bytes", MaxWork)

	errForm = errors.New("the template has another form than was checked")
)
