package ratelimit

import (
	"maps"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Told takes over among how many servers the limits of groups are shared. Of groups that the
// manager has said nothing of, or is silent about since, it is as it was; at first there is
// this server alone.
func (l *Limiter) PeersChanged(said *syncv1.Servers) {
	l.changeShares(func(shares map[string]uint32) {
		for _, of := range said.GetGroups() {
			group, servers := of.GetGroup(), min(of.GetServers(), most)
			switch {
			case said.GetStartupGrace() && servers < shares[group]:
			case servers == 0:
				delete(shares, group)
			default:
				shares[group] = servers
			}
		}
	})
}

func (l *Limiter) changeShares(change func(map[string]uint32)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	shares := maps.Clone(*l.shares.Load())
	change(shares)
	l.shares.Store(&shares)
}
