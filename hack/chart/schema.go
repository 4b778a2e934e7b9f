package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
)

// definitions are what comments in values.yaml refer to.
//
//go:embed definitions.yaml
var definitions []byte

// jsonSchema returns values.schema.json: everything that is not in values.yaml is refused.
func (v *value) jsonSchema() ([]byte, error) {
	var defs map[string]any
	if err := yaml.Unmarshal(definitions, &defs); err != nil {
		return nil, fmt.Errorf("definitions.yaml: %w", err)
	}
	top, err := v.schemaOf()
	if err != nil {
		return nil, err
	}
	if defs["validators"], err = v.schemaOfValidators(); err != nil {
		return nil, err
	}
	top["$schema"] = "http://json-schema.org/draft-07/schema#"
	top["$defs"] = defs
	properties, _ := top["properties"].(map[string]any)
	properties["global"] = map[string]any{
		"type": "object", "description": "Not used. Charts that depend on this one pass it on to all of their charts.",
	}
	text, err := json.MarshalIndent(top, "", "  ")
	return append(text, '\n'), err
}

// schemaOf returns the schema of a value and everything in it.
func (v *value) schemaOf() (map[string]any, error) {
	schema := maps.Clone(v.schema)
	if schema == nil {
		kind, err := v.kind()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name(), err)
		}
		schema = map[string]any{"type": kind}
	}
	if v.schema == nil && v.node.Kind == yaml.MappingNode {
		properties := map[string]any{}
		var problems []error
		for _, child := range v.children {
			property, err := child.schemaOf()
			properties[child.path[len(child.path)-1]] = property
			problems = append(problems, err)
		}
		if err := errors.Join(problems...); err != nil {
			return nil, err
		}
		schema["properties"], schema["additionalProperties"] = properties, false
	}
	// Beside a $ref, draft 7 ignores everything.
	if ref, has := schema["$ref"]; has && v.description != "" {
		schema = map[string]any{"allOf": []any{map[string]any{"$ref": ref}}}
	}
	if v.description != "" {
		schema["description"] = v.description
	}
	return schema, nil
}

// kind returns the type that follows from the default.
func (v *value) kind() (string, error) {
	switch {
	case v.node.Kind == yaml.MappingNode && len(v.node.Content) > 0:
		return "object", nil
	case v.node.Tag == "!!str":
		return "string", nil
	case v.node.Tag == "!!bool":
		return "boolean", nil
	}
	return "", errors.New("its default does not say enough; add a line to its comment: +schema {type: …}")
}

// schemaOfValidators returns the schema of the list: each entry has a name and may have anything that validator has.
func (v *value) schemaOfValidators() (map[string]any, error) {
	defaults := v.child("validator")
	if defaults == nil {
		return nil, errors.New("validator is missing")
	}
	properties := map[string]any{"name": map[string]any{
		"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 40,
		"description": "Part of the names of its objects.",
	}}
	for _, child := range defaults.children {
		name := child.path[len(child.path)-1]
		properties[name] = map[string]any{"$ref": "#/properties/validator/properties/" + name}
	}
	return map[string]any{"type": "array", "items": map[string]any{
		"type": "object", "required": []string{"name"}, "properties": properties, "additionalProperties": false,
	}}, nil
}
