package http1

// This file is tuned by hand. A proxy's question, a GET with a few headers that is answered
// with a few more, costs net/http twice as much as everything that Keyward does about it: a
// map of all headers, a context, a goroutine that waits for the client to go, and a sorted copy
// of the answer's headers. So while net/http has nothing to do on a connection, a question in
// which nothing is unusual is answered here, in one write.
//
// What is unusual is left to net/http, which remains the reference: doortest compares both for
// all that it sends. net/http also reads the first request of every connection, so that it knows
// the connection, and the connection is what net/http takes it for: idle, and may be closed.

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/httpapi/clientaddr"
)

// Answerer answers questions instead of the handlers of an http.Server, and just as they do. It
// is called by many goroutines.
type FastPath interface {
	// Reads returns the name of a header in its canonical form, or "" of one that is not read.
	Reads(name string) (canonical string)
	// Answer adds the answer to one that is empty, or returns false where it has not looked
	// into the question, for the handlers to answer it. It may keep neither.
	Respond(request *httpapi.FastRequest, response *httpapi.FastResponse) bool
}

// The states of a connection's turn: an answer is not cut off by who closes idle connections.
const (
	turnFree int32 = iota
	turnResponding
	turnClosing // when the answer is written
	turnClosed
)

// closingTimeout bounds the write of the last answer on a connection that is closing.
const closingTimeout = time.Second

// unusual are headers that are about the connection or the body, and the one of which there is
// exactly one.
var unusual = httpapi.NewNames(headerHost, "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Http2-Settings", "Te", "Trailer", "Expect", "Transfer-Encoding", "Content-Length")

const headerHost = "Host"

// answerPlain answers the questions at the beginning of what was read, and returns the rest.
// Of that, so much was scanned and may be passed on. An error is the connection's.
func (c *Conn) serveFast(read []byte, portion int) (rest []byte, through int, _ *protocolError, _ error) {
	for len(read) > 0 && c.mayServeFast(portion) {
		end, protocolError := c.scanner.scanLines(read)
		if protocolError != nil || end == 0 {
			return read, 0, protocolError, nil
		}
		answered := false
		if c.scanner.state == inHead {
			var err error
			if answered, err = c.respond(read[:end]); err != nil {
				return nil, 0, nil, err
			}
		}
		if !answered {
			return read, end, nil, nil
		}
		c.scanner.heads--
		read = read[end:]
	}
	return read, 0, nil, nil
}

// isPlain tells whether a head may begin, and net/http waits for one, in which it has no part
// yet. While a handler runs, it reads a single byte.
func (c *Conn) mayServeFast(portion int) bool {
	return c.listener.config.FastPath != nil && portion > 1 && c.scanner.state == inHead && c.isIdle()
}

// exchange is a question with its answer. It is used again.
type requestContext struct {
	httpapi.Lines // of the question

	request httpapi.FastRequest
	answer  httpapi.FastResponse
	written []byte
}

var exchanges = sync.Pool{New: func() any { return &requestContext{Lines: httpapi.Lines{Header: http.Header{}}} }}

func (e *requestContext) release() {
	e.Reset()
	clear(e.answer.Headers)
	*e = requestContext{Lines: e.Lines, answer: httpapi.FastResponse{Headers: e.answer.Headers[:0]}, written: e.written[:0]}
	exchanges.Put(e)
}

// answer answers a request whose head is complete, if it is plain.
func (c *Conn) respond(head []byte) (answered bool, err error) {
	if !bytes.HasPrefix(head, []byte(http.MethodGet+" /")) {
		return false, nil
	}
	e, _ := exchanges.Get().(*requestContext)
	defer e.release()
	if !e.read(string(head), c.listener.config.FastPath) {
		return false, nil
	}
	if !c.peer.IsValid() {
		c.peer = clientaddr.Peer(c.RemoteAddr().String())
	}
	e.request.Peer, e.request.Header = c.peer, e.Header
	if !c.turn.CompareAndSwap(turnFree, turnResponding) {
		return false, net.ErrClosed
	}
	defer func() {
		if !c.turn.CompareAndSwap(turnResponding, turnFree) { // somebody has closed it meanwhile
			c.turn.Store(turnClosed)
			_ = c.Conn.Close() // there is nobody to tell
			c.listener.closing.Done()
			err = net.ErrClosed
		}
	}()
	if !c.listener.config.FastPath.Respond(&e.request, &e.answer) {
		return false, nil
	}
	now := time.Now()
	e.written = appendResponse(e.written, &e.answer, now)
	if _, err := c.Conn.Write(e.written); err != nil {
		return true, err
	}
	c.place.since.Store(now.UnixNano())
	return true, c.SetReadDeadline(now.Add(c.listener.config.IdleTimeout)) // as net/http does when it is done
}

// Close implements net.Conn. On a connection that is just answering, it takes effect after that.
func (c *Conn) Close() error {
	c.listener.connections.remove(c)
	if c.turn.Load() == turnResponding { // which it is only for another goroutine, such as Shutdown's
		c.listener.closing.Add(1)
		if c.turn.CompareAndSwap(turnResponding, turnClosing) {
			return c.SetWriteDeadline(time.Now().Add(closingTimeout))
		}
		c.listener.closing.Done()
	}
	if c.turn.CompareAndSwap(turnFree, turnClosed) || c.turn.Load() == turnClosed {
		return c.Conn.Close()
	}
	return nil // it is about to be closed
}

// Wait waits for the answers on connections that were closed while they were under way, or until
// ctx ends. Shutdown comes first.
func (l *Listener) Wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.closing.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read takes over a head that was scanned, or returns false where something in it is unusual.
func (e *requestContext) read(head string, fastPath FastPath) bool {
	line, head, _ := strings.Cut(head, "\r\n")
	target, ok := strings.CutSuffix(strings.TrimPrefix(line, http.MethodGet+" "), " HTTP/1.1")
	if !ok {
		return false
	}
	query := false
	if e.request.Path, e.request.RawQuery, query = strings.Cut(target, "?"); query && e.request.RawQuery == "" {
		return false
	}
	for {
		line, head, _ = strings.Cut(head, "\r\n")
		if line == "" {
			return isSimpleHost(e.request.Host)
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		switch unusual.Find(name) {
		case "":
			if canonical := fastPath.Reads(name); canonical != "" {
				e.Add(canonical, value)
			}
		case headerHost:
			e.request.Host = value
		default:
			return false
		}
	}
}

// isPlainHost knows names and addresses, with or without a port. net/http looks into the others.
func isSimpleHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return host != ""
}

func appendResponse(b []byte, a *httpapi.FastResponse, now time.Time) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.Status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(a.Status)...)
	for i := range a.Headers {
		b = append(b, "\r\n"...)
		b = append(b, a.Headers[i].Name...)
		b = append(b, ": "...)
		b = appendValue(b, a.Headers[i].Value)
	}
	b = append(b, "\r\nDate: "...)
	b = append(b, dateOf(now)...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(a.Body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, a.Body...)
}

// appendValue lets nothing end a line, as net/http does. No value should.
func appendValue(b []byte, value string) []byte {
	begin := len(b)
	b = append(b, value...)
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
		for i, c := range b[begin:] {
			if c == '\n' || c == '\r' {
				b[begin+i] = ' '
			}
		}
	}
	return b
}

// date is the header (RFC 9110, section 6.6.1) of one second.
type date struct {
	second int64
	text   string
}

var latestDate atomic.Pointer[date]

func dateOf(now time.Time) string {
	if latest := latestDate.Load(); latest != nil && latest.second == now.Unix() {
		return latest.text
	}
	d := &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
	latestDate.Store(d)
	return d.text
}
