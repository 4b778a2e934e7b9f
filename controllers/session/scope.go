package session

import "strings"

// Scope is a part of all groups: one group, those of a namespace, or all. Servers are found by the scopes that they had, so that a
// look-up by one group costs nothing for servers that do not have it.
type Scope struct {
	kind scopeKind
	name string
}

type scopeKind int

const (
	everyGroup scopeKind = iota
	groupsOfNamespace
	oneGroup
)

// EveryGroup is the scope of all groups.
func EveryGroup() Scope { return Scope{kind: everyGroup} }

// GroupsOf is the scope of the groups of a namespace.
func GroupsOf(namespace string) Scope { return Scope{groupsOfNamespace, namespace} }

// OneGroup is the scope of the group namespace/name.
func OneGroup(group string) Scope { return Scope{oneGroup, group} }

// scopesOf are the scopes that a group is in.
func scopesOf(group string) [3]Scope {
	namespace, _, _ := strings.Cut(group, "/")
	return [...]Scope{EveryGroup(), GroupsOf(namespace), OneGroup(group)}
}
