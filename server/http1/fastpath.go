package http1

// This file is tuned by hand. A proxy's subrequest, a GET with a few headers that gets a few more in response, costs
// net/http twice as much as everything that Keyward does about it: a map of all headers, a context, a goroutine that
// waits for the client to go, and a sorted copy of the response's headers. So while net/http has nothing to do on a
// connection, a simple request is responded to here, in one write.
//
// Other requests are left to net/http, which remains the reference: test/conformance compares both for everything that
// it sends. net/http also reads the first request of every connection, so that it knows the connection, and takes it
// for what it is: idle, and free to be closed.

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// FastPath responds to requests instead of the handler of a Server, and exactly as the handler would. It is called by
// many goroutines.
type FastPath interface {
	// Reads returns the name of a header in its canonical form, or "" if the header is not needed.
	Reads(name string) (canonical string)
	// Respond fills in a response that is empty. It returns false without any effect if the handler has to respond. It
	// keeps neither request nor response.
	Respond(request *httpapi.FastRequest, response *httpapi.Response) bool
}

// The values of conn.turn. A Close while the fast path responds must not cut off the response. net/http closes
// connections that it takes for idle, and Close may be called by any goroutine, so who closes is decided by
// compare-and-swap:
//
//	free       → responding (respond begins)   → free (respond ends)
//	free       → closed     (Close)
//	responding → closing    (Close)            → closed (respond ends, and closes)
const (
	turnFree int32 = iota
	turnResponding
	turnClosing
	turnClosed
)

// closingTimeout bounds the write of the last response on a connection that is closing.
const closingTimeout = time.Second

// specialHeaders are headers about the connection or the body, and Host, of which there is exactly one.
var specialHeaders = httpapi.NewNames(headerHost, "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Http2-Settings",
	"Te", "Trailer", "Expect", "Transfer-Encoding", "Content-Length")

const headerHost = "Host"

// serveFast responds to the simple requests at the beginning of what was read, and returns the rest. Of the rest, the
// first passable bytes were scanned and may be passed on. An error is the connection's.
func (c *conn) serveFast(read []byte, portion int) (rest []byte, passable int, _ *protocolError, _ error) {
	for len(read) > 0 && c.mayServeFast(portion) {
		end, protocolError := c.scanner.scanLines(read)
		if protocolError != nil || end == 0 {
			return read, 0, protocolError, nil
		}
		responded := false
		if c.scanner.state == inHead {
			var err error
			if responded, err = c.respond(read[:end]); err != nil {
				return nil, 0, nil, err
			}
		}
		if !responded {
			return read, end, nil, nil
		}
		c.scanner.heads--
		read = read[end:]
	}
	return read, 0, nil, nil
}

// mayServeFast reports whether a head may begin, and net/http waits for one of which it has seen nothing yet. While a
// handler runs, net/http reads a single byte.
func (c *conn) mayServeFast(portion int) bool {
	return c.listener.config.FastPath != nil && portion > 1 && c.scanner.state == inHead && c.isIdle()
}

// requestContext is a request with its response. It is pooled.
type requestContext struct {
	httpapi.Lines // of the request

	request  httpapi.FastRequest
	response httpapi.Response
	written  []byte
}

var requestContexts = sync.Pool{New: func() any { return &requestContext{Lines: httpapi.Lines{Header: http.Header{}}} }}

func (e *requestContext) release() {
	e.Reset()
	clear(e.response.Headers)
	*e = requestContext{Lines: e.Lines, response: httpapi.Response{Headers: e.response.Headers[:0]}, written: e.written[:0]}
	requestContexts.Put(e)
}

// respond responds to a request whose head is complete. It reports whether the request was simple enough.
func (c *conn) respond(head []byte) (responded bool, err error) {
	if !bytes.HasPrefix(head, []byte(http.MethodGet+" /")) {
		return false, nil
	}
	e, _ := requestContexts.Get().(*requestContext)
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
		if !c.turn.CompareAndSwap(turnResponding, turnFree) { // it was closed meanwhile
			c.turn.Store(turnClosed)
			_ = c.Conn.Close() // nobody can act on an error
			c.listener.closing.Done()
			err = net.ErrClosed
		}
	}()
	if !c.listener.config.FastPath.Respond(&e.request, &e.response) {
		return false, nil
	}
	now := time.Now()
	e.written = appendResponse(e.written, &e.response, now)
	if _, err := c.Conn.Write(e.written); err != nil {
		return true, err
	}
	c.slot.since.Store(now.UnixNano())
	return true, c.SetReadDeadline(now.Add(c.listener.config.IdleTimeout)) // as net/http does when it is done
}

// Close implements net.Conn. While the fast path responds, it takes effect after the response.
func (c *conn) Close() error {
	c.listener.connections.remove(c)
	if c.turn.Load() == turnResponding { // then the caller is another goroutine, such as Shutdown's
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

// read reads a head that was scanned. It returns false if the head needs net/http.
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
		switch specialHeaders.Find(name) {
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

// isSimpleHost reports whether host is a name or an address, with or without a port. net/http validates others.
func isSimpleHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return host != ""
}

func appendResponse(b []byte, response *httpapi.Response, now time.Time) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(response.Status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(response.Status)...)
	for i := range response.Headers {
		b = append(b, "\r\n"...)
		b = append(b, response.Headers[i].Name...)
		b = append(b, ": "...)
		b = appendValue(b, response.Headers[i].Value)
	}
	b = append(b, "\r\nDate: "...)
	b = append(b, dateOf(now)...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(response.Body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, response.Body...)
}

// appendValue replaces line ends, as net/http does. No value should contain any.
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
