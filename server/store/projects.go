package store

import (
	"cmp"
	"slices"

	"github.com/keyward-dev/keyward/server/decision"
)

// WithProject returns Groups that have a project of this name, at most that many, sorted by their identities, and how many
// are left out. If a group is given, namespace/name, it is that one at most. It is for people: it looks at all Groups.
func (s *Store) WithProject(project, group string, most int) (groups []*decision.Group, more int) {
	groups = s.all(group)
	groups = slices.DeleteFunc(groups, func(g *decision.Group) bool { return g.ProjectNamed(project) == nil })
	slices.SortFunc(groups, func(a, b *decision.Group) int { return cmp.Compare(a.Identity, b.Identity) })
	if len(groups) > most {
		groups, more = groups[:most], len(groups)-most
	}
	return groups, more
}

// all returns the compiled Groups, or the one that is named.
func (s *Store) all(identity string) (groups []*decision.Group) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if identity != "" {
		if record := s.groups[identity]; record != nil {
			groups = append(groups, record.compiled)
		}
		return groups
	}
	groups = make([]*decision.Group, 0, len(s.groups))
	for _, record := range s.groups {
		groups = append(groups, record.compiled)
	}
	return groups
}
