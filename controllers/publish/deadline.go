package publish

import (
	"slices"
	"time"
)

// A change is waited for until its deadline. Without one, whoever connects over and over, or acknowledges
// nothing and comes back when it is cut off, could keep it from being delivered for good.

// granularity is how far apart two looks for changes are that have waited long enough.
const granularity = 250 * time.Millisecond

// deadline is that of a change which is published now.
func (h *Hub) deadline() time.Time {
	if h.options.Patience <= 0 {
		return time.Time{}
	}
	return h.clock.Now().Add(h.options.Patience + h.options.Grace)
}

// isOver reports whether the change has waited long enough.
func (h *Hub) isPastDeadline(c *change) bool {
	return !c.deadline.IsZero() && !h.clock.Now().Before(c.deadline)
}

// watch sees to it that the change is looked at when it has waited long enough.
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

// giveUp goes on with changes that have waited long enough, and names the servers that lack them.
func (h *Hub) passDeadlines() {
	var next *change
	for _, c := range h.tracking.open {
		switch {
		case c.done:
		case h.isPastDeadline(c):
			for sub := range h.subs {
				sub.passedOver = sub.passedOver || sub.acked < c.revision && sub.has(c.Group)
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

// lost gives up waiting for a server: open changes that it lacks name it and go on without.
func (h *Hub) expire(sub *Subscription) {
	for _, c := range h.tracking.open {
		if !c.done && c.revision > sub.acked && sub.has(c.Group) && !slices.Contains(c.expired, sub.server) {
			c.expired = append(c.expired, sub.server)
		}
	}
}

// found takes note of what a server has in force by now that was given up, there or on an earlier connection of it.
// It returns whether that is all of it.
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
		case known.change.revision > sub.acked:
			all = false
		default:
			known.change.expired = slices.Delete(known.change.expired, at, at+1)
			known.Expired = naming{}.note(known.change.expired...).of(known.change.expired)
			known.Acknowledged++
			h.tracking.results[ref] = known
			if len(known.Expired) == 0 {
				delete(h.tracking.withExpired, ref)
			}
			h.notify(known.change.Subject)
		}
	}
	return all
}
