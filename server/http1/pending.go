package http1

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// responseTimeout is how long a response may take after the time that a body may take, ReadHeaderTimeout.
	responseTimeout = time.Second

	// pendingWeight is about what a pending request costs in addition to the bytes of its headers and body: a goroutine, buffers,
	// and the state of an HTTP/2 stream.
	pendingWeight = 16 << 10

	// headerWeight is what a header line costs in addition to its bytes. HTTP/2 counts the same (RFC 9113, section 6.5.2).
	headerWeight = 32

	// bodyWeight is how often a small body is in memory: as it was read, and decoded or in a buffer that has grown.
	bodyWeight = 2

	// maxStreams is how many requests may be open on an HTTP/2 connection.
	maxStreams = 100

	// smallWindow and largeWindow bound what a client may send of HTTP/2 bodies that nobody reads.
	smallWindow = 64 << 10
	largeWindow = 256 << 10

	// maxBuffered is how long a response may be that net/http gets when it is complete, and then with Content-Length.
	maxBuffered = 4 << 10
)

// http2Config bounds what a connection can hold in memory.
func http2Config(config Config) *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: window(config), MaxReceiveBufferPerStream: window(config),
		WriteByteTimeout: writeTimeout(config),
	}
}

func window(config Config) int {
	if config.SmallBodies {
		return smallWindow
	}
	return largeWindow
}

// writeTimeout bounds all responses but those of Stream. It also holds for the responses that net/http writes itself.
func writeTimeout(config Config) time.Duration {
	if config.ReadHeaderTimeout == 0 {
		return 0
	}
	return config.ReadHeaderTimeout + responseTimeout
}

// pendingRequest is a request that this server itself responds to, until it has been responded to or is passed to Stream. In
// HTTP/2 it is the ResponseWriter of the handler, and delays the response until the handler returns: net/http would
// write it after that, and would not tell when the client has taken it.
type pendingRequest struct {
	http.ResponseWriter

	conn     *conn
	since    int64         // Unix time in nanoseconds
	weight   int64         // bytes
	stream   *streamed     // nil unless it was passed to Stream
	idle     time.Duration // StreamIdleTimeout
	delaying bool

	request *http.Request
	status  int // 0 before WriteHeader
	body    []byte
}

// trackPending lets connections know about all requests in progress.
func trackPending(config Config, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connKey{}).(*conn)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		e := &pendingRequest{ResponseWriter: w, conn: c, idle: config.StreamIdleTimeout, delaying: r.ProtoMajor > 1, request: r}
		c.listener.connections.begin(e, weigh(r, window(config)))
		defer e.end()
		if config.SmallBodies && r.ContentLength != 0 {
			r.Body = &weighed{r.Body, e}
		}
		if e.delaying || config.Upgrades {
			w = e
		}
		next.ServeHTTP(w, r)
		e.finish()
	})
}

// weigh returns what a request costs in memory. In HTTP/2, the body arrives whether or not somebody reads it.
func weigh(r *http.Request, window int) (weight int64) {
	weight = pendingWeight
	for name, lines := range r.Header {
		for _, line := range lines {
			weight += int64(len(name) + len(line) + headerWeight)
		}
	}
	if r.ProtoMajor > 1 && r.ContentLength != 0 {
		if r.ContentLength < 0 {
			return weight + int64(window)
		}
		weight += min(r.ContentLength, int64(window))
	}
	return weight
}

// end comes last, also after a panic.
func (e *pendingRequest) end() {
	if e.stream != nil {
		e.stream.end()
		e.conn.listener.connections.endStream(e.conn, e.idle)
		return
	}
	e.conn.listener.connections.end(e)
}

// finish comes when the handler has returned.
func (e *pendingRequest) finish() {
	switch {
	case e.stream != nil:
		if e.idle > 0 { // what net/http still buffers
			_ = http.NewResponseController(e.ResponseWriter).SetWriteDeadline(time.Now().Add(e.idle)) // fails if the connection is gone
		}
	case e.delaying:
		if e.status == 0 {
			e.status = http.StatusOK
		}
		header := e.Header()
		if _, ok := header["Content-Length"]; !ok && hasBody(e.status) && (len(e.body) > 0 || e.request.Method != http.MethodHead) {
			header.Set("Content-Length", strconv.Itoa(len(e.body)))
		}
		_ = e.pass() // the client may have gone
		_ = http.NewResponseController(e.ResponseWriter).Flush()
	case e.request.ProtoMajor > 1:
		_ = http.NewResponseController(e.ResponseWriter).Flush()
	}
}

func hasBody(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}

// pass passes on what was delayed.
func (e *pendingRequest) pass() error {
	if !e.delaying {
		return nil
	}
	e.delaying = false
	if e.status != 0 {
		e.ResponseWriter.WriteHeader(e.status)
	}
	if len(e.body) == 0 {
		return nil
	}
	_, err := e.ResponseWriter.Write(e.body)
	return err
}

// WriteHeader implements http.ResponseWriter.
func (e *pendingRequest) WriteHeader(status int) {
	if !e.delaying || status < http.StatusOK {
		e.ResponseWriter.WriteHeader(status)
	} else if e.status == 0 {
		e.status = status
	}
}

// Write implements http.ResponseWriter.
func (e *pendingRequest) Write(p []byte) (int, error) {
	if e.delaying && len(e.body)+len(p) <= maxBuffered {
		if e.status == 0 {
			e.status = http.StatusOK
		}
		e.body = append(e.body, p...)
		return len(p), nil
	}
	if err := e.pass(); err != nil {
		return 0, err
	}
	return e.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (e *pendingRequest) FlushError() error {
	if err := e.pass(); err != nil {
		return err
	}
	return http.NewResponseController(e.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (e *pendingRequest) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// weighed is a small body of a pending request.
type weighed struct {
	io.ReadCloser

	pendingRequest *pendingRequest
}

// Read implements io.Reader.
func (b *weighed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.pendingRequest.conn.listener.connections.grow(b.pendingRequest, int64(n)*bodyWeight)
	}
	return n, err
}

// Stream is for a handler that has allowed a request and passes it to an upstream, which responds for as long as it
// takes. The handler uses the ResponseWriter that is returned, and had not used w. From then on the connection is busy,
// and is not evicted for this request. It is cut if its client stalls for StreamIdleTimeout: if it takes nothing of
// what is written, or sends nothing of the body while the response has not begun.
func Stream(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	e, ok := w.(*pendingRequest)
	if !ok {
		return w // there is no Server
	}
	e.conn.listener.connections.beginStream(e)
	s := &streamed{ResponseWriter: e.ResponseWriter, idle: e.idle}
	e.stream, e.delaying = s, false
	_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Time{}) // fails if the connection is gone
	if s.idle > 0 {
		if r.ContentLength != 0 {
			r.Body = &streamedBody{r.Body, s}
		}
		s.mu.Lock()
		s.timer = time.AfterFunc(s.idle, s.check)
		s.mu.Unlock()
	}
	return s
}

// checksPerIdle is how often a stream is checked in StreamIdleTimeout.
const checksPerIdle = 4

// streamed is the ResponseWriter of a request that was passed to Stream.
type streamed struct {
	http.ResponseWriter

	idle             time.Duration
	begun            atomic.Bool  // reports whether the response has begun
	writing, reading atomic.Int64 // since when the handler waits for the client, as Unix time in nanoseconds; 0 if it does not

	mu    sync.Mutex // guards timer and ended
	timer *time.Timer
	ended bool
}

// check cuts the stream if the client stalls. The mutex keeps the handler, and with it the ResponseWriter, from ending.
func (s *streamed) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	now := time.Now()
	stalls := func(since int64) bool { return since != 0 && since <= now.Add(-s.idle).UnixNano() }
	control, past := http.NewResponseController(s.ResponseWriter), now.Add(-time.Second)
	switch {
	case stalls(s.writing.Load()):
		_ = control.SetWriteDeadline(past) // fails if the connection is gone
	case stalls(s.reading.Load()) && !s.begun.Load():
		_ = control.SetReadDeadline(past)
	default:
		s.timer.Reset(s.idle / checksPerIdle)
	}
}

func (s *streamed) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// WriteHeader implements http.ResponseWriter.
func (s *streamed) WriteHeader(status int) {
	if status >= http.StatusOK {
		s.begun.Store(true)
	}
	s.writing.Store(time.Now().UnixNano())
	defer s.writing.Store(0)
	s.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (s *streamed) Write(p []byte) (int, error) {
	s.begun.Store(true)
	s.writing.Store(time.Now().UnixNano())
	defer s.writing.Store(0)
	return s.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (s *streamed) FlushError() error {
	s.writing.Store(time.Now().UnixNano())
	defer s.writing.Store(0)
	return http.NewResponseController(s.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (s *streamed) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// streamedBody is the body of a request that was passed to Stream.
type streamedBody struct {
	io.ReadCloser

	stream *streamed
}

// Read implements io.Reader.
func (b *streamedBody) Read(p []byte) (int, error) {
	b.stream.reading.Store(time.Now().UnixNano())
	defer b.stream.reading.Store(0)
	return b.ReadCloser.Read(p)
}
