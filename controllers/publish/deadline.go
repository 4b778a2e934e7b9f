package publish

import (
	"slices"
	"time"
)

// A change waits for servers until its deadline. Without a deadline, a server that connects again and again, or that
// acknowledges nothing and reconnects when it is cut off, could delay the change forever.

// granularity is the minimum time between two checks for changes that have passed their deadline.
const granularity = 250 * time.Millisecond

// deadline returns the deadline of a change that is published now.
func (h *Hub) deadline() time.Time {
	if h.options.Patience <= 0 {
		return time.Time{}
	}
	return h.clock.Now().Add(h.options.Patience + h.options.Grace)
}

// isPastDeadline reports whether the change has passed its deadline.
func (h *Hub) isPastDeadline(c *change) bool {
	return !c.deadline.IsZero() && !h.clock.Now().Before(c.deadline)
}

// scheduleDeadline starts the timer for the change's deadline, unless a timer runs already.
func (h *Hub) scheduleDeadline(c *change) {
	if c.done || c.deadline.IsZero() || h.tracking.deadlineScheduled {
		return
	}
	h.tracking.deadlineScheduled = true
	h.clock.AfterFunc(max(c.deadline.Sub(h.clock.Now()), granularity), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tracking.deadlineScheduled = false
		h.passDeadlines()
	})
}

// passDeadlines completes the changes that have passed their deadline, and names the servers that lack them.
func (h *Hub) passDeadlines() {
	var next *change
	for _, c := range h.tracking.open {
		switch {
		case c.done:
		case h.isPastDeadline(c):
			for sub := range h.subs {
				sub.passedOver = sub.passedOver || sub.lacks(c) && sub.has(c.Group)
			}
			h.evaluate(c)
		case next == nil || c.deadline.Before(next.deadline):
			next = c
		}
	}
	h.tracking.sweep()
	if next != nil {
		h.scheduleDeadline(next)
	}
}

// reconnected updates the results that name the server as expired, on this or on an earlier connection, and that it has
// acknowledged now. It reports whether it has acknowledged all of them.
func (h *Hub) reconnected(sub *Subscription) (all bool) {
	all = true
	for ref := range h.tracking.withExpired {
		known, ok := h.tracking.results[ref]
		if !ok {
			delete(h.tracking.withExpired, ref) // changed again, or forgotten
			continue
		}
		at := slices.Index(known.change.expired, sub.server)
		switch {
		case at < 0:
		case sub.lacks(known.change):
			all = false
		default:
			known.change.expired = slices.Delete(known.change.expired, at, at+1)
			known.Acknowledged++
			h.renamed(ref, known)
		}
	}
	return all
}
