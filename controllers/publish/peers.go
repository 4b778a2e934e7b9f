package publish

import (
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Servers share the rate limits of a group: each admits its part of the rate, and so has to know how many servers there
// are. The number is not in the group's record, because the record's hash must not change with it.

// serversPerMessage is how many groups one message has at most.
const serversPerMessage = 5000

// sharesLimits reports whether the server is one of those that share the limits of the group: it is connected, and it is
// certain that it may have the group.
func (s *Subscription) sharesLimits(group string) bool {
	_, here := s.hub.subs[s]
	return here && !s.isDisconnected() && s.mayHave(group)
}

// addToGroups adds a number, 1 or -1, to the servers of all groups that the server shares the limits of.
func (h *Hub) addToGroups(s *Subscription, by int) {
	for identity, group := range h.groups {
		if s.sharesLimits(identity) {
			group.servers += by
		}
	}
	h.peersChanged()
}

// countPeers counts the servers that share the limits of a group.
func (h *Hub) countPeers(group string) (servers int) {
	for sub := range h.subs {
		if sub.sharesLimits(group) {
			servers++
		}
	}
	return servers
}

// peersChanged signals all subscriptions that numbers of servers may have changed.
func (h *Hub) peersChanged() {
	for sub := range h.subs {
		sub.peersChanged()
	}
}

func (s *Subscription) peersChanged() {
	select {
	case s.servers <- struct{}{}:
	default: // it was signalled already
	}
}

// rateLimitChanged records that a record of the group has gained or lost a rate limit.
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

// ServersChanged receives when TakeServers may have a message.
func (s *Subscription) ServersChanged() <-chan struct{} { return s.servers }

// TakeServers returns how many servers share the limits of groups, for each group whose last reported number differs; nil
// if there is none. It returns nil until the server has caught up: until then the server uses the numbers that it has. If
// there are very many groups, it returns some of them, and the others with the next call.
func (s *Subscription) TakeServers() *syncv1.Servers {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.caughtUp || s.isDisconnected() {
		return nil
	}
	message := &syncv1.Servers{StartupGrace: !h.startupOver}
	add := func(identity string, servers int) {
		count := uint32(servers) //nolint:gosec // there are never that many
		message.Groups = append(message.Groups, &syncv1.GroupServers{Group: identity, Servers: count})
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
