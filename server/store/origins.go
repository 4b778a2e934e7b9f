package store

import (
	"maps"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

// maxAllowing is how many groups are searched for one origin at most.
const maxAllowing = 512

// allowedHost is what a pattern allows: an origin or, depending on the reach, origins whose host is a subdomain of its
// host. All patterns of a group with a '*' within the label before the same host have one entry, so that a tenant cannot make
// an entry long. The zero value is localhost with any port.
type allowedHost struct {
	origin origin.Origin
	reach  origin.Reach
}

// origins finds groups by the origins that they allow, so that no pattern has to be evaluated.
type origins map[allowedHost][]*decision.Group

// hostsAtOnce is how many entries are changed while decisions wait.
const hostsAtOnce = 64

// list adds a compiled group to the index, and unlist removes it. The caller holds writing.
func (s *Store) list(group *decision.Group) {
	s.change(group, func(groups []*decision.Group) []*decision.Group { return append(groups, group) })
}

func (s *Store) unlist(group *decision.Group) {
	s.change(group, func(groups []*decision.Group) []*decision.Group {
		if i := slices.Index(groups, group); i >= 0 {
			last := len(groups) - 1
			groups[i], groups[last] = groups[last], nil
			groups = groups[:last]
		}
		return groups
	})
}

// change replaces the entries of a group, a few at a time. Meanwhile a group that is being replaced may be found twice.
func (s *Store) change(group *decision.Group, replaced func([]*decision.Group) []*decision.Group) {
	for hosts := range slices.Chunk(allowedHostsOf(group), hostsAtOnce) {
		s.mu.Lock()
		for _, at := range hosts {
			if groups := replaced(s.origins[at]); len(groups) > 0 {
				s.origins[at] = groups
			} else {
				delete(s.origins, at)
			}
		}
		s.mu.Unlock()
	}
}

// allowedHostsOf returns what a group allows, each once.
func allowedHostsOf(group *decision.Group) []allowedHost {
	hosts := map[allowedHost]struct{}{}
	add := func(patterns []origin.Pattern) {
		for _, pattern := range patterns {
			_, reach := pattern.Host()
			for from := range pattern.Origins() {
				hosts[allowedHost{from, reach}] = struct{}{}
			}
		}
	}
	seen := map[*origin.Pattern]struct{}{} // patterns that several projects share
	for i := range group.Projects {
		allowed := &group.Projects[i].Origins
		if allowed.AllowLocalhost {
			hosts[allowedHost{}] = struct{}{}
		}
		add(allowed.Patterns)
		for _, patterns := range allowed.Shared {
			if len(patterns) == 0 {
				continue
			}
			if _, again := seen[&patterns[0]]; !again {
				seen[&patterns[0]] = struct{}{}
				add(patterns)
			}
		}
	}
	return slices.Collect(maps.Keys(hosts))
}

// Allowing implements decision.Snapshot. Under the lock it only finds the groups; it calls matches, which evaluates what
// their owners have written, without the lock.
func (s *Store) Allowing(from origin.Origin, matches func(*decision.Group) bool) (found, tooMany bool) {
	var room [maxAllowing]*decision.Group
	groups, tooMany := s.allowing(from, room[:0])
	if tooMany {
		return false, true
	}
	return slices.ContainsFunc(groups, matches), false
}

// allowing appends the groups that allow the origin, or reports that they are too many.
func (s *Store) allowing(from origin.Origin, groups []*decision.Group) (_ []*decision.Group, tooMany bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	add := func(at allowedHost) {
		here := s.origins[at]
		if len(here) > cap(groups)-len(groups) {
			tooMany = true
			return
		}
		groups = append(groups, here...)
	}
	if from.IsLocalhost() {
		add(allowedHost{})
	}
	add(allowedHost{origin: from})
	if _, parent, more := strings.Cut(from.Host, "."); more {
		at := allowedHost{from, origin.OneLabel}
		at.origin.Host = parent
		add(at)
	}
	for at, more := (allowedHost{from, origin.Below}), true; more && !tooMany; {
		if _, at.origin.Host, more = strings.Cut(at.origin.Host, "."); more {
			add(at)
		}
	}
	return groups, tooMany
}
