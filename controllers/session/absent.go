package session

import "time"

const (
	// maxAbsent and maxAbsentOfOne are how many absent servers are kept separately, in all and of one identity.
	maxAbsent, maxAbsentOfOne = 10_000, 1000
	// skew is the maximum difference between the clocks of two leaders.
	skew = time.Minute
)

// absentServers has the servers that are disconnected and may go on deciding by their last snapshot. Early retirement
// of a version waits for those that may know the version, because they may still allow requests with it. They do not know
// versions that were minted after they were disconnected. So a server that never returns delays the overlap in which it was
// disconnected, which has an end of its own, and no later one.
//
// The Registry's lock guards it. of[i] is the number of entries of servers with identity i, and has no entry for 0.
type absentServers struct {
	servers map[ID]absence
	of      map[string]int
	// merged has, by group, when the last of those servers was disconnected that were too many to be kept separately. They
	// are not removed when they reconnect: such a server may delay more than necessary, never less.
	merged    map[string]time.Time
	mergedAll time.Time // the same, for servers of all groups
}

type absence struct {
	at  time.Time
	has func(group string) bool
}

func newAbsentServers() absentServers {
	return absentServers{servers: map[ID]absence{}, of: map[string]int{}, merged: map[string]time.Time{}}
}

// reconnected removes a server that has reconnected.
func (a *absentServers) reconnected(id ID) {
	if _, known := a.servers[id]; !known {
		return
	}
	delete(a.servers, id)
	if a.of[id.Identity]--; a.of[id.Identity] == 0 {
		delete(a.of, id.Identity)
	}
}

// add adds a server that was disconnected, with what it had; groups is nil for all.
func (a *absentServers) add(id ID, has func(group string) bool, groups []string, now time.Time) {
	_, known := a.servers[id]
	switch {
	case known:
	case len(a.servers) < maxAbsent && a.of[id.Identity] < maxAbsentOfOne:
		a.of[id.Identity]++
	default:
		a.merge(groups, now)
		return
	}
	a.servers[id] = absence{now, has}
}

func (a *absentServers) merge(groups []string, now time.Time) {
	if groups == nil {
		a.mergedAll = now
	}
	for _, group := range groups {
		a.merged[group] = now
	}
}

// after returns the servers that were disconnected after the instant, or reports that one of those merged was.
func (a *absentServers) after(group string, since time.Time) (has []func(group string) bool, merged bool) {
	knew := func(at time.Time) bool { return !at.IsZero() && !since.After(at.Add(skew)) }
	if knew(a.mergedAll) || knew(a.merged[group]) {
		return nil, true
	}
	for _, server := range a.servers {
		if knew(server.at) {
			has = append(has, server.has)
		}
	}
	return has, false
}
