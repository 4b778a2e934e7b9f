package publish

import (
	"iter"
	"strings"

	"github.com/keyward-dev/keyward/controllers/session"
)

// Selection is what a server asks for: groups, and all groups of namespaces. With neither it is everything.
type Selection struct{ Groups, Namespaces map[string]struct{} }

// SelectGroups selects groups by their identities.
func SelectGroups(identities ...string) Selection {
	groups := map[string]struct{}{}
	for _, identity := range identities {
		groups[identity] = struct{}{}
	}
	return Selection{Groups: groups}
}

// Everything reports whether all groups are selected.
func (s Selection) Everything() bool { return len(s.Groups)+len(s.Namespaces) == 0 }

// Selects reports whether the group is selected.
func (s Selection) Selects(group string) bool {
	if s.Everything() {
		return true
	}
	if _, named := s.Groups[group]; named {
		return true
	}
	_, named := s.Namespaces[namespaceOf(group)]
	return named
}

func namespaceOf(group string) string {
	namespace, _, _ := strings.Cut(group, "/")
	return namespace
}

// scopes are those that make up the selection.
func (s Selection) scopes() iter.Seq[session.Scope] {
	return func(yield func(session.Scope) bool) {
		if s.Everything() {
			yield(session.EveryGroup())
			return
		}
		for group := range s.Groups {
			if !yield(session.OneGroup(group)) {
				return
			}
		}
		for namespace := range s.Namespaces {
			if !yield(session.GroupsOf(namespace)) {
				return
			}
		}
	}
}
