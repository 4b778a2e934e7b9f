package publish

import (
	"slices"
	"time"
	"unicode/utf8"
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
func (h *Hub) isOver(c *change) bool {
	return !c.deadline.IsZero() && !h.clock.Now().Before(c.deadline)
}

// watch sees to it that the change is looked at when it has waited long enough.
func (h *Hub) watch(c *change) {
	if c.done || c.deadline.IsZero() || h.tracking.watching {
		return
	}
	h.tracking.watching = true
	h.clock.AfterFunc(max(c.deadline.Sub(h.clock.Now()), granularity), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tracking.watching = false
		h.giveUp()
	})
}

// giveUp goes on with changes that have waited long enough, and names the servers that lack them.
func (h *Hub) giveUp() {
	var next *change
	for _, c := range h.tracking.open {
		switch {
		case c.done:
		case h.isOver(c):
			for sub := range h.subs {
				sub.givenUp = sub.givenUp || sub.acked < c.revision && sub.has(c.Group)
			}
			h.evaluate(c)
		case next == nil || c.deadline.Before(next.deadline):
			next = c
		}
	}
	h.tracking.sweep()
	if next != nil {
		h.watch(next)
	}
}

// lost gives up waiting for a server: open changes that it lacks name it and go on without.
func (h *Hub) lost(sub *Subscription) {
	for _, c := range h.tracking.open {
		if !c.done && c.revision > sub.acked && sub.has(c.Group) && !slices.Contains(c.lost, sub.server) {
			c.lost = append(c.lost, sub.server)
		}
	}
}

// found takes note of what a server has in force by now that was given up, there or on an earlier connection of it.
// It returns whether that is all of it.
func (h *Hub) found(sub *Subscription) (all bool) {
	all = true
	for ref := range h.tracking.lossy {
		known, ok := h.tracking.results[ref]
		if !ok {
			delete(h.tracking.lossy, ref) // changed again, or forgotten
			continue
		}
		at := slices.Index(known.change.lost, sub.server)
		switch {
		case at < 0:
		case known.change.revision > sub.acked:
			all = false
		default:
			known.change.lost = slices.Delete(known.change.lost, at, at+1)
			known.Lost = naming{}.note(known.change.lost...).of(known.change.lost)
			known.Acknowledged++
			h.tracking.results[ref] = known
			if len(known.Lost) == 0 {
				delete(h.tracking.lossy, ref)
			}
			h.notify(known.change.Subject)
		}
	}
	return all
}

// server is who is at the other end, by what it has proved; connections of the same server are equal in it.
type server struct {
	instance, identity string
	owner              string // the identity as people read it
}

// maxName is how long a name in status may be, in characters.
const maxName = 253

// naming counts how many servers of a group have an instance's name: where it is more than one, it takes the owner
// to tell them apart.
type naming map[string]int

func (n naming) note(servers ...server) naming {
	for _, s := range servers {
		n[s.instance]++
	}
	return n
}

func (n naming) of(servers []server) (names []string) {
	for _, s := range servers {
		name := s.instance
		if n[name] > 1 && s.owner != "" {
			owner := cut(s.owner, maxName/2)
			name = cut(name, maxName-len(" ()")-utf8.RuneCountInString(owner)) + " (" + owner + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cut leaves the end of what is too long, which is what tells Pods apart.
func cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return "…" + string(runes[len(runes)-most+1:])
}
