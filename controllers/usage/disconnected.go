package usage

import "time"

const (
	// maxAbsent is how many servers that were lost are remembered one by one, in all and of one identity.
	maxDisconnected, maxDisconnectedOfOne = 10_000, 1000
	// skew is by how much the clocks of two leaders may differ.
	skew = time.Minute
)

// absent are servers whose connection was lost, and that may go on deciding by what they knew. Early retirement of
// a version waits for them, as they may let it through, if they may know it: that version, not those that were
// minted after they were lost. So a server that is gone for good holds up the overlap in which it went, which has an
// end of its own, and no later one.
type disconnectedServers struct {
	servers map[serverKey]disconnection
	of      map[string]int // how many of an identity
	// merged are those that were too many, by group: when the last of them was lost. They do not come
	// back: a server that is counted here holds up more than it must, never less.
	merged    map[string]time.Time
	mergedAll time.Time // of servers of all groups
}

type serverKey struct{ instance, identity string }

type disconnection struct {
	at     time.Time
	serves func(group string) bool
}

func newDisconnectedServers() disconnectedServers {
	return disconnectedServers{servers: map[serverKey]disconnection{}, of: map[string]int{}, merged: map[string]time.Time{}}
}

// back forgets a server that is there again. Another identity of its name is another server.
func (a *disconnectedServers) reconnected(peer Peer) {
	key := serverKey{peer.Instance, peer.Identity}
	if _, known := a.servers[key]; !known {
		return
	}
	delete(a.servers, key)
	if a.of[peer.Identity]--; a.of[peer.Identity] == 0 {
		delete(a.of, peer.Identity)
	}
}

// miss remembers a server that was lost.
func (a *disconnectedServers) add(peer Peer, now time.Time) {
	serves, groups := peer.Serves, []string(nil)
	if peer.LastServed != nil {
		if serves, groups = peer.LastServed(); groups != nil && len(groups) == 0 {
			return // it served nothing
		}
	}
	key := serverKey{peer.Instance, peer.Identity}
	_, known := a.servers[key]
	if !known && (len(a.servers) >= maxDisconnected || a.of[peer.Identity] >= maxDisconnectedOfOne) {
		a.merge(groups, now)
		return
	}
	if !known {
		a.of[peer.Identity]++
	}
	a.servers[key] = disconnection{now, serves}
}

func (a *disconnectedServers) merge(groups []string, now time.Time) {
	if groups == nil {
		a.mergedAll = now
	}
	for _, group := range groups {
		a.merged[group] = now
	}
}

// matters reports whether a server of the group is missing that may know a version of that age.
func (a *disconnectedServers) mayKnow(group string, minted time.Time) bool {
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
