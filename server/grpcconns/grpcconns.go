// Package grpcconns bounds what the connections of a gRPC server cost, in number, memory and time.
//
// gRPC bounds a message and the streams of a connection, but it restores the window of a connection as soon as bytes
// arrive, regardless of who reads them. So this package bounds what all connections hold together. It follows the
// HTTP/2 frames in both directions, without changing them. When all connections are in use, a new one evicts one that
// waits. When too much memory is held, the connection is closed whose message is overdue, or that holds the most. A
// connection whose message is not complete, or whose response is not read, is closed after some seconds.
package grpcconns

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The reasons why a connection is evicted.
const (
	Capacity = "capacity" // a new connection needs its slot
	Memory   = "memory"   // all connections together held too much
	Timeout  = "timeout"  // a message was not complete, or a response not read, in time
)

// Config bounds what connections may cost.
type Config struct {
	MaxConnections int           // 0 is any number
	MaxHeldBytes   int64         // of messages and streams of all connections
	MessageTimeout time.Duration // from the begin of a message until it is answered
	// Streams is true if there are methods by which clients send many messages. Without, a message is a request, and its
	// stream has to end with it.
	Streams bool
	OnEvict func(why string)
}

const (
	// overdue is how long a message may take before its connection is the first to be evicted, and how long a new
	// connection may be without one.
	overdue = time.Second
	// samples is how many connections are compared to find one to evict.
	samples = 64
	// checks is how often during MessageTimeout connections are checked for it.
	checks = 8
)

// Listener bounds the connections that it accepts.
type Listener struct {
	net.Listener

	config Config
	held   atomic.Int64
	closed chan struct{}

	mu   sync.Mutex
	free sync.Cond
	all  []*Conn
	shut bool
}

// Listen bounds the connections of a listener.
func Listen(inner net.Listener, config Config) *Listener {
	l := &Listener{Listener: inner, config: config, closed: make(chan struct{})}
	l.free.L = &l.mu
	go l.watch()
	return l
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := newConn(inner, l)
	if !l.admit(c) {
		_ = inner.Close() // nobody can act on an error
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements net.Listener. Connections stay open.
func (l *Listener) Close() error {
	l.mu.Lock()
	if !l.shut {
		l.shut = true
		close(l.closed)
		l.free.Broadcast()
	}
	l.mu.Unlock()
	return l.Listener.Close()
}

func (l *Listener) admit(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.config.MaxConnections > 0 && len(l.all) >= l.config.MaxConnections && !l.shut {
		if longest := l.longestWaiting(); longest != nil {
			l.evict(longest, Capacity)
			continue
		}
		// All have a request in progress, which ends soon or becomes overdue.
		again := time.AfterFunc(overdue/checks, l.free.Broadcast)
		l.free.Wait()
		again.Stop()
	}
	if l.shut {
		return false
	}
	l.all = append(l.all, c)
	c.at = len(l.all)
	return true
}

// longestWaiting returns the connection that has waited the longest, or nil if all are busy. The caller holds mu.
func (l *Listener) longestWaiting() (longest *Conn) {
	var most status
	now := time.Now().UnixNano()
	for i := range min(len(l.all), samples) {
		if len(l.all) > samples {
			i = rand.IntN(len(l.all)) //nolint:gosec // nobody gains by predicting which connections are compared
		}
		s := l.all[i].status(now)
		if s.busy {
			continue
		}
		if longest == nil || s.overdue && !most.overdue || s.overdue == most.overdue && s.since < most.since {
			longest, most = l.all[i], s
		}
	}
	return longest
}

// hold notes how many more bytes are held.
func (l *Listener) hold(bytes int64) {
	if l.held.Add(bytes) <= l.config.MaxHeldBytes || bytes <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.held.Load() > l.config.MaxHeldBytes {
		var worst *Conn
		var most status
		now := time.Now().UnixNano()
		for _, c := range l.all {
			if s := c.status(now); s.held > 0 && (worst == nil || s.evictBefore(most)) {
				worst, most = c, s
			}
		}
		if worst == nil {
			return
		}
		l.evict(worst, Memory)
	}
}

// watch closes connections that exceed MessageTimeout, until the listener is closed and they are gone.
func (l *Listener) watch() {
	ticker := time.NewTicker(min(max(l.config.MessageTimeout/checks, time.Millisecond), time.Second))
	defer ticker.Stop()
	for range ticker.C {
		l.mu.Lock()
		now := time.Now()
		limit := now.Add(-l.config.MessageTimeout).UnixNano()
		for i := len(l.all) - 1; i >= 0; i-- { // the last takes the place of who goes
			l.held.Add(-l.all[i].turn())
			if s := l.all[i].status(now.UnixNano()); s.pending && s.since < limit {
				l.evict(l.all[i], Timeout)
			}
		}
		done := l.shut && len(l.all) == 0
		l.mu.Unlock()
		if done {
			return
		}
	}
}

// evict closes a connection, and waits for nothing. The caller holds mu.
func (l *Listener) evict(c *Conn, why string) {
	l.drop(c)
	if l.config.OnEvict != nil {
		l.config.OnEvict(why)
	}
	go func() { _ = c.Conn.Close() }() // nobody can act on an error
}

func (l *Listener) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(c)
}

func (l *Listener) drop(c *Conn) {
	if c.at == nowhere {
		return
	}
	last := l.all[len(l.all)-1]
	l.all[c.at-1], last.at = last, c.at
	l.all[len(l.all)-1] = nil
	l.all = l.all[:len(l.all)-1]
	c.at = nowhere
	l.held.Add(-c.forget())
	l.free.Signal()
}
