package http1

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// slack is what net/http allows beyond its MaxHeaderBytes.
	slack = 4 << 10

	minRead = 512

	// poison is passed on instead of a refused message. It is neither a request nor a chunk nor a trailer. net/http
	// responds to it when it has finished the requests before, or the handler does when it reads the body. It is long
	// enough for net/http to see that it is not HTTP/2.
	poison = "? this is not HTTP\r\n\r\n"
)

// conn is a connection that passes on unambiguous requests only. Only one goroutine may Read at a time, as is the rule
// for an http.Server.
//
// Three goroutines use it: net/http's reader (scanner, pending, passable, refused, peer), whoever calls noteState and
// Close, and the listener, which evicts connections. What they share is atomic, or guarded by listener.connections.mu.
// The scanner counts complete heads, except those that the fast path responded to, and finished counts the requests that
// net/http is done with: while both are equal and not 0, net/http waits for a request, and the fast path may respond.
type conn struct {
	net.Conn

	listener *listener
	slot     slot
	scanner  scanner
	pending  []byte // was read, and of it passable bytes may be passed on
	passable int
	refused  *protocolError
	peer     netip.Addr // determined once, when it is needed

	responding atomic.Bool  // a handler writes, so that what is written may look like anything
	finished   atomic.Int64 // how many requests net/http is done with
	turn       atomic.Int32 // who may close it: one of the constants turnFree and so on
	begun      bool         // its first byte has arrived
}

// noteState is the ConnState of the http.Server.
func noteState(inner net.Conn, state http.ConnState) {
	c, ok := inner.(*conn)
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		c.responding.Store(false)
		c.finished.Add(1)
		c.listener.connections.setPhase(c, idle)
	case http.StateActive, http.StateHijacked:
		c.listener.connections.setPhase(c, busy)
	}
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !c.begun {
		if err := c.awaitFirstByte(); err != nil {
			return 0, err
		}
	}
	for c.passable == 0 {
		if c.refused != nil {
			return 0, c.discard()
		}
		if n, ok, err := c.readUnscanned(p); ok {
			return n, err
		}
		if n, err := c.readMore(p); n > 0 || err != nil {
			return n, err
		}
	}
	c.notePassed()
	n := copy(p, c.pending[:c.passable])
	c.passable -= n
	c.pending = c.pending[n:]
	if len(c.pending) == 0 {
		c.pending = nil // an idle connection holds no memory
	}
	return n, nil
}

// readUnscanned reads bytes that need no scan, without a copy.
func (c *conn) readUnscanned(p []byte) (n int, ok bool, err error) {
	s := &c.scanner
	if len(c.pending) > 0 || s.state != notHTTP1 && (s.state != inBody && s.state != inChunk || s.left <= int64(len(p))) {
		return 0, false, nil
	}
	n, err = c.Conn.Read(p)
	s.left -= int64(n) // which does not matter if it is not HTTP/1
	return n, true, err
}

// readMore reads once, and passes on what is complete and correct: that is either in p afterwards, or pending. It uses
// p as a buffer, unless p is the single byte with which net/http waits for the end of a connection.
func (c *conn) readMore(p []byte) (int, error) {
	buffer := p
	if len(buffer) < minRead {
		buffer = make([]byte, minRead)
	}
	n, err := c.Conn.Read(buffer)
	if n == 0 {
		return 0, err // an error that comes with bytes will be returned again
	}
	if !c.begun {
		c.begun = true
		if err := c.boundTime(c.listener.config.ReadHeaderTimeout); err != nil {
			return 0, err
		}
	}
	read, held := buffer[:n], len(c.pending) > 0
	if held {
		read = append(c.pending, read...)
	}
	read, passable, protocolError, err := c.serveFast(read, len(p))
	if err != nil {
		return 0, err
	}
	if protocolError == nil {
		var more int
		more, protocolError = c.scanner.scan(read[passable:])
		passable += more
	}
	switch {
	case protocolError != nil:
		c.refused, c.pending = protocolError, append(slices.Clone(read[:passable]), poison...)
		c.passable = len(c.pending)
	case passable == len(read) && len(read) <= len(p):
		c.pending = nil
		c.notePassed()
		return copy(p, read), nil
	case held:
		c.pending, c.passable = read, passable
		c.noteHeld()
	default:
		c.pending, c.passable = slices.Clone(read), passable
		c.noteHeld()
		return 0, c.boundHeaderTime()
	}
	return 0, nil
}

// noteHeld counts what is buffered until more arrives.
func (c *conn) noteHeld() {
	if c.passable == 0 {
		c.listener.connections.hold(c, cap(c.pending))
	}
}

// notePassed notes that net/http has work, or is about to have some.
func (c *conn) notePassed() {
	if c.slot.held.Load() > 0 {
		c.listener.connections.hold(c, 0)
	}
	switch {
	case c.scanner.state == notHTTP1:
		if c.slot.phase.Load() == inFirstHead {
			c.slot.since.Store(time.Now().UnixNano())
			c.slot.phase.CompareAndSwap(inFirstHead, busy) // from here on net/http knows
		}
	case c.scanner.heads != c.finished.Load() && c.slot.phase.Load() != busy:
		c.slot.since.Store(time.Now().UnixNano())
		c.slot.phase.Store(busy)
	}
}

// boundHeaderTime bounds the time that the rest of a head may take. While net/http waits for a request, it does not
// know that one has begun.
func (c *conn) boundHeaderTime() error {
	if c.passable > 0 || c.scanner.state != inHead || !c.isIdle() {
		return nil
	}
	return c.boundTime(c.listener.config.ReadHeaderTimeout)
}

// awaitFirstByte lets a new connection be silent for as long as one between two requests: proxies open connections and use them later. If
// a server closed such a connection, the next request could be sent on it at that moment, and be lost. net/http counts the
// time of the first head from the handshake on.
func (c *conn) awaitFirstByte() error {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		if err := secure.HandshakeContext(context.Background()); err != nil { // within the time that net/http has set
			return err
		}
	}
	return c.boundTime(c.listener.config.IdleTimeout)
}

// boundTime bounds the time until the next bytes have arrived; 0 means forever.
func (c *conn) boundTime(within time.Duration) error {
	if within == 0 {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(within))
}

// isIdle reports whether there was a request and net/http is done with all of them.
func (c *conn) isIdle() bool {
	return c.scanner.heads > 0 && c.scanner.heads == c.finished.Load()
}

// discard reads what follows a refused message until the connection ends. If it reported the end earlier, net/http
// would think that the client has gone, and would cancel the request before.
func (c *conn) discard() error {
	var nowhere [minRead]byte
	for {
		if _, err := c.Conn.Read(nowhere[:]); err != nil {
			return err
		}
	}
}

// CloseWrite lets net/http end a connection without losing its last response.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
