package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// The numbers of the context of a key in sync.proto, and of the fields that an entry of any map has.
const (
	keyContext protowire.Number = 11

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2
)

// contextValue compiles a value of a context.
func contextValue(name, value string) (decision.ContextValue, error) {
	header, ok := httpapi.ContextHeaderName(name)
	if !ok {
		return decision.ContextValue{}, errors.New("a name has letters, digits and '-' only")
	}
	return decision.ContextValue{Name: name, Value: value, Header: header}, nil
}

// keyContextOf compiles the context of a key, sorted by name. A key with a value that cannot be sent is not used: what
// the upstream gets may restrict what the key is for.
func keyContextOf(wire *syncv1.Key) ([]decision.ContextValue, error) {
	var values []decision.ContextValue
	for name, value := range wire.GetContext() {
		compiled, err := contextValue(name, value)
		if err != nil {
			return nil, fmt.Errorf("context value %q: %w", name, err)
		}
		values = append(values, compiled)
	}
	slices.SortFunc(values, func(a, b decision.ContextValue) int { return cmp.Compare(a.Name, b.Name) })
	return values, nil
}

// appendContext appends the entries sorted by name, as protobuf does if it is to encode the same in the same way.
func (k *keyRecord) appendContext(values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		entry := appendField(k.entry[:0], entryKey, name)
		k.entry = appendField(entry, entryValue, values[name])
		k.scope = appendField(k.scope, keyContext, k.entry)
	}
}

// decodeContext reads one entry, if it has the form that appendContext produces.
func (k *keyRecord) decodeContext(entry []byte) bool {
	number, name, _, n := consume(entry, entryKey)
	if n < 0 || number != entryKey || name == nil || !utf8.Valid(name) {
		return false
	}
	number, value, _, m := consume(entry[n:], entryValue)
	if m < 0 || number != entryValue || value == nil || n+m != len(entry) || !utf8.Valid(value) {
		return false
	}
	if k.lastName != nil && string(k.lastName) >= string(name) {
		return false
	}
	// A length may be written in more than one way: only the shortest is the same.
	k.entry = appendField(appendField(k.entry[:0], entryKey, name), entryValue, value)
	k.lastName = name
	k.scope = appendField(k.scope, keyContext, k.entry)
	return true
}
