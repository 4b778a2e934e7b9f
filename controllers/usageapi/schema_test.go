package usageapi_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
)

// keywords are those of JSON Schema that conform knows.
var keywords = []string{
	"$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required", "additionalProperties", "items", "enum", "pattern",
	"minimum", "maxItems", "format",
}

// conform returns an error if a value is not as a schema says. It knows what the schema of usage uses.
func conform(root, schema map[string]any, value any, path string) error {
	if ref, ok := schema["$ref"].(string); ok {
		defs, _ := root["$defs"].(map[string]any)
		schema, _ = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	for keyword := range schema {
		if !slices.Contains(keywords, keyword) {
			return fmt.Errorf("%s: the test does not know %s", path, keyword)
		}
	}
	switch v := value.(type) {
	case map[string]any:
		return conformObject(root, schema, v, path)
	case []any:
		items, ok := schema["items"].(map[string]any)
		most, bounded := schema["maxItems"].(float64)
		if schema["type"] != "array" || !ok || !bounded || len(v) > int(most) {
			return fmt.Errorf("%s: %d elements", path, len(v))
		}
		for i := range v {
			if err := conform(root, items, v[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case string:
		allowed, limited := schema["enum"].([]any)
		pattern, _ := schema["pattern"].(string)
		if schema["type"] != "string" || limited && !slices.Contains(allowed, any(v)) || !regexp.MustCompile(pattern).MatchString(v) {
			return fmt.Errorf("%s: %q", path, v)
		}
	case float64:
		if least, ok := schema["minimum"].(float64); schema["type"] != "integer" || v != math.Trunc(v) || ok && v < least {
			return fmt.Errorf("%s: %v", path, v)
		}
	case bool:
		if schema["type"] != "boolean" {
			return fmt.Errorf("%s: %v", path, v)
		}
	default:
		return fmt.Errorf("%s: %v", path, v)
	}
	return nil
}

func conformObject(root, schema, value map[string]any, path string) error {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	if schema["type"] != "object" {
		return fmt.Errorf("%s: an object", path)
	}
	for _, name := range required {
		if _, ok := value[fmt.Sprint(name)]; !ok {
			return fmt.Errorf("%s: %v is missing", path, name)
		}
	}
	for name, of := range value {
		property, ok := properties[name].(map[string]any)
		if !ok {
			return fmt.Errorf("%s: the schema has no %s", path, name)
		}
		if err := conform(root, property, of, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// TestSchemaHasEachField: the schema has the fields of the types, and no others.
func TestSchemaHasEachField(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/usage-series.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]any `json:"properties"`
		Defs       map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of   any
		have map[string]any
	}{
		{adminv1.UsageSeries{}, schema.Properties}, {adminv1.UsagePoint{}, schema.Defs["point"].Properties},
		{adminv1.UsageAmounts{}, schema.Defs["amounts"].Properties},
	} {
		fields := map[string]bool{}
		for _, field := range reflect.VisibleFields(reflect.TypeOf(c.of)) {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				fields[name] = true
			}
		}
		for name := range fields {
			if c.have[name] == nil {
				t.Errorf("%T: the schema has no %s", c.of, name)
			}
		}
		for name := range c.have {
			if !fields[name] {
				t.Errorf("%T has no field %s", c.of, name)
			}
		}
	}
}

// TestNonconforming: the test of the schema finds what is wrong.
func TestNonconforming(t *testing.T) {
	good := `{"group":"a/b","by":"day","from":"2026-11-01","to":"2026-11-01","points":[{"day":"2026-11-01","requests":1}],"total":{"requests":1}}`
	if err := conforms([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, change := range []struct{ old, now string }{
		{`"a/b"`, `"b"`}, {`"day","from"`, `"minute","from"`}, {`:1}`, `:-1}`}, {`"requests":1}]`, `"requests":"1"}]`}, {`"total"`, `"sum"`},
		{`"2026-11-01","to"`, `"now","to"`}, {`"2026-11-01","to"`, `"2026-11-01T13:30Z","to"`}, {`[{"day":"2026-11-01","requests":1}]`, `null`}, {`"day":"2026`, `"day":true,"month":"2026`},
	} {
		if err := conforms([]byte(strings.Replace(good, change.old, change.now, 1))); err == nil {
			t.Errorf("%s in place of %s conforms", change.now, change.old)
		}
	}
}
