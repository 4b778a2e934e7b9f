package usage

import (
	"cmp"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// Due returns the keys that have something to write, and whose last write is at least the resolution ago: at most so many,
// those with the oldest write first. It forgets servers that were disconnected a day ago.
func (k *Keys) Due(resolution time.Duration, most int) []KeyName {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	k.dropForgotten("")
	type candidate struct {
		name KeyName
		use  *keyUse
	}
	var due []candidate
	for name, use := range k.keys {
		switch {
		case use.pending > 0 && now.Sub(use.written) >= resolution:
			due = append(due, candidate{name, use})
		case use.pending == 0 && now.Sub(use.written) > forgetAfter:
			k.forget(name)
		}
	}
	slices.SortFunc(due, func(a, b candidate) int {
		return cmp.Or(a.use.written.Compare(b.use.written), cmp.Compare(a.name.ID, b.name.ID))
	})
	names := make([]KeyName, 0, min(most, len(due)))
	for _, c := range due[:min(most, len(due))] {
		c.use.due = true
		names = append(names, c.name)
	}
	return names
}

// Count is the requests of a key that status shall show. It is immutable.
type Count struct {
	Month    quotaledger.Month
	Requests uint64
	// Added is how many of them status does not show yet.
	Added uint64
	// Due reports that it is to be written even if nothing else is.
	Due bool

	name    KeyName
	pending uint64
	taken   map[*incarnation]uint64
}

// Of returns what status shall show of a key that shows so many requests in that month now; nil if there is nothing to add.
func (k *Keys) Of(name KeyName, period string, requests uint64) *Count {
	k.mu.Lock()
	defer k.mu.Unlock()
	use := k.keys[name]
	if use == nil {
		return nil
	}
	for _, a := range use.attempts {
		if a.Month.String() == period && a.Requests == requests {
			k.wrote(a) // the write succeeded
		}
	}
	if use.pending == 0 {
		return nil
	}
	c := &Count{
		Month: use.month, Requests: use.pending, Added: use.pending, Due: use.due,
		name: name, pending: use.pending, taken: map[*incarnation]uint64{},
	}
	switch month := use.month.String(); {
	case period == month:
		c.Requests += requests
	case period > month:
		k.forget(name) // its month is not shown any more
		return nil
	}
	for _, inc := range k.incarnations {
		if t := inc.counts[name]; t != nil && t.month == use.month {
			c.taken[inc] = t.taken
		}
	}
	return c
}

// Writing records that a count is about to be written. Afterwards, Wrote records that it was written, and Refused that it was
// not. If neither is called, it is decided when the status is read again.
func (k *Keys) Writing(c *Count) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if use := k.keys[c.name]; use != nil {
		use.attempts = append(use.attempts[max(0, len(use.attempts)-maxAttempts+1):], c)
	}
}

// Refused records that a count was not written.
func (k *Keys) Refused(c *Count) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if use := k.keys[c.name]; use != nil {
		use.attempts = slices.DeleteFunc(use.attempts, func(a *Count) bool { return a == c })
	}
}

// Wrote records that a count was written, and has reported to the servers what is persisted.
func (k *Keys) Wrote(c *Count) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wrote(c)
}

// wrote is Wrote for a caller that holds the lock.
func (k *Keys) wrote(c *Count) {
	use := k.keys[c.name]
	if use == nil || !slices.Contains(use.attempts, c) {
		return
	}
	use.attempts, use.due, use.written = nil, false, k.clock.Now()
	use.pending -= c.pending
	for inc, n := range c.taken {
		t := inc.counts[c.name]
		if t == nil || t.month != c.Month {
			continue
		}
		t.written = n
		if inc.reporter != nil {
			inc.reporter.report(c.name, c.Month, n)
		}
	}
}

// Forget drops a key that was deleted, and has reported to the servers that they need not report it again.
func (k *Keys) Forget(name KeyName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(name)
}

// forget is Forget for a caller that holds the lock.
func (k *Keys) forget(name KeyName) {
	delete(k.keys, name)
	for _, inc := range k.incarnations {
		t := inc.counts[name]
		if t == nil {
			continue
		}
		if inc.reporter != nil && t.written < t.taken {
			inc.reporter.report(name, t.month, t.taken)
		}
		delete(inc.counts, name)
		k.counts--
	}
}
