package publish

import (
	"slices"
	"sort"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Enforcement is how far validation servers have the latest change of a record in force.
type Enforcement struct {
	// Complete is whether every server that is to have the change has acknowledged it.
	Complete bool
	// Servers is how many were to have it, Acknowledged how many of them do.
	Servers, Acknowledged int
	// Latency from the change to the last acknowledgement; zero where that is unknown.
	Latency time.Duration
	// Waiting and Lost name servers that have not acknowledged: those that are waited
	// for, and those whose connection was lost for too long.
	Waiting, Expired []string
	// Settling is whether servers of an earlier leader are still being waited for.
	InStartupGrace bool
	// Since is when the change was published; zero where that is unknown.
	Since time.Time
}

// Subject is a record with what it belongs to.
type Subject struct {
	Ref
	// Group is the identity namespace/name of its group.
	Group string
	// Object is the API object that it is made from.
	Object types.NamespacedName
}

// tracking follows changes until they are in force.
type tracking struct {
	// open are the changes that are not in force yet, in the order of their revisions. Those
	// that were overtaken or completed stay until they are swept.
	open    []*change
	latest  map[Ref]*change
	results map[Ref]result
	// lossy are results that name lost servers.
	withExpired       map[Ref]struct{}
	deadlineScheduled bool // a look at changes that have waited long enough is due
	// asked are records that were asked about before the Hub was open.
	askedEarly map[Ref]Subject
}

type result struct {
	Enforcement
	change *change
}

type change struct {
	Subject
	revision uint64
	at       time.Time // zero where the change was there before this leader
	deadline time.Time // when it is waited for no longer; zero is never
	expired  []server
	done     bool
}

func newTracking() tracking {
	return tracking{latest: map[Ref]*change{}, results: map[Ref]result{}, withExpired: map[Ref]struct{}{}, askedEarly: map[Ref]Subject{}}
}

// insert keeps the order: a change that is followed on request may be an old one.
func (t *tracking) insert(c *change) {
	at := len(t.open)
	if at > 0 && t.open[at-1].revision > c.revision {
		at = sort.Search(at, func(i int) bool { return t.open[i].revision > c.revision })
	}
	t.open = slices.Insert(t.open, at, c)
}

// Enforcement says how far the record of this content is in force. A complete answer that
// follows an incomplete one is announced through OnEnforced.
func (h *Hub) Enforcement(subject Subject, recordID string) Enforcement {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isOpen() {
		h.tracking.askedEarly[subject.Ref] = subject
		return Enforcement{InStartupGrace: true}
	}
	if h.recordID(subject.Ref) != recordID {
		return Enforcement{InStartupGrace: !h.startupOver} // its change is still to come, and will be announced
	}
	c := h.tracking.latest[subject.Ref]
	if found, ok := h.tracking.results[subject.Ref]; ok {
		if h.inForce(found.change) {
			return found.Enforcement
		}
		// A server has joined that is not caught up. It is waited for, but not beyond what the change
		// may wait in all: others may come after it.
		c = h.track(subject, found.change.revision, found.change.at, found.change.deadline)
	}
	if c == nil {
		c = h.track(subject, h.revisionOf(subject.Ref), time.Time{}, h.deadline())
	}
	if c.done {
		return h.tracking.results[subject.Ref].Enforcement
	}
	p, _ := h.progress(c)
	return p
}

// Forget drops what is remembered of a record that is gone.
func (h *Hub) Forget(ref Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.tracking.latest[ref]; c != nil {
		c.done = true
		delete(h.tracking.latest, ref)
	}
	delete(h.tracking.results, ref)
}

// track follows the latest change of a record; an earlier one no longer matters.
func (h *Hub) track(subject Subject, revision uint64, at, deadline time.Time) *change {
	delete(h.tracking.results, subject.Ref)
	if earlier := h.tracking.latest[subject.Ref]; earlier != nil {
		earlier.done = true
	}
	c := &change{Subject: subject, revision: revision, at: at, deadline: deadline}
	h.tracking.latest[subject.Ref] = c
	h.tracking.insert(c)
	h.evaluate(c)
	h.scheduleDeadline(c)
	return c
}

// evaluateAfter looks at the open changes past the revision: some may have come into force.
func (h *Hub) evaluateAfter(revision uint64) {
	h.evaluateBetween(revision, h.revision)
}

func (h *Hub) evaluateBetween(after, upTo uint64) {
	open := h.tracking.open
	from := sort.Search(len(open), func(i int) bool { return open[i].revision > after })
	for _, c := range open[from:] {
		if c.revision > upTo {
			break
		}
		h.evaluate(c)
	}
	h.tracking.sweep()
}

// sweep drops finished changes.
func (t *tracking) sweep() {
	t.open = slices.DeleteFunc(t.open, func(c *change) bool { return c.done })
}

func (h *Hub) evaluate(c *change) {
	if c.done || !h.startupOver || !h.inForce(c) {
		return
	}
	enforcement, expired := h.progress(c)
	enforcement.Complete, c.expired = true, expired
	if !c.at.Before(h.startupOverAt) && enforcement.Servers > 0 { // what a new leader waits for is no latency
		enforcement.Latency = h.clock.Since(c.at)
		latency.Observe(enforcement.Latency.Seconds())
	}
	c.done = true
	delete(h.tracking.latest, c.Ref)
	h.tracking.results[c.Ref] = result{enforcement, c}
	if len(enforcement.Expired) > 0 {
		h.tracking.withExpired[c.Ref] = struct{}{}
	}
	h.notify(c.Subject)
}

// inForce stops at the first server that still lacks the change. Map order is random, so
// with many servers that is found quickly.
func (h *Hub) inForce(c *change) bool {
	if h.isPastDeadline(c) {
		return true
	}
	for sub := range h.subs {
		if sub.acked < c.revision && sub.has(c.Group) {
			return false
		}
	}
	return true
}

// progress says how far a change is, and which servers were given up.
func (h *Hub) progress(c *change) (p Enforcement, expired []server) {
	p = Enforcement{InStartupGrace: !h.startupOver, Since: c.at}
	over, names := h.isPastDeadline(c), naming{}
	var remaining []server
	here := map[server]struct{}{}
	for sub := range h.subs {
		if !sub.has(c.Group) {
			continue
		}
		p.Servers++
		here[sub.server] = struct{}{}
		names.note(sub.server)
		switch {
		case sub.acked >= c.revision:
			p.Acknowledged++
		case over:
			expired = append(expired, sub.server)
		default:
			remaining = append(remaining, sub.server)
		}
	}
	for _, gone := range c.expired {
		if _, back := here[gone]; !back {
			p.Servers++
			names.note(gone)
			expired = append(expired, gone)
		}
	}
	p.Waiting, p.Expired = names.of(remaining), names.of(expired)
	return p, expired
}
