package publish

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"
)

// Enforcement is the progress of the latest change of a record: on which validation servers it is in force.
type Enforcement struct {
	// Complete reports whether every server that must have the change has acknowledged it or is expired.
	Complete bool
	// Deliverable reports whether the text of a key may be delivered: every connected server accepts it, or is not to be waited for.
	Deliverable bool
	// Servers is how many servers must have the change, Acknowledged how many of them have acknowledged it.
	Servers, Acknowledged int
	// Latency is the time from the change to the last acknowledgement; zero where it is unknown.
	Latency time.Duration
	// Waiting and Expired name servers that have not acknowledged the change: those that the Hub waits for, and those
	// that were disconnected, or did not answer, for too long.
	Waiting, Expired []string
	// Rejecting are the connected servers that have received the change, and cannot use the record.
	Rejecting []Rejection
	// InStartupGrace reports whether the Hub still waits for servers of an earlier leader to reconnect.
	InStartupGrace bool
	// Since is when the change was published; zero where it is unknown.
	Since time.Time
}

// Subject is a record with its group and its object.
type Subject struct {
	Ref
	// Group is the identity, namespace/name, of its group.
	Group string
	// Object is the API object that the record is made from.
	Object types.NamespacedName
}

// tracking tracks changes until they are in force. The Hub's lock guards it. A record has an entry in latest while its
// last change is not in force, and in results afterwards, never in both; only the changes in latest are not done.
type tracking struct {
	// open has the changes that are not in force yet, in the order of their revisions. Changes that were superseded or
	// completed are done, and stay until the next sweep.
	open    []*change
	latest  map[Ref]*change
	results map[Ref]result
	// withExpired has the results that name expired servers, and may have records whose result is gone.
	withExpired map[Ref]struct{}
	// rejected has the records of which Enforcement has last said that servers reject them.
	rejected          map[Ref]Subject
	deadlineScheduled bool // a timer for passDeadlines runs
	// askedEarly has the records whose enforcement was asked for before the Hub was open.
	askedEarly map[Ref]Subject
}

type result struct {
	Enforcement
	change *change
}

type change struct {
	Subject
	revision uint64
	at       time.Time // when it was published; zero if an earlier leader published it
	deadline time.Time // after which the Hub no longer waits; zero is never
	expired  []server  // once it is done: those that lack it
	done     bool
	span     trace.Span // nil if it is not traced
}

func newTracking() tracking {
	return tracking{
		latest: map[Ref]*change{}, results: map[Ref]result{}, withExpired: map[Ref]struct{}{}, rejected: map[Ref]Subject{},
		askedEarly: map[Ref]Subject{},
	}
}

// insert keeps the order: a change that is tracked on request may have an old revision.
func (t *tracking) insert(c *change) {
	at := len(t.open)
	if at > 0 && t.open[at-1].revision > c.revision {
		at = sort.Search(at, func(i int) bool { return t.open[i].revision > c.revision })
	}
	t.open = slices.Insert(t.open, at, c)
}

// Enforcement returns the progress of the record with this content. OnEnforced is called when an answer that was
// incomplete becomes complete, and when the servers have changed that reject the record.
func (h *Hub) Enforcement(subject Subject, recordID string) Enforcement {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.enforcement(subject, recordID)
	e.Deliverable = e.Complete && (len(e.Rejecting) == 0 || h.options.DeliverDespiteRejections)
	return e
}

func (h *Hub) enforcement(subject Subject, recordID string) Enforcement {
	if !h.isOpen() {
		h.tracking.askedEarly[subject.Ref] = subject
		return Enforcement{InStartupGrace: true}
	}
	if h.recordID(subject.Ref) != recordID {
		return Enforcement{InStartupGrace: !h.startupOver} // the change is not published yet; OnEnforced will be called for it
	}
	c := h.tracking.latest[subject.Ref]
	if found, ok := h.tracking.results[subject.Ref]; ok {
		if h.inForce(found.change) {
			return h.withRejections(found)
		}
		// A server has subscribed that has not caught up. The Hub waits for it, but not beyond the deadline of the
		// change: other servers may subscribe after it.
		c = h.track(subject, found.change.revision, found.change.at, found.change.deadline)
	}
	if c == nil {
		c = h.track(subject, h.revisionOf(subject.Ref), time.Time{}, h.deadline())
	}
	if c.done {
		return h.withRejections(h.tracking.results[subject.Ref])
	}
	p, _ := h.progress(c)
	return p
}

// withRejections returns a result as it is with the servers that reject the record now. These are counted by what is connected now.
func (h *Hub) withRejections(known result) Enforcement {
	if !h.isRejected(known.change.Subject) {
		delete(h.tracking.rejected, known.change.Ref)
		return known.Enforcement
	}
	h.tracking.rejected[known.change.Ref] = known.change.Subject
	p, _ := h.progress(known.change)
	p.Complete, p.Latency = true, known.Latency
	return p
}

// Unenforced returns how many records have a latest change that servers are still waited for, and how many have one that some
// server has not acknowledged, and is no longer waited for.
func (h *Hub) Unenforced() (pending, missed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ref := range h.tracking.withExpired {
		if len(h.tracking.results[ref].Expired) > 0 {
			missed++
		}
	}
	return len(h.tracking.latest), missed
}

// Forget drops what is kept about a record that was deleted.
func (h *Hub) Forget(ref Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.tracking.latest[ref]; c != nil {
		c.done = true
		c.superseded()
		delete(h.tracking.latest, ref)
	}
	delete(h.tracking.results, ref)
	delete(h.tracking.rejected, ref)
}

// track tracks the latest change of a record; an earlier one no longer matters.
func (h *Hub) track(subject Subject, revision uint64, at, deadline time.Time) *change {
	c := &change{Subject: subject, revision: revision, at: at, deadline: deadline}
	h.follow(c)
	return c
}

func (h *Hub) follow(c *change) {
	delete(h.tracking.results, c.Ref)
	if earlier := h.tracking.latest[c.Ref]; earlier != nil {
		earlier.done = true
		earlier.superseded()
	}
	h.tracking.latest[c.Ref] = c
	h.tracking.insert(c)
	h.evaluate(c)
	h.scheduleDeadline(c)
}

// evaluateAfter evaluates the open changes after the revision: some may have come into force.
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

// sweep removes the changes that are done.
func (t *tracking) sweep() {
	t.open = slices.DeleteFunc(t.open, func(c *change) bool { return c.done })
}

func (h *Hub) evaluate(c *change) {
	if c.done || !h.startupOver || !h.inForce(c) {
		return
	}
	enforcement, expired := h.progress(c)
	enforcement.Complete, c.expired = true, expired
	if !c.at.Before(h.startupOverAt) && enforcement.Servers > 0 { // the wait of a new leader is not a latency
		enforcement.Latency = h.clock.Since(c.at)
		latency.Observe(enforcement.Latency.Seconds())
	}
	c.done = true
	c.endTrace(h.clock.Now(), enforcement)
	delete(h.tracking.latest, c.Ref)
	h.tracking.results[c.Ref] = result{enforcement, c}
	if len(enforcement.Expired) > 0 {
		h.tracking.withExpired[c.Ref] = struct{}{}
	}
	h.notify(c.Subject)
}

// inForce reports whether no server has to be waited for. It stops at the first server that lacks the change; map order is
// random, so with many servers it finds one quickly.
func (h *Hub) inForce(c *change) bool {
	if h.isPastDeadline(c) {
		return true
	}
	for sub := range h.subs {
		if sub.lacks(c) && sub.has(c.Group) {
			return false
		}
	}
	return true
}

// progress returns the progress of a change, and the servers that are no longer waited for.
func (h *Hub) progress(c *change) (p Enforcement, expired []server) {
	p = Enforcement{InStartupGrace: !h.startupOver, Since: c.at}
	over, names := h.isPastDeadline(c), naming{}
	var remaining []server
	var rejecting []*Subscription
	var reasons []string
	for sub := range h.subs {
		if !sub.has(c.Group) {
			continue
		}
		p.Servers++
		names.note(sub.server)
		reason, rejected := sub.rejected.of(c.Subject)
		switch {
		case !sub.lacks(c) && rejected:
			rejecting = append(rejecting, sub)
			reasons = append(reasons, reason)
		case !sub.lacks(c):
			p.Acknowledged++
		case over:
			expired = append(expired, sub.server)
		default:
			remaining = append(remaining, sub.server)
		}
	}
	for id := range h.sessions.Absent(c.Group) {
		absent := h.absent[id]
		if absent == nil {
			continue // it is waited for, and counted above
		}
		p.Servers++
		names.note(absent.server)
		if absent.lacks(c) {
			expired = append(expired, absent.server)
		} else {
			p.Acknowledged++
		}
	}
	for i, sub := range rejecting {
		p.Rejecting = append(p.Rejecting, Rejection{Server: names.of([]server{sub.server})[0], Reason: reasons[i]})
	}
	slices.SortFunc(p.Rejecting, func(a, b Rejection) int { return cmp.Compare(a.Server, b.Server) })
	p.Waiting, p.Expired = names.of(remaining), names.of(expired)
	return p, expired
}
