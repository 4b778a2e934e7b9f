package ratelimit

import (
	"maps"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// PeersChanged applies how many servers share the limits of groups. For a group that is not in the message, the number
// stays as it was; at first there is this server alone.
func (l *Limiter) PeersChanged(message *syncv1.Servers) {
	l.changePeers(func(peers map[string]uint32) {
		for _, of := range message.GetGroups() {
			group, servers := of.GetGroup(), min(of.GetServers(), maxLimit)
			switch {
			case message.GetStartupGrace() && servers < peers[group]:
			case servers == 0:
				delete(peers, group)
			default:
				peers[group] = servers
			}
		}
	})
}

func (l *Limiter) changePeers(change func(map[string]uint32)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	peers := maps.Clone(*l.peers.Load())
	change(peers)
	l.peers.Store(&peers)
}
