package syncserver

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// How many connections may be unauthenticated, in all, and from one address, behind which a fleet may connect at once. For
// each further one, the oldest is closed.
const (
	strangersInAll = 2048
	strangersOfOne = 1280
)

// strangers has the unauthenticated connections: those without a stream whose token is valid.
//
// mu guards the lists and the fields of every strangerConn that are marked so. A connection is in both lists or in neither,
// and in them exactly while known is 0 and closed is false: closed is set under mu before the connection is closed, so that
// a stream that ends later does not add it again. mu is not held while a connection is closed, which may block.
type strangers struct {
	inAll, ofOne int

	mu   sync.Mutex
	all  *list.List                  // of *strangerConn, oldest first
	from map[netip.Prefix]*list.List // the same connections, by address
}

func newStrangers() *strangers {
	return &strangers{inAll: strangersInAll, ofOne: strangersOfOne, all: list.New(), from: map[netip.Prefix]*list.List{}}
}

// strangerConn is a connection that strangers may close.
type strangerConn struct {
	net.Conn

	of   *strangers
	from netip.Prefix

	// The lock of strangers guards what follows.
	known       int           // streams whose token is valid
	inAll, here *list.Element // in all and from; nil where it is authenticated or closed
	closed      bool
}

// Close implements net.Conn.
func (c *strangerConn) Close() error {
	c.of.mu.Lock()
	c.closed = true
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// add adds a connection, and closes the oldest one if there are too many. The caller holds the lock.
func (s *strangers) add(c *strangerConn) {
	here := s.from[c.from]
	if here == nil {
		here = list.New()
		s.from[c.from] = here
	}
	c.inAll, c.here = s.all.PushBack(c), here.PushBack(c)
	if here.Len() > s.ofOne {
		s.end(here.Front())
	}
	if s.all.Len() > s.inAll {
		s.end(s.all.Front())
	}
}

// end closes a connection in the background. The caller holds the lock.
func (s *strangers) end(oldest *list.Element) {
	c, ok := oldest.Value.(*strangerConn)
	if !ok {
		return
	}
	c.closed = true
	s.remove(c)
	unknownEnded.Inc()
	go func() { _ = c.Conn.Close() }() // nobody needs the error
}

// remove removes a connection, if it is there. The caller holds the lock.
func (s *strangers) remove(c *strangerConn) {
	if c.inAll == nil {
		return
	}
	s.all.Remove(c.inAll)
	here := s.from[c.from]
	here.Remove(c.here)
	if here.Len() == 0 {
		delete(s.from, c.from)
	}
	c.inAll, c.here = nil, nil
}

// listener adds the connections that it accepts.
func (s *strangers) listener(inner net.Listener) net.Listener {
	return &strangersListener{inner, s}
}

type strangersListener struct {
	net.Listener

	of *strangers
}

// Accept implements net.Listener.
func (l *strangersListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &strangerConn{Conn: inner, of: l.of, from: prefixOf(inner.RemoteAddr())}
	l.of.mu.Lock()
	l.of.add(c)
	l.of.mu.Unlock()
	return c, nil
}

// credentials makes the connection known to the calls on it; see known.
func (s *strangers) credentials(inner credentials.TransportCredentials) credentials.TransportCredentials {
	return knowing{inner}
}

type knowing struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (k knowing) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := k.TransportCredentials.ServerHandshake(raw)
	if c, ok := raw.(*strangerConn); ok && err == nil {
		info = knownBy{info, c}
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (k knowing) Clone() credentials.TransportCredentials {
	return knowing{k.TransportCredentials.Clone()}
}

// knownBy has the connection of a call.
type knownBy struct {
	credentials.AuthInfo

	c *strangerConn
}

// known marks the connection of a call as authenticated until forget is called, which is when the stream ends.
func known(ctx context.Context) (forget func()) {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return func() {}
	}
	by, ok := from.AuthInfo.(knownBy)
	if !ok {
		return func() {}
	}
	c, s := by.c, by.c.of
	s.mu.Lock()
	defer s.mu.Unlock()
	c.known++
	s.remove(c)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.known--; c.known == 0 && !c.closed {
			s.add(c)
		}
	}
}
