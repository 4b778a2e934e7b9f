package config

import (
	"reflect"
	"slices"
	"strings"
)

// fieldsOf returns for each field of a sink which of the types it is for, if the given one is not among them, and else nothing.
func fieldsOf(t Type, types []Type) map[string]string {
	all := map[string]string{}
	for f := range reflect.TypeFor[fileSink]().Fields() {
		others := strings.Fields(f.Tag.Get("for"))
		if len(others) > 0 && !slices.Contains(others, string(t)) {
			others = slices.DeleteFunc(others, func(other string) bool { return !slices.Contains(types, Type(other)) })
			all[f.Tag.Get("json")] = strings.Join(others, ", ")
		}
	}
	return all
}
