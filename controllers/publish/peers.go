package publish

import (
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Servers share the rate limits of a group: each lets its part through, and so has to know how
// many there are. That is not in the group's record, whose hash must not change with it.

// serversPerMessage is of how many groups one message says how many servers they have.
const serversPerMessage = 5000

// isCounted is whether the server is one of those that share the limits of the group: it is
// connected, and may have the group for certain.
func (s *Subscription) sharesLimits(group string) bool {
	_, here := s.hub.subs[s]
	return here && !s.isDisconnected() && s.mayHave(group)
}

// count adds a server to those of all its groups, or takes it away.
func (h *Hub) addToGroups(s *Subscription, by int) {
	for identity, group := range h.groups {
		if s.sharesLimits(identity) {
			group.servers += by
		}
	}
	h.peersChanged()
}

// counted is how many servers share the limits of a group.
func (h *Hub) countPeers(group string) (servers int) {
	for sub := range h.subs {
		if sub.sharesLimits(group) {
			servers++
		}
	}
	return servers
}

// recounted has all servers look whether they know how many they are.
func (h *Hub) peersChanged() {
	for sub := range h.subs {
		sub.peersChanged()
	}
}

func (s *Subscription) peersChanged() {
	select {
	case s.servers <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// limits notes that a record of the group has gained or lost a rate limit.
func (h *Hub) rateLimitChanged(identity string, group *groupEntry, had, has bool) {
	switch {
	case had == has:
		return
	case has:
		group.limited++
	default:
		group.limited--
	}
	if group.limited > 0 {
		h.limited[identity] = group
	} else {
		delete(h.limited, identity)
	}
	h.peersChanged()
}

// ServersChanged receives when TakeServers may have something to say.
func (s *Subscription) ServersChanged() <-chan struct{} { return s.servers }

// TakeServers returns how many servers share the limits of groups, of those of which the server
// was told something else; nil if there are none. It does not before the server has what it
// lacked when it subscribed: until then it goes on with what it was told by then. Of very many groups,
// it returns some, and the rest the next time.
func (s *Subscription) TakeServers() *syncv1.Servers {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.caughtUp || s.isDisconnected() {
		return nil
	}
	message := &syncv1.Servers{StartupGrace: !h.startupOver}
	add := func(identity string, servers int) {
		message.Groups = append(message.Groups, &syncv1.GroupServers{Group: identity, Servers: uint32(servers)}) //nolint:gosec // so many there are not
	}
	for identity := range s.reportedServers {
		if len(message.GetGroups()) == serversPerMessage {
			break
		}
		if h.limited[identity] == nil || !s.sharesLimits(identity) {
			delete(s.reportedServers, identity)
			add(identity, 0)
		}
	}
	for identity, group := range h.limited {
		if len(message.GetGroups()) == serversPerMessage {
			s.peersChanged()
			break
		}
		if s.sharesLimits(identity) && s.reportedServers[identity] != group.servers {
			s.reportedServers[identity] = group.servers
			add(identity, group.servers)
		}
	}
	if len(message.GetGroups()) == 0 {
		return nil
	}
	return message
}
