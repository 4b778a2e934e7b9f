// Package configfile reads the manager's configuration files strictly: a field that is unknown, is given twice, or has an invalid
// value is an error, which names the field.
package configfile

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Fields are those of an object, each as it is written.
type Fields map[string]stdjson.RawMessage

// Load reads a file with parse. An error is one line that names the file, what is wrong where, and how to fix it.
func Load[T any](path string, parse func([]byte) (*T, error)) (*T, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator says which file
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	parsed, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return parsed, nil
}

// Parse reads the fields of the only document of a text.
func Parse(data []byte) (Fields, error) {
	encoded, err := yaml.YAMLToJSONStrict(data)
	switch {
	case err != nil && strings.Contains(err.Error(), "already set in map"):
		return nil, fmt.Errorf("%s; give it once", OneLine(err))
	case err != nil:
		return nil, errors.New(OneLine(err))
	}
	if err := onlyDocument(data); err != nil {
		return nil, err
	}
	var top Fields
	if err := json.UnmarshalCaseSensitivePreserveInts(encoded, &top); err != nil {
		return nil, errors.New(strings.TrimPrefix(OneLine(err), "json: "))
	}
	return top, nil
}

// onlyDocument refuses a second document, which decoders of one document leave out without a word.
func onlyDocument(data []byte) error {
	decoder := goyaml.NewDecoder(bytes.NewReader(data))
	for first := true; ; first = false {
		var document any
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errors.New(OneLine(err))
		case !first && document != nil: // null is a document of comments only
			return errors.New("there is more than one document; write all in one, without ---")
		}
	}
}

// OneLine is the text of an error on one line.
func OneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// Decode sets the fields of an object one by one, so that each error names its field, and all are found. The hints say what to write
// into a field whose value cannot be read.
func Decode(into any, written Fields, path *field.Path, hints map[string]string) field.ErrorList {
	var problems field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(written)) {
		one, err := stdjson.Marshal(Fields{name: written[name]})
		if err == nil {
			var unknown []error
			if unknown, err = json.UnmarshalStrict(one, into); len(unknown) > 0 {
				problems = append(problems, field.Forbidden(path.Child(name), "unknown field; remove it, or correct its name"))
			}
		}
		if err != nil {
			problems = append(problems, field.Invalid(path.Child(name), Shown(written[name]), hints[name]))
		}
	}
	return problems
}

// Shown is a value as it is written, or nothing where that would fill the line.
func Shown(value stdjson.RawMessage) any {
	if len(value) > 200 {
		return field.OmitValueType{}
	}
	return value
}
