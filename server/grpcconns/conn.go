package grpcconns

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// Conn is a connection whose cost is bounded.
//
// mu guards the fields below it, and in and out, which the reading and the writing goroutine use. These sums hold while mu
// is free: held is the sum of held of all streams and of resets; unfinished is the same without the streams that have ended;
// responding counts the streams that have ended; idle counts those that are open between two messages. A stream is in the
// ring of pending streams while the client owes the rest of a message or its end, or the server owes a response.
type Conn struct {
	net.Conn

	listener *Listener
	at       int // its index in the listener's list plus 1, or nowhere; the listener's lock guards it
	in, out  frames

	mu         sync.Mutex
	streams    map[uint32]*stream
	oldest     stream // head of the ring of pending streams, the oldest first
	spare      *stream
	responding int      // streams that the client has ended and that have no response yet
	held       int64    // bytes of all streams, and of those that were reset a moment ago
	unfinished int64    // of those that the client has not ended, and of those that it has reset
	resets     [2]int64 // bytes of streams that the client has reset, in this round of the watch and in the last one
	idle       int      // streams that are open between two messages
	idleSince  int64    // since when idle is not 0
	since      int64    // when it was opened, or last received a request
	active     bool
	closed     bool
}

const nowhere = 0

const (
	// streamBytes is what a stream costs without a message: two goroutines' stacks, its headers, which may have 8 KiB, its
	// response.
	streamBytes = 24 << 10
	// frameBytes is what a piece of a message costs in addition to its bytes.
	frameBytes = 128
	// maxOpen is how many streams of a connection may be open between two messages. Each worker of Envoy has a connection,
	// and a stream for each of its access logs.
	maxOpen = 16
)

// stream is a stream without a response yet.
type stream struct {
	id         uint32
	prev, next *stream // pending, or spare
	since      int64   // when its message began
	held       int64
	prefix     [5]byte // of a message: a flag and its length
	have       int     // of prefix
	left       int64   // of the message
	whole      bool    // it has a complete message, and no part of another one
	open       bool    // it is open between two messages
	odd        bool    // its messages cannot be followed
	ended      bool    // the client has sent everything
}

// status is the state of a connection compared with others.
type status struct {
	busy, pending, overdue bool
	since                  int64
	held                   int64
	// stale is true if unfinished bytes are older than overdue.
	stale bool
	// unfinished is the number of unfinished bytes times the third power of their age. So a client that sends much at once is
	// not evicted in place of one that holds little for long.
	unfinished float64
}

// evictBefore reports whether a connection is evicted before another when too much is held.
func (s status) evictBefore(than status) bool {
	late, thanLate := s.overdue && s.pending, than.overdue && than.pending
	if late != thanLate {
		return late
	}
	if late {
		return s.since < than.since
	}
	if s.stale != than.stale {
		return s.stale
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
	s := status{since: c.since, held: c.held}
	if first := c.oldest.next; first != &c.oldest {
		s.pending, s.since = true, first.since
	}
	waiting := s.since
	if c.idle > 0 {
		waiting = min(waiting, c.idleSince)
	}
	if c.resets[0]+c.resets[1] > 0 {
		waiting = min(waiting, now-int64(overdue))
	}
	age := float64(max(now-waiting, 1)) / float64(overdue)
	s.stale = c.unfinished > 0 && waiting <= now-int64(overdue)
	s.unfinished = float64(c.unfinished) * age * age * age
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

// turn ends a round of the watch. Streams that were reset before this round no longer count: gRPC has ended their handlers.
func (c *Conn) turn() (released int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	released = c.resets[1]
	c.held -= released
	c.unfinished -= released
	c.resets[1], c.resets[0] = c.resets[0], 0
	return released
}

// Credentials are for a server whose connections come from a Listener: they let it follow the frames within TLS, too.
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

// followed is the content of a connection, without TLS.
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
