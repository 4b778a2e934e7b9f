package grpcconns

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// Conn is a connection that is bounded.
type Conn struct {
	net.Conn

	listener *Listener
	at       int // in all, from 1 on, or nowhere; the listener's lock guards it
	in, out  frames

	mu         sync.Mutex
	streams    map[uint32]*stream
	oldest     stream // head of the ring of those that are pending, the oldest first
	spare      *stream
	responding int   // streams that have come to their end, and have no answer
	held       int64 // bytes of all streams
	unfinished int64 // of those whose message is not whole
	since      int64 // when it came, or was last asked something
	active     bool
	closed     bool
}

const nowhere = 0

const (
	// streamBytes is what a stream costs without a message: two goroutines' stacks, its headers, its answer.
	streamBytes = 16 << 10
	// frameBytes is what a piece of a message costs beside its bytes.
	frameBytes = 128
)

// stream is one that has no answer yet.
type stream struct {
	id         uint32
	prev, next *stream // pending, or spare
	since      int64   // when its message began
	held       int64
	prefix     [5]byte // of a message: a flag and its length
	have       int     // of prefix
	left       int64   // of the message
	whole      bool    // it has a message, and is not within another
	odd        bool    // it cannot be followed
	ended      bool    // the client has said all
}

// standing is how a connection stands among others.
type status struct {
	busy, pending, overdue bool
	since                  int64
	held, unfinished       int64
}

// worse reports whether a connection goes before another where too much is held.
func (s status) evictBefore(than status) bool {
	late, thanLate := s.overdue && s.pending, than.overdue && than.pending
	if late != thanLate {
		return late
	}
	if late {
		return s.since < than.since
	}
	if s.unfinished != than.unfinished {
		return s.unfinished > than.unfinished
	}
	return s.held > than.held
}

func newConn(inner net.Conn, l *Listener) *Conn {
	c := &Conn{Conn: inner, listener: l, since: time.Now().UnixNano()}
	c.in.skip = len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	c.oldest.prev, c.oldest.next = &c.oldest, &c.oldest
	return c
}

func (c *Conn) status(now int64) status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := status{since: c.since, held: c.held, unfinished: c.unfinished}
	if first := c.oldest.next; first != &c.oldest {
		s.pending, s.since = true, first.since
	}
	s.overdue = (s.pending || !c.active) && s.since < now-int64(overdue)
	s.busy = c.responding > 0 && !s.overdue
	return s
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

func (c *Conn) forget() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.held
	c.closed, c.streams, c.spare, c.held = true, nil, nil, 0
	c.oldest.prev, c.oldest.next = &c.oldest, &c.oldest
	return held
}

// Credentials are those of a server whose connections are of a Listener: what is within TLS is followed, too.
func Credentials(inner credentials.TransportCredentials) credentials.TransportCredentials {
	return following{inner}
}

type following struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (f following) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := f.TransportCredentials.ServerHandshake(raw)
	c, ok := raw.(*Conn)
	if err != nil || !ok {
		return conn, info, err
	}
	return &followed{conn, c, &gatherer{conn: conn}}, info, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (f following) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return f.TransportCredentials.ClientHandshake(ctx, authority, raw)
}

// Clone implements credentials.TransportCredentials.
func (f following) Clone() credentials.TransportCredentials {
	return following{f.TransportCredentials.Clone()}
}

// followed is what is said on a connection.
type followed struct {
	net.Conn

	c   *Conn
	out *gatherer
}

// Read implements net.Conn.
func (f *followed) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if n > 0 {
		f.c.received(p[:n])
	}
	return n, err
}

// Write implements net.Conn.
func (f *followed) Write(p []byte) (int, error) {
	return f.out.write(p, f.c.sends(p))
}

// Close implements net.Conn.
func (f *followed) Close() error { return f.out.close() }
