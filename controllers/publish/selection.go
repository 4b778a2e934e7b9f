package publish

import (
	"iter"
	"strings"
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

// scope is a part of all groups by which servers are found: one group, those of a namespace, or all.
type scope struct {
	kind scopeKind
	name string
}

type scopeKind int

const (
	everyGroup scopeKind = iota
	groupsOfNamespace
	oneGroup
)

// scopesOf are the scopes that a group is in.
func scopesOf(group string) [3]scope {
	return [...]scope{{kind: everyGroup}, {groupsOfNamespace, namespaceOf(group)}, {oneGroup, group}}
}

// scopes are those that make up the selection.
func (s Selection) scopes() iter.Seq[scope] {
	return func(yield func(scope) bool) {
		if s.Everything() {
			yield(scope{kind: everyGroup})
			return
		}
		for group := range s.Groups {
			if !yield(scope{oneGroup, group}) {
				return
			}
		}
		for namespace := range s.Namespaces {
			if !yield(scope{groupsOfNamespace, namespace}) {
				return
			}
		}
	}
}
