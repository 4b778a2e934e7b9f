package publish

import (
	"slices"

	"github.com/keyward-dev/keyward/controllers/session"
)

// maxLackingAbsent is how many groups are kept of a server that it was being sent. If there were more, it counts as lacking all.
const maxLackingAbsent = 64

// lastKnown is what a server had acknowledged that was disconnected without a goodbye for longer than Grace. Changes do not wait for it,
// and each that it lacks names it. Which such servers there are, and which groups they had, the Registry knows.
type lastKnown struct {
	server server
	acked  uint64
	// lacking are groups that it had not received completely, and rejected what it could not use.
	lacking  map[string]sending
	rejected *rejections
}

// lacks reports whether the server lacks a change, or could not use the record.
func (k *lastKnown) lacks(c *change) bool {
	_, lacking := k.lacking[c.Group]
	_, rejected := k.rejected.of(c.Subject)
	return k.acked < c.revision || lacking || rejected
}

// Close ends the subscription. A server that said goodbye is removed at once. The Hub waits for Grace for one that was
// disconnected, because that goes on deciding by its last snapshot, and afterwards names it in every change that it lacks. The session of the
// server ends with it.
func (s *Subscription) Close(goodbye bool) {
	s.closed.Do(func() {
		h := s.hub
		h.mu.Lock()
		defer h.mu.Unlock()
		h.addToGroups(s, -1)
		if goodbye {
			s.session.Goodbye()
			delete(h.subs, s)
			h.dropRejections(s)
			h.evaluateAfter(s.ackedEverywhere())
			return
		}
		s.absentAs, s.isAbsent = s.session.Disconnect(s.lastScopes()...)
		h.forgetAbsent()
		if h.options.Grace <= 0 {
			h.expire(s)
			return
		}
		s.disconnect()
		h.clock.AfterFunc(h.options.Grace, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if _, remaining := h.subs[s]; !remaining {
				return // it has reconnected
			}
			h.expire(s)
		})
	})
}

// disconnect marks the server as disconnected, and forgets what it would have been sent.
func (s *Subscription) disconnect() {
	s.groups, s.keys = nil, nil
	s.queue, s.slicing, s.last, s.versioned = nil, slicing{}, nil, nil
	s.undecided, s.withdrawn, s.reportedServers, s.subscriber.Known = nil, nil, nil, nil
}

// expire stops waiting for a server that was disconnected. Changes that it lacks name it.
func (h *Hub) expire(sub *Subscription) {
	delete(h.subs, sub)
	h.dropRejections(sub)
	switch {
	case !sub.isAbsent:
	case sub.absentAs == session.Others():
		h.mergeLastKnown(sub)
	case h.sessions.IsAbsent(sub.absentAs):
		known := &lastKnown{server: sub.server, acked: sub.acked, rejected: sub.rejected.shortened(), lacking: sub.incomplete}
		if len(sub.incomplete) > maxLackingAbsent {
			known.acked, known.lacking = 0, nil
		}
		h.absent[sub.absentAs] = known
	}
	h.evaluateAfter(sub.ackedEverywhere())
}

// mergeLastKnown adds a server to the others, of which it is known what all of them have acknowledged.
func (h *Hub) mergeLastKnown(sub *Subscription) {
	acked := sub.ackedEverywhere()
	if sub.rejected != nil {
		acked = 0
	}
	others := h.absent[session.Others()]
	if others == nil {
		others = &lastKnown{server: server{ID: session.Others()}, acked: acked}
		h.absent[session.Others()] = others
	}
	others.acked = min(others.acked, acked)
}

// lastScopes are the groups that the server may go on deciding about when it is disconnected.
func (s *Subscription) lastScopes() []session.Scope {
	switch {
	case !s.caughtUp && !s.servesSnapshot:
		return nil // it never had a snapshot to decide by
	case s.all:
		return slices.Collect(s.subscriber.Selection.scopes())
	default:
		scopes := make([]session.Scope, 0, len(s.allowed))
		for group := range s.allowed {
			scopes = append(scopes, session.OneGroup(group))
		}
		return scopes
	}
}

// AbsentServers returns how many servers of the group this Hub knows that are disconnected, and no longer waited for.
func (h *Hub) AbsentServers(group string) (servers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.sessions.Absent(group) {
		if h.absent[id] != nil {
			servers++
		}
	}
	return servers
}

// forgetAbsent forgets the servers that have been absent for too long, and has itself called again for the next. It does nothing until
// then.
func (h *Hub) forgetAbsent() {
	if h.forgetScheduled {
		return
	}
	forgotten, next := h.sessions.Forget()
	for _, id := range forgotten {
		delete(h.absent, id)
	}
	h.forgetResults(forgotten)
	if next.IsZero() {
		return
	}
	h.forgetScheduled = true
	h.clock.AfterFunc(max(next.Sub(h.clock.Now()), granularity), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.forgetScheduled = false
		h.forgetAbsent()
	})
}

// forgetResults takes servers out of the results that name them as expired.
func (h *Hub) forgetResults(servers []session.ID) {
	if len(servers) == 0 {
		return
	}
	forgotten := make(map[session.ID]struct{}, len(servers))
	for _, id := range servers {
		forgotten[id] = struct{}{}
	}
	for ref := range h.tracking.withExpired {
		known, ok := h.tracking.results[ref]
		if !ok {
			delete(h.tracking.withExpired, ref)
			continue
		}
		before := len(known.change.expired)
		known.change.expired = slices.DeleteFunc(known.change.expired, func(s server) bool { _, gone := forgotten[s.ID]; return gone })
		if removed := before - len(known.change.expired); removed > 0 {
			known.Servers -= removed
			h.renamed(ref, known)
		}
	}
}

// renamed stores a result whose change has lost expired servers.
func (h *Hub) renamed(ref Ref, known result) {
	known.Expired = naming{}.note(known.change.expired...).of(known.change.expired)
	h.tracking.results[ref] = known
	if len(known.Expired) == 0 {
		delete(h.tracking.withExpired, ref)
	}
	h.notify(known.change.Subject)
}
