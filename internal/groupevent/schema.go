package groupevent

import (
	"encoding/json"
	"reflect"
	"strings"
)

// object is a JSON Schema, or a part of one.
type object = map[string]any

func text(description string) object { return object{"type": "string", "description": description} }

func fixed(value any) object { return object{"const": value} }

func closed(required []string, properties object) object {
	return object{"type": "object", "additionalProperties": false, "required": required, "properties": properties}
}

// Schema returns the JSON Schema of an event.
func Schema() ([]byte, error) {
	types, kinds := []string{}, []object{}
	for _, entry := range catalogue {
		types = append(types, string(entry.Type))
		kinds = append(kinds, object{
			"if": object{"properties": object{"type": fixed(entry.Type)}},
			"then": object{"properties": object{"data": object{"properties": object{
				"activity_id": fixed(entry.Activity), "severity_id": fixed(entry.Severity),
				"unmapped": schemaOf(reflect.TypeOf(entry.Example)),
			}}}},
		})
	}
	schema := closed(
		[]string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "sequence", "data"},
		object{
			"specversion": fixed(specVersion),
			"id":          text("is the same however often the event is sent"),
			"source":      object{"type": "string", "pattern": "^/keyward/namespaces/[^/]+/groups/[^/]+$"},
			"type": object{"type": "string", "examples": types, "pattern": `^dev\.keyward\.`,
				"description": "receivers ignore types that they do not know"},
			"subject":         text("is namespace/name of the object"),
			"time":            object{"type": "string", "format": "date-time"},
			"datacontenttype": fixed(contentType),
			"dataschema":      fixed(SchemaID),
			"sequence":        object{"type": "string", "pattern": "^[0-9]{20}$", "description": "is the position in the log of the Group"},
			"data":            dataSchema(),
		})
	schema["$schema"], schema["$id"] = "https://json-schema.org/draft/2020-12/schema", SchemaID
	schema["title"], schema["allOf"] = "Event in the log of a Group of Keyward", kinds
	return json.MarshalIndent(schema, "", "  ")
}

func dataSchema() object {
	hash := closed([]string{"algorithm", "algorithm_id", "value"}, object{
		"algorithm": fixed("SHA-256"), "algorithm_id": fixed(3), "value": object{"type": "string", "pattern": "^[0-9a-f]{64}$"},
	})
	name := closed([]string{"name"}, object{"name": object{"type": "string"}})
	return closed(
		[]string{"class_uid", "category_uid", "activity_id", "type_uid", "severity_id", "status_id", "time", "metadata", "actor", "entity",
			"attestation_list", "unmapped"},
		object{
			"class_uid": fixed(ocsfClass), "category_uid": fixed(ocsfClass / 1000), "activity_id": object{"type": "integer"},
			"type_uid": object{"type": "integer"}, "severity_id": object{"type": "integer"}, "status_id": fixed(1),
			"time": object{"type": "integer", "description": "is in milliseconds since 1970"},
			"metadata": closed([]string{"version", "product", "profiles", "uid", "event_code", "sequence", "log_name"}, object{
				"version":  fixed(ocsfVersion),
				"product":  closed([]string{"name", "vendor_name"}, object{"name": fixed("Keyward"), "vendor_name": fixed("Keyward")}),
				"profiles": fixed([]string{ocsfProfile}), "uid": object{"type": "string"}, "event_code": object{"type": "string"},
				"sequence": object{"type": "integer", "minimum": 1}, "log_name": text("is namespace/name of the Group"),
			}),
			"actor": closed([]string{}, object{
				"app_name": text("is how: kubectl, gitops, helm, console, automation, other, keyward or unknown"),
				"user": closed([]string{"name"}, object{
					"name": object{"type": "string"}, "groups": object{"type": "array", "items": name},
				}),
			}),
			"entity": closed([]string{"name", "type"}, object{
				"name": object{"type": "string"}, "uid": object{"type": "string"}, "type": text("is the kind of the object"),
			}),
			"attestation_list": object{"type": "array", "minItems": 1, "maxItems": 1,
				"items": closed([]string{"chain_uid", "fingerprint"}, object{
					"chain_uid": text("is the UID of the Group"), "fingerprint": hash,
					"prev_event": closed([]string{"uid", "fingerprint"}, object{"uid": object{"type": "string"}, "fingerprint": hash}),
				})},
			"unmapped": object{"type": "object", "description": "has the data of the type", "properties": object{"contacts": object{
				"type": "array", "items": schemaOf(reflect.TypeFor[Contact]()),
				"description": "are whom to notify, as the Group lists them for the type",
			}}},
		})
}

// schemaOf returns the schema of the data of a type. It allows further fields, which later releases add.
func schemaOf(of reflect.Type) object {
	switch of.Kind() {
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(of.Elem())}
	case reflect.Struct:
		properties, required := object{}, []string{}
		for i := range of.NumField() {
			name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			property := schemaOf(of.Field(i).Type)
			property["description"] = of.Field(i).Tag.Get("doc")
			properties[name] = property
			if options == "" {
				required = append(required, name)
			}
		}
		return object{"type": "object", "required": required, "properties": properties}
	case reflect.Int64:
		return object{"type": "integer"}
	default:
		return object{"type": "string"}
	}
}
