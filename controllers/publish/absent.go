package publish

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
	// maxLackingAbsent is how many groups are kept of a server that it was being sent. If there were more, it counts as lacking all.
	maxLackingAbsent = 64
	// maxOfOthers bounds what is kept of those beyond. If they had more Groups and namespaces, they count as having all.
	maxOfOthers = 20_000
)

// otherServers stands for the absent servers that are not kept separately.
var otherServers = server{instance: "other servers"}

// absence is a server that was disconnected without a goodbye for longer than Grace. It may go on deciding by the snapshot
// that it had.
type absence struct {
	server server
	acked  uint64
	// lacking are groups that it had not received completely, and rejected what it could not use.
	lacking  map[string]sending
	rejected *rejections
	has      map[scope]struct{} // the groups that it has
	forgets  time.Time          // zero is never
}

// lacks reports whether the server lacks a change, or could not use the record.
func (a *absence) lacks(c *change) bool {
	_, lacking := a.lacking[c.Group]
	_, rejected := a.rejected.of(c.Subject)
	return a.acked < c.revision || lacking || rejected
}

// absentServers are waited for by no change, and named by each change that they lack, until they connect again, or are
// forgotten. The Hub's lock guards it. A server is not in it while it has a connected Subscription. of[i] is the number of
// servers of identity i, and has no entry for 0. otherServers counts in neither. by has each server by all that it has, so that
// a change of one Group costs nothing for servers that do not have it.
type absentServers struct {
	servers   map[server]*absence
	of        map[string]int
	by        map[scope]map[*absence]struct{}
	scheduled bool // a timer for forgetAbsent runs
}

func newAbsentServers() absentServers {
	return absentServers{servers: map[server]*absence{}, of: map[string]int{}, by: map[scope]map[*absence]struct{}{}}
}

// having returns the servers that have the group.
func (a *absentServers) having(group string) iter.Seq[*absence] {
	return func(yield func(*absence) bool) {
		scopes := scopesOf(group)
		for i, s := range scopes {
			for gone := range a.by[s] {
				again := slices.ContainsFunc(scopes[:i], func(wider scope) bool { _, has := gone.has[wider]; return has })
				if !again && !yield(gone) {
					return
				}
			}
		}
	}
}

// expire stops waiting for a server that was disconnected. Changes that it lacks name it.
func (h *Hub) expire(sub *Subscription) {
	delete(h.subs, sub)
	h.dropRejections(sub)
	defer h.evaluateAfter(sub.ackedEverywhere())
	if !sub.caughtUp && !sub.servesSnapshot {
		return // it never had a snapshot to decide by
	}
	for other := range h.subs {
		if other.server == sub.server && !other.isDisconnected() {
			return
		}
	}
	gone := &absence{server: sub.server, acked: sub.acked, rejected: sub.rejected.shortened(), has: map[scope]struct{}{}}
	if len(sub.incomplete) > maxLackingAbsent {
		gone.acked = 0
	} else {
		gone.lacking = sub.incomplete
	}
	if h.options.ForgetAfter > 0 {
		gone.forgets = h.clock.Now().Add(h.options.ForgetAfter)
	}
	if sub.all {
		for s := range sub.subscriber.Selection.scopes() {
			gone.has[s] = struct{}{}
		}
	} else {
		for group := range sub.allowed {
			gone.has[scope{oneGroup, group}] = struct{}{}
		}
	}
	h.absent.add(gone)
	h.scheduleForgetting(gone.forgets)
}

func (a *absentServers) add(gone *absence) {
	s := gone.server
	switch {
	case a.servers[s] != nil:
		a.remove(s)
	case len(a.servers) >= MaxAbsent || a.of[s.identity] >= MaxAbsentOfOne:
		a.merge(gone)
		return
	}
	a.servers[s] = gone
	a.of[s.identity]++
	for s := range gone.has {
		a.index(s, gone)
	}
}

// merge adds what one server has to what otherServers have. They are not removed when they connect again, so that a change
// may name them for longer than necessary, never for less.
func (a *absentServers) merge(gone *absence) {
	others := a.servers[otherServers]
	if others == nil {
		others = &absence{server: otherServers, acked: gone.acked, has: map[scope]struct{}{}}
		a.servers[otherServers] = others
	}
	others.acked = min(others.acked, gone.acked)
	if len(gone.lacking) > 0 || gone.rejected != nil {
		others.acked = 0
	}
	others.forgets = gone.forgets
	for s := range gone.has {
		if len(others.has) >= maxOfOthers {
			s = scope{kind: everyGroup}
		}
		others.has[s] = struct{}{}
		a.index(s, others)
	}
}

func (a *absentServers) index(s scope, gone *absence) {
	if a.by[s] == nil {
		a.by[s] = map[*absence]struct{}{}
	}
	a.by[s][gone] = struct{}{}
}

// remove removes a server. It reports whether it was there.
func (a *absentServers) remove(s server) bool {
	gone := a.servers[s]
	if gone == nil {
		return false
	}
	delete(a.servers, s)
	for s := range gone.has {
		if delete(a.by[s], gone); len(a.by[s]) == 0 {
			delete(a.by, s)
		}
	}
	if s == otherServers {
		return true
	}
	if a.of[s.identity]--; a.of[s.identity] == 0 {
		delete(a.of, s.identity)
	}
	return true
}

// AbsentServers returns how many servers of the group this Hub knows that are disconnected, and no longer waited for.
func (h *Hub) AbsentServers(group string) (servers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range h.absent.having(group) {
		servers++
	}
	return servers
}

func (h *Hub) scheduleForgetting(at time.Time) {
	if at.IsZero() || h.absent.scheduled {
		return
	}
	h.absent.scheduled = true
	h.clock.AfterFunc(max(at.Sub(h.clock.Now()), granularity), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.absent.scheduled = false
		h.forgetAbsent()
	})
}

// forgetAbsent forgets the servers that have been absent for too long.
func (h *Hub) forgetAbsent() {
	forgotten, now := map[server]struct{}{}, h.clock.Now()
	var next time.Time
	for s, gone := range h.absent.servers {
		switch {
		case gone.forgets.IsZero():
		case !now.Before(gone.forgets):
			h.absent.remove(s)
			forgotten[s] = struct{}{}
		case next.IsZero() || gone.forgets.Before(next):
			next = gone.forgets
		}
	}
	h.scheduleForgetting(next)
	h.forgetResults(forgotten)
}

// forgetResults takes servers out of the results that name them as expired.
func (h *Hub) forgetResults(servers map[server]struct{}) {
	if len(servers) == 0 {
		return
	}
	for ref := range h.tracking.withExpired {
		known, ok := h.tracking.results[ref]
		if !ok {
			delete(h.tracking.withExpired, ref)
			continue
		}
		before := len(known.change.expired)
		known.change.expired = slices.DeleteFunc(known.change.expired, func(s server) bool { _, gone := servers[s]; return gone })
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
