// Package specchange describes changes of objects: who made them, how, and what they changed. Admission stamps the last ones on the
// object, together with the change itself; the log of the Group is written from there. It is pure.
package specchange

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

const (
	// kept is how many changes an object has, and maxSize the length of all of them.
	kept, maxSize = 4, 8 << 10
	// maxValue is the length of a value.
	maxValue = 256
	// maxGroups is how many groups of a user are recorded, and maxName the length of each and of a user's name.
	maxGroups, maxName = 8, 256
)

// Fields of annotations, by which users ask for something.
const (
	FieldRequest = "metadata.annotations[" + v1alpha1.AnnotationRotateRequestedAt + "]"
	FieldClaim   = "metadata.annotations[" + v1alpha1.AnnotationClaimedVersion + "]"
)

// Fields that have events of their own.
const (
	FieldSuspended = "spec.suspended"
	FieldRevoked   = "spec.revoked"
	FieldTrigger   = "spec.rotation.trigger"
	FieldOverlap   = "spec.rotation.overlap"
	FieldState     = "spec.state"
	FieldTier      = "spec.tier"
)

// Change is one request that created or changed an object.
type Change struct {
	// Generation is metadata.generation after it; that of the creation is 1.
	Generation int64 `json:"generation"`
	// Spec reports whether it changed the spec, or created the object.
	Spec bool `json:"spec,omitempty"`
	// At is when.
	At time.Time `json:"at"`
	// User and Groups are as the API server authenticated them, and Via is what the client says about itself.
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
	Via    string   `json:"via"`
	// Fields are those of a fixed list that it changed.
	Fields []Field `json:"fields,omitempty"`
}

// Field is a changed field. Of a list, Before has what was removed, and After what was added. Of names with values that are not
// recorded, both have those whose value was changed, too.
type Field struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Field returns the change of a field.
func (c *Change) Field(path string) (Field, bool) {
	i := slices.IndexFunc(c.Fields, func(f Field) bool { return f.Path == path })
	if i < 0 {
		return Field{}, false
	}
	return c.Fields[i], true
}

// Of returns the changes that an annotation has, oldest first; none if it is not as admission writes it.
func Of(annotations map[string]string) []Change {
	text := annotations[v1alpha1.AnnotationChanges]
	var changes []Change
	if text == "" || len(text) > maxSize || json.Unmarshal([]byte(text), &changes) != nil {
		return nil
	}
	return changes
}

// Add returns the annotation with another change. Earlier ones give way to it.
func Add(annotations map[string]string, change Change) (string, error) {
	change.clip()
	changes := append(Of(annotations), change)
	changes = changes[max(0, len(changes)-kept):]
	for {
		encoded, err := json.Marshal(changes)
		if err != nil {
			return "", fmt.Errorf("encoding a change: %w", err)
		}
		last := &changes[len(changes)-1]
		switch {
		case len(encoded) <= maxSize:
			return string(encoded), nil
		case len(changes) > 1:
			changes = changes[1:]
		case len(last.Fields) > 0:
			last.Fields = last.Fields[:len(last.Fields)-1]
		default:
			last.Groups, last.User = nil, clip(last.User, maxName/2)
		}
	}
}

// clip bounds who made a change.
func (c *Change) clip() {
	c.User = clip(c.User, maxName)
	c.Groups = slices.Clone(c.Groups[:min(len(c.Groups), maxGroups)])
	for i := range c.Groups {
		c.Groups[i] = clip(c.Groups[i], maxName)
	}
}

// Diff returns which of the fields that the log records differ between two objects of a kind; of a new object, old has nothing.
func Diff(kind string, old, object map[string]any) []Field {
	var fields []Field
	for _, path := range paths[kind] {
		if f, changed := diff(path, valueAt(old, path), valueAt(object, path)); changed {
			f.Before, f.After = shown(f.Before), shown(f.After)
			fields = append(fields, f)
		}
	}
	for _, f := range []struct{ path, annotation string }{
		{FieldRequest, v1alpha1.AnnotationRotateRequestedAt}, {FieldClaim, v1alpha1.AnnotationClaimedVersion},
	} {
		before, after := annotationOf(old, f.annotation), annotationOf(object, f.annotation)
		if kind == "ApiKey" && before != after {
			fields = append(fields, Field{f.path, shown(before), shown(after)})
		}
	}
	return fields
}

func diff(path string, before, after any) (f Field, changed bool) {
	f.Path = path
	switch {
	case strings.Contains(path, "{"):
		named, _ := before.(map[string]any)
		others, _ := after.(map[string]any)
		f.Before, f.After = differing(named, others), differing(others, named)
		return f, f.Before != "" || f.After != ""
	case isList(before) || isList(after):
		f.Before, f.After = differences(texts(before), texts(after))
	default:
		f.Before, f.After = text(before), text(after)
	}
	return f, f.Before != f.After
}

// differing returns the names that the others have not, or with another value.
func differing(named, others map[string]any) string {
	return strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(named)), func(name string) bool {
		other, has := others[name]
		return has && reflect.DeepEqual(named[name], other)
	}), ", ")
}

func annotationOf(object map[string]any, name string) string {
	value, _, _ := unstructured.NestedFieldNoCopy(object, "metadata", "annotations", name)
	text, _ := value.(string)
	return text
}

// valueAt returns the value of a path. The last part may be [] for a list, and [].name for the names in a list of objects. Of {} in an
// object, and of {field} in a list of objects with names, only the names are recorded: those whose value, or whose field, is changed.
func valueAt(object map[string]any, path string) any {
	path, name, _ := strings.Cut(path, "[]")
	path, field, ofNames := strings.Cut(path, "{")
	value, _, err := unstructured.NestedFieldNoCopy(object, strings.Split(path, ".")...)
	if err != nil {
		return nil
	}
	switch {
	case ofNames:
		return byName(value, strings.TrimSuffix(field, "}"))
	case name != "":
		items, _ := value.([]any)
		names := make([]any, 0, len(items))
		for _, item := range items {
			fields, _ := item.(map[string]any)
			names = append(names, fields[strings.TrimPrefix(name, ".")])
		}
		return names
	}
	return value
}

// byName returns the values of an object, or a field of each object of a list that has it.
func byName(value any, field string) map[string]any {
	if field == "" {
		values, _ := value.(map[string]any)
		return values
	}
	values := map[string]any{}
	items, _ := value.([]any)
	for _, item := range items {
		fields, _ := item.(map[string]any)
		if of, has := fields[field]; has {
			values[text(fields["name"])] = of
		}
	}
	return values
}

func isList(value any) bool {
	_, is := value.([]any)
	return is
}

func texts(value any) []string {
	list, _ := value.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		all = append(all, text(item))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func text(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case bool:
		return strconv.FormatBool(value)
	case int64:
		return strconv.FormatInt(value, 10)
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return "…" // of another type: the schema refuses it
	}
}

// differences returns what only the first list has, and what only the second has.
func differences(before, after []string) (removed, added string) {
	only := func(list, other []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) }), ", ")
	}
	return only(before, after), only(after, before)
}

// shown returns a value as it may be recorded: of bounded length, and without anything that is the text of a key.
func shown(value string) string {
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return !strings.ContainsRune(keyRunes, r) }) {
		if keyformat.WellFormed(word) {
			return "(the text of a key)"
		}
	}
	return clip(value, maxValue)
}

const keyRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// clip returns a valid text of at most so many bytes.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= most {
		return text
	}
	end := most - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
