package http1

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// connections are those of a listener, and what they hold of heads that are not complete. Both
// are bounded. Whoever comes when there are as many as there may be takes the place of one that
// waits, so that nobody who connects and says nothing keeps others out.
type connections struct {
	max     int   // 0 is any number
	maxHeld int64 // bytes; 0 is any number

	mu     sync.Mutex
	free   sync.Cond // a place, or a connection that waits, of which nobody knew
	all    []*Conn
	held   int64
	closed bool

	awaited atomic.Bool // whether somebody waits for a place
}

// phase is what a connection does.
type phase = int32

const (
	inFirstHead phase = iota // it has not had a request
	busy
	idle
)

// place is what connections knows of a connection.
type slot struct {
	at    int          // in all, from 1 on, or nowhere
	held  atomic.Int64 // bytes
	phase atomic.Int32 // a phase
	since atomic.Int64 // when what it waits for began, in nanoseconds of the clock
}

const nowhere = 0

// samples is how many connections are looked at to find the one that has waited longest, or about.
const samples = 64

// admit gives the connection a place. It fails where there is none, and the listener is closed.
func (s *connections) admit(c *Conn) bool {
	c.place.since.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.max > 0 && len(s.all) >= s.max && !s.closed {
		if longest := s.longest(func(c *Conn) bool { return c.place.phase.Load() != busy }); longest != nil {
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
	c.place.at = len(s.all)
	return true
}

// overdue is how long the rest of a head may take before its connection is the first to go. Who
// has just come is not: or else those who come would drive each other out, and not who is idle.
const overdue = time.Second

// longest is who of those that are wanted has waited longest for the rest of a head that is
// overdue, or if there is nobody, for whatever it waits for.
func (s *connections) longest(wanted func(*Conn) bool) (longest *Conn) {
	limit := time.Now().Add(-overdue).UnixNano()
	isOverdue := func(c *Conn) bool {
		return (c.place.phase.Load() == inFirstHead || c.place.held.Load() > 0) && c.place.since.Load() < limit
	}
	for i := range min(len(s.all), samples) {
		if len(s.all) > samples {
			i = rand.IntN(len(s.all)) //nolint:gosec // nobody gains by knowing who is looked at
		}
		c := s.all[i]
		if !wanted(c) {
			continue
		}
		if longest == nil || isOverdue(c) && !isOverdue(longest) || isOverdue(c) == isOverdue(longest) && c.place.since.Load() < longest.place.since.Load() {
			longest = c
		}
	}
	return longest
}

// evict closes a connection. The caller holds mu, and waits for nothing: who is slow to read may
// be slow to go.
func (s *connections) evict(c *Conn) {
	s.drop(c)
	go func() { _ = c.Close() }() // there is nobody to tell
}

// remove takes back the place of a connection that has ended.
func (s *connections) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(c)
}

func (s *connections) drop(c *Conn) {
	at := c.place.at
	if at == nowhere {
		return
	}
	last := s.all[len(s.all)-1]
	s.all[at-1], last.place.at = last, at
	s.all[len(s.all)-1] = nil
	s.all = s.all[:len(s.all)-1]
	s.held -= c.place.held.Swap(0)
	c.place.at = nowhere
	s.free.Signal()
}

// hold notes how many bytes a connection holds. Beyond what all may hold together, the one ends
// that has held the longest.
func (s *connections) hold(c *Conn, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place.at == nowhere {
		return
	}
	before := c.place.held.Swap(int64(bytes))
	if before == 0 {
		c.place.since.Store(time.Now().UnixNano())
	}
	s.held += int64(bytes) - before
	for s.maxHeld > 0 && s.held > s.maxHeld {
		longest := s.longest(func(c *Conn) bool { return c.place.held.Load() > 0 })
		if longest == nil { // there are many, and few of them hold anything
			longest = c
		}
		s.evict(longest)
	}
}

// become notes what a connection does.
func (s *connections) become(c *Conn, now phase) {
	if now == idle {
		c.place.since.Store(time.Now().UnixNano())
	}
	c.place.phase.Store(now)
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

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.connections.close()
	return l.Listener.Close()
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &Conn{Conn: inner, listener: l, scanner: scanner{maxHead: l.config.MaxHeaderBytes + slack}}
	if !l.connections.admit(conn) {
		_ = inner.Close() // there is nobody to tell
		return nil, net.ErrClosed
	}
	return conn, nil
}
