package usage

import "time"

const (
	// maxDisconnected and maxDisconnectedOfOne are how many disconnected servers are kept separately, in all and of one
	// identity.
	maxDisconnected, maxDisconnectedOfOne = 10_000, 1000
	// skew is the maximum difference between the clocks of two leaders.
	skew = time.Minute
)

// disconnectedServers has the servers that are disconnected and may go on deciding by their last snapshot. Early retirement
// of a version waits for those that may know the version, because they may still allow requests with it. They do not know
// versions that were minted after they were disconnected. So a server that never returns delays the overlap in which it was
// disconnected, which has an end of its own, and no later one.
//
// The Tracker's lock guards it. of[i] is the number of entries of servers with identity i, and has no entry for 0.
type disconnectedServers struct {
	servers map[serverKey]disconnection
	of      map[string]int // how many of an identity
	// merged has, by group, when the last of those servers was disconnected that were too many to be kept separately. They
	// are not removed when they reconnect: such a server may delay more than necessary, never less.
	merged    map[string]time.Time
	mergedAll time.Time // the same, for servers of all groups
}

type serverKey struct{ instance, identity string }

type disconnection struct {
	at     time.Time
	serves func(group string) bool
}

func newDisconnectedServers() disconnectedServers {
	return disconnectedServers{servers: map[serverKey]disconnection{}, of: map[string]int{}, merged: map[string]time.Time{}}
}

// reconnected removes a server that has reconnected. The same name with another identity is another server.
func (d *disconnectedServers) reconnected(peer Peer) {
	key := serverKey{peer.Instance, peer.Identity}
	if _, known := d.servers[key]; !known {
		return
	}
	delete(d.servers, key)
	if d.of[peer.Identity]--; d.of[peer.Identity] == 0 {
		delete(d.of, peer.Identity)
	}
}

// add adds a server that was disconnected.
func (d *disconnectedServers) add(peer Peer, now time.Time) {
	serves, groups := peer.Serves, []string(nil)
	if peer.LastServed != nil {
		if serves, groups = peer.LastServed(); groups != nil && len(groups) == 0 {
			return // it served nothing
		}
	}
	key := serverKey{peer.Instance, peer.Identity}
	_, known := d.servers[key]
	if !known && (len(d.servers) >= maxDisconnected || d.of[peer.Identity] >= maxDisconnectedOfOne) {
		d.merge(groups, now)
		return
	}
	if !known {
		d.of[peer.Identity]++
	}
	d.servers[key] = disconnection{now, serves}
}

func (d *disconnectedServers) merge(groups []string, now time.Time) {
	if groups == nil {
		d.mergedAll = now
	}
	for _, group := range groups {
		d.merged[group] = now
	}
}

// mayKnow reports whether a disconnected server of the group may know a version that was minted then.
func (d *disconnectedServers) mayKnow(group string, minted time.Time) bool {
	knew := func(at time.Time) bool { return !at.IsZero() && !minted.After(at.Add(skew)) }
	if knew(d.mergedAll) || knew(d.merged[group]) {
		return true
	}
	for _, server := range d.servers {
		if knew(server.at) && server.serves(group) {
			return true
		}
	}
	return false
}
