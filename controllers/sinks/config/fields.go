package config

import (
	"reflect"
	"slices"
	"strings"
)

// fieldsOf returns for each field of a sink which types it is for, if the given one is not among them, and else nothing.
func fieldsOf(t Type) map[string]string {
	all := map[string]string{}
	for f := range reflect.TypeFor[fileSink]().Fields() {
		others := strings.Fields(f.Tag.Get("for"))
		if len(others) > 0 && !slices.Contains(others, string(t)) {
			all[f.Tag.Get("json")] = strings.Join(others, ", ")
		}
	}
	return all
}
