package session

import (
	"iter"
	"slices"
	"time"
)

const (
	// MaxAbsent is how many absent servers are kept separately. Those beyond are kept together.
	MaxAbsent = 10_000
	// MaxAbsentOfOne is how many of them have one identity: as many as an account has streams by default.
	MaxAbsentOfOne = 2000
	// maxOfOthers bounds what is kept of those beyond. If they had more groups and namespaces, they count as having all.
	maxOfOthers = 20_000
	// skew is the maximum difference between the clocks of two leaders.
	skew = time.Minute
)

// Others returns the ID that stands for the absent servers that are not kept separately. No server has it.
func Others() ID { return ID{Instance: "other servers"} }

// absence is a server that was disconnected without a goodbye. It may go on deciding by what it had.
type absence struct {
	id      ID
	info    Info
	at      time.Time
	lasting time.Time // since when it had been connected
	had     map[Scope]struct{}
}

// absentServers has the servers that are disconnected, and may go on deciding, until they connect again or are forgotten.
//
// The Registry's lock guards it. of[i] is the number of servers of identity i, and has no entry for 0; Others counts in neither. by has
// each server by all that it had. others has when the last of those servers was disconnected that were too many to be kept
// separately, by what they had, and othersAt is the latest of these. They are not removed when they connect again: such a
// server may be named, and may delay, for longer than necessary, never for less.
type absentServers struct {
	servers  map[ID]*absence
	of       map[string]int
	by       map[Scope]map[*absence]struct{}
	others   map[Scope]time.Time
	othersAt time.Time
}

func newAbsentServers() absentServers {
	return absentServers{
		servers: map[ID]*absence{}, of: map[string]int{}, by: map[Scope]map[*absence]struct{}{}, others: map[Scope]time.Time{},
	}
}

// having returns the servers that had the group, each once.
func (a *absentServers) having(group string) iter.Seq[ID] {
	return func(yield func(ID) bool) {
		scopes := scopesOf(group)
		for i, s := range scopes {
			for gone := range a.by[s] {
				again := slices.ContainsFunc(scopes[:i], func(wider Scope) bool { _, had := gone.had[wider]; return had })
				if !again && !yield(gone.id) {
					return
				}
			}
		}
		for _, s := range scopes {
			if _, had := a.others[s]; had {
				yield(Others())
				return
			}
		}
	}
}

// mayKnow reports whether one of them may know something of the group that exists since then. A server does not know what was made after
// it was disconnected.
func (a *absentServers) mayKnow(group string, since time.Time) bool {
	for _, s := range scopesOf(group) {
		if at, had := a.others[s]; had && !since.After(at.Add(skew)) {
			return true
		}
		for gone := range a.by[s] {
			if !since.After(gone.at.Add(skew)) {
				return true
			}
		}
	}
	return false
}

// add adds a server, and returns under which ID.
func (a *absentServers) add(id ID, had []Scope, now time.Time) ID {
	a.remove(id)
	if len(a.servers) >= MaxAbsent || a.of[id.Identity] >= MaxAbsentOfOne {
		a.merge(had, now)
		return Others()
	}
	gone := &absence{id: id, at: now, had: make(map[Scope]struct{}, len(had))}
	a.servers[id] = gone
	a.of[id.Identity]++
	for _, s := range had {
		gone.had[s] = struct{}{}
		if a.by[s] == nil {
			a.by[s] = map[*absence]struct{}{}
		}
		a.by[s][gone] = struct{}{}
	}
	return id
}

// merge adds what one server had to what Others had.
func (a *absentServers) merge(had []Scope, now time.Time) {
	a.othersAt = now
	for _, s := range had {
		if _, listed := a.others[s]; !listed && len(a.others) >= maxOfOthers {
			s = EveryGroup()
		}
		a.others[s] = now
	}
}

// remove removes a server. It reports whether it was there.
func (a *absentServers) remove(id ID) bool {
	gone := a.servers[id]
	if gone == nil {
		return false
	}
	delete(a.servers, id)
	for s := range gone.had {
		if delete(a.by[s], gone); len(a.by[s]) == 0 {
			delete(a.by, s)
		}
	}
	if a.of[id.Identity]--; a.of[id.Identity] == 0 {
		delete(a.of, id.Identity)
	}
	return true
}

// forget removes those that have been absent for that long, and returns them, and when the next will have been; the zero time without any.
func (a *absentServers) forget(after time.Duration, now time.Time) (forgotten []ID, next time.Time) {
	over := func(at time.Time) bool {
		at = at.Add(after)
		if !now.Before(at) {
			return true
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
		return false
	}
	for id, gone := range a.servers {
		if over(gone.at) {
			a.remove(id)
			forgotten = append(forgotten, id)
		}
	}
	if len(a.others) > 0 && over(a.othersAt) { // all at once: they have one name
		a.others = map[Scope]time.Time{}
		forgotten = append(forgotten, Others())
	}
	return forgotten, next
}
