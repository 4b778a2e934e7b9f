package main

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is an entry of values.yaml.
type value struct {
	path        []string
	description string
	// schema is what the comment says about the value, in place of what follows from the default.
	schema   map[string]any
	node     *yaml.Node // the default
	children []*value
}

const schemaPrefix = "+schema "

// parseValues reads values.yaml with its comments.
func parseValues(text []byte) (*value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	root := &value{node: document.Content[0], schema: nil}
	return root, root.addChildren()
}

// addChildren adds the entries of an object, unless the comment says what is in it.
func (v *value) addChildren() error {
	if v.node.Kind != yaml.MappingNode || v.schema != nil {
		return nil
	}
	var problems []error
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		child := &value{path: append(v.path[:len(v.path):len(v.path)], key.Value), node: v.node.Content[i+1]}
		if err := child.readComment(key.HeadComment); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", child.name(), err))
			continue
		}
		problems = append(problems, child.addChildren())
		v.children = append(v.children, child)
	}
	return errors.Join(problems...)
}

// readComment reads the paragraph above the value: others are about the file.
func (v *value) readComment(comment string) error {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.SplitSeq(paragraphs[len(paragraphs)-1], "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		rest, isSchema := strings.CutPrefix(line, schemaPrefix)
		if !isSchema {
			words = append(words, line)
			continue
		}
		if err := yaml.Unmarshal([]byte(rest), &v.schema); err != nil {
			return fmt.Errorf("its schema: %w", err)
		}
	}
	v.description = strings.TrimSpace(strings.Join(words, " "))
	return nil
}

func (v *value) name() string { return strings.Join(v.path, ".") }

// child returns the entry of that name.
func (v *value) child(name string) *value {
	for _, c := range v.children {
		if c.path[len(c.path)-1] == name {
			return c
		}
	}
	return nil
}
