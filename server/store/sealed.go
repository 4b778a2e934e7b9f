package store

import (
	"cmp"
	"errors"
	"slices"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// sealedContext compiles the sealed context of a group.
func (s *Store) sealedContext(identity string, wire map[string]string) (values []decision.ContextValue) {
	for name, sealed := range wire {
		header, ok := httpapi.SealedHeaderName(name)
		if !ok {
			s.reject("sealed context value", identity+", "+name, errors.New("a name has letters, digits and '-' only"))
			continue
		}
		values = append(values, decision.ContextValue{Name: name, Value: sealed, Header: header})
	}
	slices.SortFunc(values, func(a, b decision.ContextValue) int { return cmp.Compare(a.Name, b.Name) })
	return values
}
