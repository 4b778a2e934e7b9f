package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// responder is a fast path for /fast, which responds to the id "wait" when it may. It is also the handler that does the
// same, and leaves other paths to next.
type responder struct {
	asked, may chan struct{}
	next       http.HandlerFunc
}

// Reads implements FastPath.
func (responder) Reads(name string) string {
	if strings.EqualFold(name, "X-Request-Id") {
		return "X-Request-Id"
	}
	return ""
}

// Respond implements FastPath.
func (a responder) Respond(request *httpapi.FastRequest, response *httpapi.Response) bool {
	if request.Path != "/fast" {
		return false
	}
	if request.Header.Get("X-Request-Id") == "wait" {
		a.asked <- struct{}{}
		<-a.may
	}
	response.Status, response.Body = http.StatusOK, []byte("fast "+request.Header.Get("X-Request-Id"))
	response.Headers = append(response.Headers, httpapi.Header{Name: "X-Peer", Value: request.Peer.String()},
		httpapi.Header{Name: "X-Bent", Value: "a\r\nb"})
	return true
}

// ServeHTTP implements http.Handler.
func (a responder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var response httpapi.Response
	switch {
	case a.Respond(&httpapi.FastRequest{Path: r.URL.Path, Peer: clientaddr.Peer(r.RemoteAddr), Header: r.Header}, &response):
		response.Write(w)
	case a.next != nil:
		a.next(w, r)
	}
}

// bothPositions runs a test with the fast path switched on, and switched off: the clients must see no difference.
func bothPositions(t *testing.T, test func(t *testing.T, configure func(responder, Config) Config)) {
	for name, on := range map[string]bool{"fast path on": true, "fast path off": false} {
		t.Run(name, func(t *testing.T) {
			test(t, func(r responder, config Config) Config {
				config.Handler = r
				if on {
					config.FastPath = r
				}
				return config
			})
		})
	}
}

// serve runs a Server; the client's connection to it has had one request.
func serve(t *testing.T, config Config, handler http.HandlerFunc) (*Server, *client) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config.MaxHeaderBytes = 4 << 10
	if handler != nil {
		config.Handler = handler
	}
	server := NewServer(inner, config)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Close() // which the test may have done
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &client{t, conn, bufio.NewReader(conn)}
	c.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
	c.want("")
	return server, c
}

// read returns the body of a response.
func (c *client) read() string {
	c.t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}

type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// want reads a response.
func (c *client) want(body string) http.Header {
	c.t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("instead of %q: %v", body, err)
	}
	got, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(got) != body {
		c.t.Fatalf("got %q, %v, want %q", got, err, body)
	}
	return response.Header
}

// wantEnd waits until the server closes the connection.
func (c *client) wantEnd() {
	c.t.Helper()
	if _, err := c.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection stays open: %v", err)
	}
}

func fastRequest(id string) string {
	return "GET /fast?x=y HTTP/1.1\r\nHost: h\r\nx-request-ID: " + id + "\r\n\r\n"
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestSimpleRequestsAreServed(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		server, c := serve(t, configure(responder{}, Config{IdleTimeout: time.Minute}), nil)
		server.listener.awaitPhase(t, c, idle)
		c.send(fastRequest("1") + fastRequest("2") + fastRequest("3")[:20])
		header := c.want("fast 1")
		if header.Get("X-Peer") != "127.0.0.1" || header.Get("X-Bent") != "a  b" || header.Get("Content-Length") != "6" {
			t.Errorf("%v", header)
		}
		if date, err := http.ParseTime(header.Get("Date")); err != nil || time.Since(date) > time.Minute {
			t.Errorf("%q, %v", header, err)
		}
		c.want("fast 2")
		c.send(fastRequest("3")[20:] + "GET /other HTTP/1.1\r\nHost: h\r\n\r\n" + fastRequest("4"))
		c.want("fast 3")
		c.want("") // from here on net/http has part of what was sent
		c.want("fast 4")
		server.listener.awaitPhase(t, c, idle)
		c.send("GET / HTTP/1.1\n")
		if body := c.read(); !strings.Contains(body, codeMalformed) {
			t.Error(body)
		}
	})
}

// TestSwitchedOffFastPathIsNotUsed: the handler serves every request. Switched on, it serves only the first, because net/http is
// idle before each of the others.
func TestSwitchedOffFastPathIsNotUsed(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		config := configure(responder{}, Config{IdleTimeout: time.Minute})
		const requests = 20
		var served atomic.Int64
		server, c := serve(t, config, func(w http.ResponseWriter, r *http.Request) {
			served.Add(1)
			config.Handler.ServeHTTP(w, r)
		})
		for i := range requests {
			server.listener.awaitPhase(t, c, idle)
			c.send(fastRequest(strconv.Itoa(i)))
			c.want("fast " + strconv.Itoa(i))
		}
		want := int64(1)
		if config.FastPath == nil {
			want += requests
		}
		if got := served.Load(); got != want {
			t.Errorf("the handler has served %d of %d requests, want %d", got, 1+requests, want)
		}
	})
}

// TestResponsesKeepTheOrderOfRequests: while a handler runs, or reads a body, net/http serves all requests.
func TestResponsesKeepTheOrderOfRequests(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		running, end := make(chan struct{}), make(chan struct{})
		slow := responder{next: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				running <- struct{}{}
				<-end
				_, _ = io.Copy(w, r.Body)
				_, _ = io.WriteString(w, "slow")
			}
		}}
		_, c := serve(t, configure(slow, Config{IdleTimeout: time.Minute}), nil)
		for range 100 {
			c.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
			<-running
			c.send(fastRequest("1"))
			end <- struct{}{}
			c.want("slow")
			c.want("fast 1")
			c.send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na")
			<-running
			end <- struct{}{}
			c.send("bc" + fastRequest("2"))
			c.want("abcslow")
			c.want("fast 2")
		}
	})
}

// TestFastPathWaitsForNetHTTP: it does not respond before net/http's first request, nor while net/http has not finished
// another one, nor in place of the single byte that net/http waits for then.
func TestFastPathWaitsForNetHTTP(t *testing.T) {
	for _, c := range []struct {
		heads, finished int64
		portion         int
		responds        bool
	}{{0, 0, 4096, false}, {1, 0, 4096, false}, {2, 1, 4096, false}, {2, 2, 1, false}, {2, 2, 4096, true}} {
		sent := &written{pieces: pieces{rest: []string{fastRequest("1")}}}
		conn := &conn{Conn: sent, listener: &listener{config: Config{FastPath: responder{}}},
			scanner: scanner{maxHead: 4096, heads: c.heads}}
		conn.finished.Store(c.finished)
		n, err := conn.Read(make([]byte, c.portion))
		if (sent.bytes > 0) != c.responds || (err == nil) == c.responds || (n == 0) != c.responds {
			t.Errorf("%+v: read %d, %v, %d bytes are sent", c, n, err, sent.bytes)
		}
	}
}

// TestShutdownCutsOffNoResponse: a connection is closed when its last response is sent, and Shutdown waits for that.
func TestShutdownCutsOffNoResponse(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		r := responder{asked: make(chan struct{}), may: make(chan struct{})}
		server, c := serve(t, configure(r, Config{IdleTimeout: time.Minute}), nil)
		server.listener.awaitPhase(t, c, idle)
		c.send(fastRequest("wait"))
		<-r.asked
		down := make(chan error, 1)
		go func() { down <- server.Shutdown(t.Context()) }()
		select {
		case err := <-down:
			t.Errorf("it does not wait: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		close(r.may)
		c.want("fast wait")
		c.wantEnd()
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// TestShutdownOfFastPathEndsWithItsContext: net/http takes the connection for idle, so that only the listener waits.
func TestShutdownOfFastPathEndsWithItsContext(t *testing.T) {
	r := responder{asked: make(chan struct{}), may: make(chan struct{})}
	server, c := serve(t, Config{Handler: r, FastPath: r, IdleTimeout: time.Minute}, nil)
	server.listener.awaitPhase(t, c, idle)
	c.send(fastRequest("wait"))
	<-r.asked
	if err := server.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.listener.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it does not wait: %v", err)
	}
	close(r.may)
	if err := server.listener.wait(t.Context()); err != nil {
		t.Error(err)
	}
	c.want("fast wait")
	c.wantEnd()
}

// TestDrainAnnouncesTheEnd of connections: the response says that they close, also on one that the fast path serves.
func TestDrainAnnouncesTheEnd(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		server, c := serve(t, configure(responder{}, Config{IdleTimeout: time.Minute}), nil)
		server.listener.awaitPhase(t, c, idle)
		server.Drain()
		c.send(fastRequest("1"))
		response, err := http.ReadResponse(c.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil || !response.Close {
			t.Errorf("%v, %v", response, err)
		}
		c.wantEnd()
	})
}

// TestIdleTimeout: a response counts as a use of the connection, and the connection ends when there is none for a while.
func TestIdleTimeout(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		t.Parallel()
		const timeout = 2 * time.Second
		server, c := serve(t, configure(responder{}, Config{IdleTimeout: timeout}), nil)
		server.listener.awaitPhase(t, c, idle)
		var last time.Time
		for begin := time.Now(); time.Since(begin) < 3*timeout/2; {
			last = time.Now()
			c.send(fastRequest("1"))
			c.want("fast 1")
		}
		c.wantEnd()
		if after := time.Since(last); after < timeout {
			t.Errorf("closed after %v", after)
		}
	})
}

// TestSlowHeadEndsTheConnection: also if it is not the first head. net/http sees nothing of a later one before it is
// complete.
func TestSlowHeadEndsTheConnection(t *testing.T) {
	bothPositions(t, func(t *testing.T, configure func(responder, Config) Config) {
		_, c := serve(t, configure(responder{}, Config{IdleTimeout: time.Hour, ReadHeaderTimeout: 200 * time.Millisecond}), nil)
		c.send("GET /first HTTP/1.1\r\n")
		c.wantEnd()
	})
}

// TestPanicEndsTheConnection, and nothing else.
func TestPanicEndsTheConnection(t *testing.T) {
	for name, fastPath := range map[string]FastPath{"fast path on": panicking{}, "fast path off": nil} {
		t.Run(name, func(t *testing.T) {
			server, c := serve(t, Config{Handler: panicking{}, FastPath: fastPath, IdleTimeout: time.Minute}, nil)
			server.listener.awaitPhase(t, c, idle)
			c.send(fastRequest("panic"))
			c.wantEnd()
			if err := server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

type panicking struct{ responder }

// Respond implements FastPath.
func (p panicking) Respond(request *httpapi.FastRequest, response *httpapi.Response) bool {
	if request.Header.Get("X-Request-Id") == "panic" {
		panic(http.ErrAbortHandler)
	}
	return p.responder.Respond(request, response)
}

// ServeHTTP implements http.Handler.
func (p panicking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Request-Id") == "panic" {
		panic(http.ErrAbortHandler)
	}
	p.responder.ServeHTTP(w, r)
}

// BenchmarkFastPath is a request with its response, without the decision.
func BenchmarkFastPath(b *testing.B) {
	request := "GET /fast HTTP/1.1\r\nHost: validator\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: cdn.acme.example\r\n" +
		"X-Forwarded-Uri: /api/scenes/mkt-1\r\nUser-Agent: curl/8\r\nAccept: */*\r\nX-Request-Id: 1\r\nAuthorization: Bearer " +
		strings.Repeat("x", 55) + "\r\n\r\n"
	sent := &written{pieces: pieces{}}
	conn := &conn{Conn: sent, listener: &listener{config: Config{FastPath: responder{}}}, scanner: scanner{maxHead: 64 << 10, heads: 1}}
	conn.finished.Store(1)
	buffer := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		sent.rest = append(sent.rest[:0], request)
		if _, err := conn.Read(buffer); !errors.Is(err, io.EOF) || sent.bytes == 0 {
			b.Fatal(err)
		}
		sent.bytes = 0
	}
}

// written is a connection that only counts what is written.
type written struct {
	pieces

	bytes int
}

func (w *written) Write(p []byte) (int, error) {
	w.bytes += len(p)
	return len(p), nil
}

func (*written) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (*written) SetReadDeadline(time.Time) error { return nil }
