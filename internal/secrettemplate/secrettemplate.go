// Package secrettemplate renders the entries of a Secret from templates that users write.
//
// The language is a small part of that of text/template: text, if and else, fields, string
// literals and three functions, without loops, assignments and nested templates. Functions return
// texts that are longer than their arguments, so a chain of them grows exponentially, also where its
// result is never output. The work is therefore bounded before it is done: by the size and
// the form of the templates, and by a budget of bytes that covers every text that is produced.
// Admission and the controller render with the same code within the same bounds, and admission
// with the longest possible values: the controller can render what admission accepts.
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
	// MaxEntries is the greatest number of templates.
	MaxEntries = 16
	// MaxTemplates is the greatest number of bytes of all templates together.
	MaxTemplates = 64 << 10
	// MaxSize is the greatest number of bytes of a rendered entry, and of an argument of a function.
	MaxSize = 64 << 10
	// MaxWork is the greatest number of bytes of all entries together, with all results of functions.
	MaxWork = 512 << 10
)

// Values are what the variables are taken from.
type Values struct {
	// Key returns the plaintext: Values exist only while a Secret is rendered.
	Key func() string

	KeyID     string
	Name      string
	Namespace string
	Group     string
	Projects  []string
	// ExpiresAt is RFC 3339 in UTC, empty where the key never expires.
	ExpiresAt string
}

// longest returns the values that result in the longest texts, within what the schema admits. A
// quotation mark is the character that all functions lengthen the most. Only expiresAt can be
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

// EntryError says what is wrong with the template of an entry, or with all of them where Entry is empty.
type EntryError struct {
	Entry string
	Err   error
}

// Error returns the error in one line, the entry first.
func (e *EntryError) Error() string {
	if e.Entry == "" {
		return e.Err.Error()
	}
	return e.Entry + ": " + e.Err.Error()
}

// Unwrap returns the error without the entry.
func (e *EntryError) Unwrap() error { return e.Err }

// CheckAll returns what is wrong with the templates, one error for each entry at most. Without errors Render succeeds
// with any values.
func CheckAll(templates map[string]v1alpha1.EntryTemplate) []*EntryError {
	if len(templates) == 0 {
		return nil
	}
	entries, wrong := compile(templates)
	for _, expiresAt := range []string{"9999-12-31T23:59:59Z", ""} {
		_, failed := render(entries, longest(expiresAt))
		for _, e := range failed {
			wrong = append(wrong, &EntryError{e.Entry, fmt.Errorf("%w, where names and key are as long as they can be", e.Err)})
			entries = slices.DeleteFunc(entries, func(of entry) bool { return of.name == e.Entry })
		}
	}
	return wrong
}

// Check returns the first error of CheckAll, or nil.
func Check(templates map[string]v1alpha1.EntryTemplate) error {
	return first(CheckAll(templates))
}

// Render renders all templates. An error names the entry, never a value.
func Render(templates map[string]v1alpha1.EntryTemplate, values Values) (map[string][]byte, error) {
	entries, wrong := compile(templates)
	if err := first(wrong); err != nil {
		return nil, err
	}
	rendered, wrong := render(entries, values)
	if err := first(wrong); err != nil {
		return nil, err
	}
	return rendered, nil
}

func first(wrong []*EntryError) error {
	if len(wrong) == 0 {
		return nil
	}
	return wrong[0]
}

// entry is a template whose form was checked.
type entry struct {
	name string
	root *parse.ListNode
}

// compile parses the templates, in the order of their names.
func compile(templates map[string]v1alpha1.EntryTemplate) ([]entry, []*EntryError) {
	if len(templates) > MaxEntries {
		return nil, []*EntryError{{Err: fmt.Errorf("there are %d entries; write at most %d", len(templates), MaxEntries)}}
	}
	size := 0
	for _, text := range templates {
		size += len(text)
	}
	if size > MaxTemplates {
		return nil, []*EntryError{{Err: fmt.Errorf("the templates have %d bytes together; write at most %d", size, MaxTemplates)}}
	}
	var wrong []*EntryError
	entries := make([]entry, 0, len(templates))
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		root, err := parseEntry(string(templates[name]))
		if err != nil {
			wrong = append(wrong, &EntryError{name, err})
			continue
		}
		entries = append(entries, entry{name, root})
	}
	return entries, wrong
}

// render stops at the entry at which the work of all of them exceeds its bound.
func render(entries []entry, values Values) (rendered map[string][]byte, wrong []*EntryError) {
	r := &renderer{values: values.byName(), left: MaxWork}
	rendered = make(map[string][]byte, len(entries))
	for _, entry := range entries {
		var out output
		if err := r.list(&out, entry.root); err != nil {
			wrong = append(wrong, &EntryError{entry.name, err})
			if errors.Is(err, errWork) {
				return rendered, wrong
			}
			continue
		}
		rendered[entry.name] = out.text
	}
	return rendered, wrong
}

var (
	errSize = fmt.Errorf("the entry, or the argument of a function, is larger than %d bytes; shorten it", MaxSize)
	errWork = fmt.Errorf("all entries, with the intermediate results of functions, are larger than %d bytes; shorten them", MaxWork)

	errForm = errors.New("the template has another form than was checked")
)
