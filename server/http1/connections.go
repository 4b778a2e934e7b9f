package http1

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// connections are those of a listener, with the bytes of incomplete heads that they buffer. Both are bounded. When
// there is no free slot, a new connection evicts one that waits for its client, so that nobody who connects and sends
// nothing keeps others out.
//
// mu guards all other fields but awaited, and slot.at of every connection; held is the sum of slot.held of all, which
// changes under mu only.
type connections struct {
	max     int   // 0 is any number
	maxHeld int64 // bytes; 0 is any number

	mu     sync.Mutex
	free   sync.Cond // signals a free slot, or a connection that began to wait for its client
	all    []*conn
	held   int64
	closed bool

	awaited atomic.Bool // reports whether a new connection waits for a slot
}

// phase is what a connection does.
type phase = int32

const (
	inFirstHead phase = iota // it has not had a request
	busy
	idle
)

// slot is what connections stores about one connection.
type slot struct {
	at    int          // its index in all plus 1, or nowhere
	held  atomic.Int64 // bytes
	phase atomic.Int32 // a phase
	since atomic.Int64 // when it began to wait for its client, as Unix time in nanoseconds
}

const nowhere = 0

// samples is how many connections are compared to find one that has waited about the longest.
const samples = 64

// admit gives the connection a slot. It reports whether there is one: it fails if the listener is closed.
func (s *connections) admit(c *conn) bool {
	c.slot.since.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.max > 0 && len(s.all) >= s.max && !s.closed {
		if longest := s.longest(func(c *conn) bool { return c.slot.phase.Load() != busy }); longest != nil {
			s.evict(longest)
			continue
		}
		s.awaited.Store(true)
		s.free.Wait()
		s.awaited.Store(false)
	}
	if s.closed {
		return false
	}
	s.all = append(s.all, c)
	c.slot.at = len(s.all)
	return true
}

// overdue is how long the rest of a head may take before its connection is the first to be evicted. Until then it is
// not: otherwise new connections would evict each other instead of idle ones.
const overdue = time.Second

// longest returns the candidate that has waited the longest for the rest of an overdue head, or if there is none, for
// anything. It returns nil if there are no candidates.
func (s *connections) longest(candidate func(*conn) bool) (longest *conn) {
	limit := time.Now().Add(-overdue).UnixNano()
	isOverdue := func(c *conn) bool {
		return (c.slot.phase.Load() == inFirstHead || c.slot.held.Load() > 0) && c.slot.since.Load() < limit
	}
	for i := range min(len(s.all), samples) {
		if len(s.all) > samples {
			i = rand.IntN(len(s.all)) //nolint:gosec // nobody gains by predicting which connections are compared
		}
		c := s.all[i]
		if !candidate(c) {
			continue
		}
		if longest == nil || isOverdue(c) && !isOverdue(longest) ||
			isOverdue(c) == isOverdue(longest) && c.slot.since.Load() < longest.slot.since.Load() {
			longest = c
		}
	}
	return longest
}

// evict closes a connection. The caller holds mu, so it waits for nothing: a client that reads slowly may also be slow
// to close.
func (s *connections) evict(c *conn) {
	s.drop(c)
	go func() { _ = c.Close() }() // nobody can act on an error
}

// remove takes back the slot of a connection that has ended.
func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(c)
}

func (s *connections) drop(c *conn) {
	at := c.slot.at
	if at == nowhere {
		return
	}
	last := s.all[len(s.all)-1]
	s.all[at-1], last.slot.at = last, at
	s.all[len(s.all)-1] = nil
	s.all = s.all[:len(s.all)-1]
	s.held -= c.slot.held.Swap(0)
	c.slot.at = nowhere
	s.free.Signal()
}

// hold notes how many bytes a connection buffers. When all together exceed the maximum, the connection that has
// buffered the longest is evicted.
func (s *connections) hold(c *conn, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.slot.at == nowhere {
		return
	}
	before := c.slot.held.Swap(int64(bytes))
	if before == 0 {
		c.slot.since.Store(time.Now().UnixNano())
	}
	s.held += int64(bytes) - before
	for s.maxHeld > 0 && s.held > s.maxHeld {
		longest := s.longest(func(c *conn) bool { return c.slot.held.Load() > 0 })
		if longest == nil { // there are many connections, and few of them buffer anything
			longest = c
		}
		s.evict(longest)
	}
}

// setPhase notes what a connection does.
func (s *connections) setPhase(c *conn, now phase) {
	if now == idle {
		c.slot.since.Store(time.Now().UnixNano())
	}
	c.slot.phase.Store(now)
	if now != busy && s.awaited.Load() {
		s.mu.Lock()
		s.free.Signal()
		s.mu.Unlock()
	}
}

func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.free.Broadcast()
}
