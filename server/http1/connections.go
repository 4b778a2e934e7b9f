package http1

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// connections are those of a listener, with the bytes of incomplete heads that they buffer. Both are bounded. When
// there is no free slot, a new connection evicts one that waits for its client, so that nobody who connects and sends
// nothing keeps others out.
//
// Requests in progress are bounded, too, by their weight: they may be many on one connection, and clients need not let
// them end.
//
// mu guards all other fields but awaited, and of every slot at, pending requests, pending and streams; held is the sum of
// slot.held of all, which changes under mu only.
type connections struct {
	max     int   // 0 is any number
	maxHeld int64 // bytes; 0 is any number

	maxPending int64 // bytes of pending requests; 0 is any number

	mu      sync.Mutex
	free    sync.Cond // signals a free slot, or a connection that began to wait for its client
	all     []*conn
	held    int64
	pending int64 // the weights of all pending requests
	closed  bool

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
	since atomic.Int64 // when it began to wait for its client, as Unix time in nanoseconds; if it is busy, see waits

	pendingRequests []*pendingRequest // that are in progress, the oldest first
	pending         int64             // the sum of their weights, in bytes
	streams         int               // requests in progress that were passed to Stream
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
		now := time.Now()
		evictable := func(c *conn) bool { return c.waits(now).evictable }
		longest := s.longest(samples, evictable)
		if longest == nil { // it may not be among the samples
			longest = s.longest(len(s.all), evictable)
		}
		if longest != nil {
			s.evict(longest)
			continue
		}
		s.awaited.Store(true)
		again := time.AfterFunc(overdue/overdueChecks, s.wake) // by then, a pending request may be overdue
		s.free.Wait()
		again.Stop()
		s.awaited.Store(false)
	}
	if s.closed {
		return false
	}
	s.all = append(s.all, c)
	c.slot.at = len(s.all)
	return true
}

// overdue is how long the rest of a head, or a pending request, may take before its connection is the first to be evicted.
// Until then it is not: otherwise new connections would evict each other instead of idle ones.
const overdue = time.Second

// overdueChecks is how often in that time a connection that waits for a slot looks for one that is overdue.
const overdueChecks = 10

// waiting is how a connection waits for its client.
type waiting struct {
	since     int64 // Unix time in nanoseconds
	overdue   bool
	evictable bool
}

// waits returns whether the connection waits for its client. A busy one does if the oldest pending request is overdue. Without
// any pending request, net/http writes a response of its own, or waits for an HTTP/2 client, since the last change. While a
// stream is in progress, it is the upstream that may take its time. The caller holds connections.mu.
func (c *conn) waits(now time.Time) waiting {
	w := waiting{since: c.slot.since.Load(), evictable: true}
	limit := now.Add(-overdue).UnixNano()
	if c.slot.phase.Load() != busy {
		w.overdue = (c.slot.phase.Load() == inFirstHead || c.slot.held.Load() > 0) && w.since < limit
		return w
	}
	if len(c.slot.pendingRequests) > 0 {
		w.since = c.slot.pendingRequests[0].since
	}
	w.overdue = w.since < limit && (len(c.slot.pendingRequests) > 0 || c.slot.streams == 0)
	w.evictable = w.overdue
	return w
}

// longest returns the candidate that has waited the longest of those that are overdue, or if there is none, of all. It
// returns nil if there are no candidates. If there are more connections than it may compare, it compares random ones.
func (s *connections) longest(compared int, candidate func(*conn) bool) (longest *conn) {
	now := time.Now()
	var most waiting
	for i := range min(len(s.all), compared) {
		if len(s.all) > compared {
			i = rand.IntN(len(s.all)) //nolint:gosec // nobody gains by predicting which connections are compared
		}
		c := s.all[i]
		if !candidate(c) {
			continue
		}
		w := c.waits(now)
		if longest == nil || w.overdue && !most.overdue || w.overdue == most.overdue && w.since < most.since {
			longest, most = c, w
		}
	}
	return longest
}

func (s *connections) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free.Signal()
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
	s.pending -= c.slot.pending
	c.slot.pending, c.slot.pendingRequests = 0, nil
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
		longest := s.longest(samples, func(c *conn) bool { return c.slot.held.Load() > 0 })
		if longest == nil { // there are many connections, and few of them buffer anything
			longest = c
		}
		s.evict(longest)
	}
}

// setPhase notes what a connection does.
func (s *connections) setPhase(c *conn, now phase) {
	c.slot.since.Store(time.Now().UnixNano())
	c.slot.phase.Store(now)
	if now != busy && s.awaited.Load() {
		s.wake()
	}
}

// begin notes a pending request. When all together exceed the maximum, a connection is evicted.
func (s *connections) begin(e *pendingRequest, weight int64) {
	e.since = time.Now().UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.conn.slot.at == nowhere {
		return
	}
	e.conn.slot.pendingRequests = append(e.conn.slot.pendingRequests, e)
	s.weigh(e, weight)
}

// grow notes that a pending request holds more bytes.
func (s *connections) grow(e *pendingRequest, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(e.conn.slot.pendingRequests, e) { // it may have been evicted
		s.weigh(e, bytes)
	}
}

func (s *connections) weigh(e *pendingRequest, bytes int64) {
	e.weight += bytes
	e.conn.slot.pending += bytes
	s.pending += bytes
	for s.maxPending > 0 && s.pending > s.maxPending {
		s.evict(s.heaviest())
	}
}

// heaviest returns the connection that is overdue for the longest among those with pending requests, or if there is none, the
// one whose pending requests hold the most.
func (s *connections) heaviest() *conn {
	now := time.Now()
	if c := s.longest(len(s.all), func(c *conn) bool { return c.slot.pending > 0 && c.waits(now).overdue }); c != nil {
		return c
	}
	return slices.MaxFunc(s.all, func(a, b *conn) int { return cmp.Compare(a.slot.pending, b.slot.pending) })
}

// end notes that the client has taken the response, as far as that is known.
func (s *connections) end(e *pendingRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(e)
	c := e.conn
	c.slot.since.Store(max(c.slot.since.Load(), time.Now().UnixNano()))
}

func (s *connections) forget(e *pendingRequest) {
	slot := &e.conn.slot
	if i := slices.Index(slot.pendingRequests, e); i >= 0 { // it may have been evicted
		slot.pendingRequests = slices.Delete(slot.pendingRequests, i, i+1)
		slot.pending -= e.weight
		s.pending -= e.weight
	}
}

// beginStream notes that a pending request becomes a stream.
func (s *connections) beginStream(e *pendingRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(e)
	e.conn.slot.streams++
}

// endStream notes that the handler has returned. The client may still take the last bytes, for grace, before the
// connection is overdue.
func (s *connections) endStream(c *conn, grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.slot.streams--
	c.slot.since.Store(time.Now().Add(grace).UnixNano())
}

func (s *connections) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.free.Broadcast()
}
