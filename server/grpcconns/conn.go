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
// mu guards the fields below it, and in and out are used by the reading and the writing goroutine under mu. These sums
// hold while mu is free: held is the sum of held of all streams; unfinished is the same of those that have neither a
// complete message nor an end; responding counts the streams that have ended. A stream is in the ring of pending streams
// while the client owes the rest of a message or the server owes a response.
type Conn struct {
	net.Conn

	listener *Listener
	at       int // its index in the listener's list plus 1, or nowhere; the listener's lock guards it
	in, out  frames

	mu         sync.Mutex
	streams    map[uint32]*stream
	oldest     stream // head of the ring of pending streams, the oldest first
	spare      *stream
	responding int      // streams that have come to their end, and have no answer
	held       int64    // bytes of all streams
	unfinished int64    // of those that the client has not ended
	resets     [2]int64 // bytes of streams that the client has reset, of this round of the watch and the last one
	idle       int      // streams between messages, of methods by which clients send many
	idleSince  int64    // since when there are such
	since      int64    // when it came, or was last asked something
	active     bool
	closed     bool
}

const nowhere = 0

const (
	// streamBytes is what a stream costs without a message: two goroutines' stacks, its headers, which may have 8 KiB, its
	// response.
	streamBytes = 24 << 10
	// frameBytes is what a piece of a message costs beside its bytes.
	frameBytes = 128
	// maxOpen is how many streams of a connection may be open without a request: one for each access log of a worker of
	// Envoy.
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
	whole      bool    // it has a message, and is not within another
	open       bool    // it is between messages, and may be
	odd        bool    // it cannot be followed
	ended      bool    // the client has said all
}

// status is what decides which connection is evicted.
type status struct {
	busy, pending, overdue bool
	since                  int64
	held                   int64
	// stale reports whether bytes have waited for their client for long.
	stale bool
	// unfinished is the product of bytes that wait for their client and the third power of how long they have waited. So a
	// client that sends much at once is not evicted in place of one that holds little, and keeps it.
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

// turn ends a round of the watch: gRPC has let go of streams that were reset before the last one.
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
