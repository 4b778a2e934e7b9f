package store

import (
	"errors"
	"fmt"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

// scope is what keys of one group with the same rights share. There are few scopes, so a key only has the number of its scope.
type scope struct {
	decision.Scope // never changes

	rate    decision.RateLimit // of each key alone
	group   *groupRecord
	number  uint32
	encoded string // see keyRecord
	rateAt  int
	keys    int // how many have the number
}

// scopes finds scopes by their encodings and by their numbers.
type scopes struct {
	byEncoding map[string]*scope
	numbered   []*scope // nil if the number is free
	free       []uint32
}

func newScopes() scopes { return scopes{byEncoding: map[string]*scope{}} }

// scopeOf returns the scope of a record, or an error if the record cannot be used. It takes mu to add a scope. The caller
// holds writing, and calls dropUnused when a key no longer has the scope.
func (s *Store) scopeOf(record *keyRecord) (*scope, error) {
	if len(record.id) == 0 || len(record.id) > keytable.MaxID {
		return nil, fmt.Errorf("an id has 1 to %d bytes", keytable.MaxID)
	}
	if found, ok := s.scopes.byEncoding[string(record.scope)]; ok {
		return found, nil
	}
	wire, err := decodeScope(record.scope)
	if err != nil {
		return nil, err
	}
	group, ok := s.groups[wire.GetGroup()]
	if !ok {
		return nil, errors.New("its group is not known")
	}
	compiled, err := decisionScope(wire)
	if err != nil {
		return nil, err
	}
	added := &scope{
		Scope: compiled,
		rate:  rateOf(wire.GetRate()),
		group: group, encoded: string(record.scope), rateAt: record.rateAt, number: uint32(len(s.scopes.numbered)),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.scopes.free) - 1; last >= 0 {
		added.number = s.scopes.free[last]
		s.scopes.free = s.scopes.free[:last]
		s.scopes.numbered[added.number] = added
	} else {
		s.scopes.numbered = append(s.scopes.numbered, added)
	}
	s.scopes.byEncoding[added.encoded] = added
	return added, nil
}

// dropUnused removes a scope if no key has it.
func (s *Store) dropUnused(number uint32) {
	unused := s.scopes.numbered[number]
	if unused.keys > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.scopes.byEncoding, unused.encoded)
	s.scopes.numbered[number] = nil
	s.scopes.free = append(s.scopes.free, number)
}
