package usage

import "time"

const (
	// maxAbsent is how many servers that were lost are remembered one by one, in all and of one identity.
	maxAbsent, maxAbsentOfOne = 10_000, 1000
	// skew is by how much the clocks of two leaders may differ.
	skew = time.Minute
)

// absent are servers whose connection was lost, and that may go on deciding by what they knew. Early retirement of
// a version waits for them, as they may let it through, if they may know it: that version, not those that were
// minted after they were lost. So a server that is gone for good holds up the overlap in which it went, which has an
// end of its own, and no later one.
type absent struct {
	servers map[absentee]loss
	of      map[string]int // how many of an identity
	// merged are those that were too many, by group: when the last of them was lost. They do not come
	// back: a server that is counted here holds up more than it must, never less.
	merged    map[string]time.Time
	mergedAll time.Time // of servers of all groups
}

type absentee struct{ instance, identity string }

type loss struct {
	at     time.Time
	serves func(group string) bool
}

func newAbsent() absent {
	return absent{servers: map[absentee]loss{}, of: map[string]int{}, merged: map[string]time.Time{}}
}

// back forgets a server that is there again. Another identity of its name is another server.
func (a *absent) back(peer Peer) {
	key := absentee{peer.Instance, peer.Identity}
	if _, missed := a.servers[key]; !missed {
		return
	}
	delete(a.servers, key)
	if a.of[peer.Identity]--; a.of[peer.Identity] == 0 {
		delete(a.of, peer.Identity)
	}
}

// miss remembers a server that was lost.
func (a *absent) miss(peer Peer, now time.Time) {
	serves, groups := peer.Serves, []string(nil)
	if peer.Left != nil {
		if serves, groups = peer.Left(); groups != nil && len(groups) == 0 {
			return // it served nothing
		}
	}
	key := absentee{peer.Instance, peer.Identity}
	_, missed := a.servers[key]
	if !missed && (len(a.servers) >= maxAbsent || a.of[peer.Identity] >= maxAbsentOfOne) {
		a.merge(groups, now)
		return
	}
	if !missed {
		a.of[peer.Identity]++
	}
	a.servers[key] = loss{now, serves}
}

func (a *absent) merge(groups []string, now time.Time) {
	if groups == nil {
		a.mergedAll = now
	}
	for _, group := range groups {
		a.merged[group] = now
	}
}

// matters reports whether a server of the group is missing that may know a version of that age.
func (a *absent) matters(group string, minted time.Time) bool {
	knew := func(lost time.Time) bool { return !lost.IsZero() && !minted.After(lost.Add(skew)) }
	if knew(a.mergedAll) || knew(a.merged[group]) {
		return true
	}
	for _, lost := range a.servers {
		if knew(lost.at) && lost.serves(group) {
			return true
		}
	}
	return false
}
