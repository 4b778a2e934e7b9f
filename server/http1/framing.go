// Package http1 reads HTTP/1 requests strictly before net/http reads them leniently: where
// one ends and the next begins must be plain to every server on their way, or a request
// could hide in another (RFC 9112, section 11.2). What is not plain is refused and the
// connection closed. HTTP/2 has its frames, and passes.
//
// It also puts the answers that net/http gives by itself, in plain text, into the form of
// all other denials.
package http1

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/httpapi"
)

const (
	statusMalformed = http.StatusBadRequest
	codeMalformed   = "request_malformed"
	titleMalformed  = "Malformed request"

	// slack is what net/http allows beyond its MaxHeaderBytes.
	slack = 4 << 10

	// netHTTPErrorHeaders is behind the status line of what net/http answers by itself.
	netHTTPErrorHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	maxNetHTTPError     = 512

	minRead = 512

	// nonsense is neither a request nor a chunk nor a trailer: net/http answers when it is done
	// with the requests before, or the handler does when it reads the body. It is long enough
	// for net/http to see that it is not HTTP/2.
	poison = "? this is not HTTP\r\n\r\n"
)

// Config is how the connections of an http.Server are read.
type Config struct {
	// These are the server's.
	MaxHeaderBytes                 int
	ReadHeaderTimeout, IdleTimeout time.Duration

	// MaxConnections may be open at a time, and hold MaxHeldBytes of heads that are not complete; 0
	// is any number.
	MaxConnections, MaxHeldBytes int

	FastPath FastPath // nil for none
}

// Listen returns a listener for an http.Server, whose ConnState is to be NoteState.
func Listen(l net.Listener, config Config) *Listener {
	strict := &Listener{Listener: l, config: config, connections: connections{max: config.MaxConnections, maxHeld: int64(config.MaxHeldBytes)}}
	strict.connections.free.L = &strict.connections.mu
	return strict
}

// Listener accepts connections of the type *Conn.
type Listener struct {
	net.Listener

	config      Config
	connections connections
	closing     sync.WaitGroup // connections that are to be closed when they have answered
}

// Conn is a connection whose requests are plain. Only one goroutine may Read at a time, as
// is the rule for an http.Server.
type Conn struct {
	net.Conn

	listener *Listener
	place    slot
	scanner  scanner
	pending  []byte // read, and of that through may be passed on
	through  int
	refused  *protocolError
	peer     netip.Addr // read once, where it is asked for

	responding atomic.Bool
	idles      atomic.Int64 // how often net/http was done with a request
	turn       atomic.Int32 // who may close it
}

// Answering notes that what is written to the connection is a handler's answer, which may
// look like anything, and not what net/http writes by itself.
func (c *Conn) Responding() { c.responding.Store(true) }

// NoteState is for the ConnState of an http.Server.
func NoteState(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*Conn)
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		c.responding.Store(false)
		c.idles.Add(1)
		c.listener.connections.become(c, idle)
	case http.StateActive, http.StateHijacked:
		c.listener.connections.become(c, busy)
	}
}

// Read implements io.Reader.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for c.through == 0 {
		if c.refused != nil {
			return 0, c.discard()
		}
		if n, ok, err := c.readThrough(p); ok {
			return n, err
		}
		if n, err := c.readMore(p); n > 0 || err != nil {
			return n, err
		}
	}
	c.passOn()
	n := copy(p, c.pending[:c.through])
	c.through -= n
	c.pending = c.pending[n:]
	if len(c.pending) == 0 {
		c.pending = nil // an idle connection holds no memory
	}
	return n, nil
}

// readThrough reads what needs no look, without a copy.
func (c *Conn) readThrough(p []byte) (n int, ok bool, err error) {
	s := &c.scanner
	if len(c.pending) > 0 || s.state != notHTTP1 && (s.state != inBody && s.state != inChunk || s.left <= int64(len(p))) {
		return 0, false, nil
	}
	n, err = c.Conn.Read(p)
	s.left -= int64(n) // which does not matter where it is not HTTP/1
	return n, true, err
}

// readMore reads something, and lets through what is complete and right: it is either in p
// then, or pending. It uses p as a buffer, unless that is the one byte with which net/http waits
// for the end of a connection.
func (c *Conn) readMore(p []byte) (int, error) {
	buffer := p
	if len(buffer) < minRead {
		buffer = make([]byte, minRead)
	}
	n, err := c.Conn.Read(buffer)
	if n == 0 {
		return 0, err // one that comes with something will be there again
	}
	read, held := buffer[:n], len(c.pending) > 0
	if held {
		read = append(c.pending, read...)
	}
	read, through, protocolError, err := c.serveFast(read, len(p))
	if err != nil {
		return 0, err
	}
	if protocolError == nil {
		var more int
		more, protocolError = c.scanner.scan(read[through:])
		through += more
	}
	switch {
	case protocolError != nil:
		c.refused, c.pending = protocolError, append(slices.Clone(read[:through]), poison...)
		c.through = len(c.pending)
	case through == len(read) && len(read) <= len(p):
		c.pending = nil
		c.passOn()
		return copy(p, read), nil
	case held:
		c.pending, c.through = read, through
		c.note()
	default:
		c.pending, c.through = slices.Clone(read), through
		c.note()
		return 0, c.hurry()
	}
	return 0, nil
}

// note counts what is held until there is more of it.
func (c *Conn) note() {
	if c.through == 0 {
		c.listener.connections.hold(c, cap(c.pending))
	}
}

// passOn notes that net/http has, or is about to have, something to do.
func (c *Conn) passOn() {
	if c.place.held.Load() > 0 {
		c.listener.connections.hold(c, 0)
	}
	switch {
	case c.scanner.state == notHTTP1:
		c.place.phase.CompareAndSwap(inFirstHead, busy) // from here on net/http knows
	case c.scanner.heads != c.idles.Load():
		c.place.phase.Store(busy)
	}
}

// hurry bounds the time that the rest of a head may take. Where net/http waits for a request, it
// does not know that one has begun.
func (c *Conn) hurry() error {
	if c.through > 0 || c.scanner.state != inHead || !c.isIdle() || c.listener.config.ReadHeaderTimeout == 0 {
		return nil
	}
	return c.SetReadDeadline(time.Now().Add(c.listener.config.ReadHeaderTimeout))
}

// isIdle tells whether net/http is done with all requests, of which there was one.
func (c *Conn) isIdle() bool {
	return c.scanner.heads > 0 && c.scanner.heads == c.idles.Load()
}

// discard reads what follows something that was refused, until the connection ends. To
// report the end any earlier would be to net/http as if the client had gone, which cancels
// the request before.
func (c *Conn) discard() error {
	var nowhere [minRead]byte
	for {
		if _, err := c.Conn.Read(nowhere[:]); err != nil {
			return err
		}
	}
}

// CloseWrite lets net/http end a connection without losing its last answer.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	denial, ok := c.instead(p)
	if !ok {
		return c.Conn.Write(p)
	}
	var response bytes.Buffer
	fmt.Fprintf(&response, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %d\r\n", denial.Status, http.StatusText(denial.Status), len(denial.Body))
	for _, h := range append(denial.Headers, httpapi.Header{Name: httpapi.HeaderRequestID, Value: httpapi.RequestID()}) {
		fmt.Fprintf(&response, "%s: %s\r\n", h.Name, h.Value)
	}
	response.Write(crlf)
	response.Write(denial.Body)
	if _, err := c.Conn.Write(response.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// instead is the denial to send instead of net/http's own words.
func (c *Conn) instead(p []byte) (httpapi.Denial, bool) {
	const begin = "HTTP/1.1 "
	if c.responding.Load() || len(p) > maxNetHTTPError || !bytes.HasPrefix(p, []byte(begin)) {
		return httpapi.Denial{}, false
	}
	line, _, ok := bytes.Cut(p, []byte(netHTTPErrorHeaders))
	if !ok || bytes.Contains(line, crlf) || len(line) < len(begin)+3 {
		return httpapi.Denial{}, false
	}
	status, err := strconv.Atoi(string(line[len(begin) : len(begin)+3]))
	switch {
	case err != nil:
		return httpapi.Denial{}, false
	case c.refused != nil:
		return c.refused.denial, true
	case status == http.StatusRequestHeaderFieldsTooLarge:
		return errTooLarge.denial, true
	default:
		return httpapi.NewProblem(status, codeMalformed, titleMalformed, "The request is not as HTTP wants it.").Denial(), true
	}
}
