package store

import (
	"maps"
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

// maxAllowing is up to how many groups are asked about one origin.
const maxAllowing = 512

// place is what a pattern allows: an origin, or with the wildcard all of which the host is in
// a subdomain of its host. The zero place is localhost, whatever its port.
type allowedHost struct {
	origin   origin.Origin
	wildcard bool
}

// origins finds groups by what they allow, so that no pattern has to be asked.
type origins map[allowedHost][]*decision.Group

// placesAtOnce is how many places are changed while decisions wait.
const hostsAtOnce = 64

// list lets a compiled group be found, and unlist lets it be found no more. The caller holds
// writing.
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

// change replaces what is at the places of a group, a few at a time. Meanwhile a group that
// is replaced may be found twice.
func (s *Store) change(group *decision.Group, replaced func([]*decision.Group) []*decision.Group) {
	for places := range slices.Chunk(allowedHostsOf(group), hostsAtOnce) {
		s.mu.Lock()
		for _, at := range places {
			if groups := replaced(s.origins[at]); len(groups) > 0 {
				s.origins[at] = groups
			} else {
				delete(s.origins, at)
			}
		}
		s.mu.Unlock()
	}
}

// placesOf returns where a group is to be found, each place once.
func allowedHostsOf(group *decision.Group) []allowedHost {
	places := map[allowedHost]struct{}{}
	add := func(patterns []origin.Pattern) {
		for _, pattern := range patterns {
			_, wildcard := pattern.Host()
			for from := range pattern.Origins() {
				places[allowedHost{from, wildcard}] = struct{}{}
			}
		}
	}
	seen := map[*origin.Pattern]struct{}{} // patterns that several projects share
	for i := range group.Projects {
		allowed := &group.Projects[i].Origins
		if allowed.AllowLocalhost {
			places[allowedHost{}] = struct{}{}
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
	return slices.Collect(maps.Keys(places))
}

// Allowing implements decision.Snapshot. Under the lock it only finds the groups: asking them is
// to evaluate what their owners have written.
func (s *Store) Allowing(from origin.Origin, willDo func(*decision.Group) bool) (found, tooMany bool) {
	var room [maxAllowing]*decision.Group
	groups, tooMany := s.allowing(from, room[:0])
	if tooMany {
		return false, true
	}
	return slices.ContainsFunc(groups, willDo), false
}

// allowing adds the groups that allow the origin, or tells that there is no room for all.
func (s *Store) allowing(from origin.Origin, groups []*decision.Group) (_ []*decision.Group, tooMany bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	take := func(at allowedHost) {
		here := s.origins[at]
		if len(here) > cap(groups)-len(groups) {
			tooMany = true
			return
		}
		groups = append(groups, here...)
	}
	if from.IsLocalhost() {
		take(allowedHost{})
	}
	take(allowedHost{origin: from})
	for at, more := (allowedHost{from, true}), true; more && !tooMany; {
		if _, at.origin.Host, more = strings.Cut(at.origin.Host, "."); more {
			take(at)
		}
	}
	return groups, tooMany
}
