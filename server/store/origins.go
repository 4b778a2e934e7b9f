package store

import (
	"slices"
	"strings"

	"github.com/keyward-dev/keyward/api/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// maxAllowing is up to how many groups are asked about one origin.
	maxAllowing = 512

	wildcard = "*."
	// localhost stands for all names and addresses of the machine itself. No pattern is it.
	localhost = "*"
)

// origins finds groups by what their patterns start from: a host, "*." and a host, or
// localhost. Schemes and ports are left for the patterns to compare.
type origins map[string][]*groupRecord

// add and remove are called with the same compiled group.
func (o origins) add(record *groupRecord, group *decision.Group) {
	for _, at := range placesOf(group) {
		o[at] = append(o[at], record)
	}
}

func (o origins) remove(record *groupRecord, group *decision.Group) {
	for _, at := range placesOf(group) {
		records := o[at]
		if i := slices.Index(records, record); i >= 0 {
			last := len(records) - 1
			records[i], records[last] = records[last], nil
			o[at] = records[:last]
		}
		if len(o[at]) == 0 {
			delete(o, at)
		}
	}
}

// placesOf returns where a group is to be found, each place once.
func placesOf(group *decision.Group) []string {
	var places []string
	for i := range group.Projects {
		allowed := &group.Projects[i].Origins
		if allowed.AllowLocalhost {
			places = append(places, localhost)
		}
		for _, pattern := range allowed.Patterns {
			host, isWildcard := pattern.Host()
			if isWildcard {
				host = wildcard + host
			}
			places = append(places, host)
		}
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// Allowing implements decision.Snapshot.
func (s *Store) Allowing(from origin.Origin, willDo func(*decision.Group) bool) (found, tooMany bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	asked := 0
	ask := func(place string) {
		for _, record := range s.origins[place] {
			switch {
			case !record.compiled.Allows(from):
				continue
			case asked == maxAllowing:
				tooMany = true
				return
			}
			asked++
			if found = willDo(record.compiled); found {
				return
			}
		}
	}
	if from.IsLocalhost() {
		ask(localhost)
	}
	if !found && !tooMany {
		ask(from.Host)
	}
	for rest, more := from.Host, true; more && !found && !tooMany; {
		if _, rest, more = strings.Cut(rest, "."); more {
			ask(wildcard + rest)
		}
	}
	return found, tooMany
}
