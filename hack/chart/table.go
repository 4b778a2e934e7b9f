package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	readme      = "README.md"
	tableBegins = "<!-- what follows is written by: make generate -->\n"
	tableEnds   = "<!-- end of what is written by make generate -->"

	maxDefault = 60 // characters of a default in the table
)

// table returns the rows of all values, in the order of the file.
func (v *value) table() []byte {
	var b bytes.Buffer
	b.WriteString("| value | default | |\n|---|---|---|\n")
	v.rows(&b)
	return b.Bytes()
}

func (v *value) rows(b *bytes.Buffer) {
	for _, child := range v.children {
		if len(child.children) == 0 || child.description != "" {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", child.name(), child.shown(), strings.ReplaceAll(child.description, "|", `\|`))
		}
		child.rows(b)
	}
}

// shown is the default in one cell.
func (v *value) shown() string {
	if len(v.children) > 0 {
		return ""
	}
	if v.node.Kind == yaml.ScalarNode {
		if v.node.Value == "" {
			return ""
		}
		return "`" + v.node.Value + "`"
	}
	var decoded any
	if err := v.node.Decode(&decoded); err != nil {
		return ""
	}
	text, err := json.Marshal(decoded)
	if err != nil || len(text) > maxDefault {
		return "see values.yaml"
	}
	return "`" + string(text) + "`"
}
