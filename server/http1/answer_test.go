package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/server/httpapi"
)

// answerer answers what is asked at /plain, and with the id "wait" when it may.
type answerer struct{ asked, may chan struct{} }

// Reads implements Answerer.
func (answerer) Reads(name string) string {
	if strings.EqualFold(name, "X-Request-Id") {
		return "X-Request-Id"
	}
	return ""
}

// Answer implements Answerer.
func (a answerer) Respond(request *httpapi.FastRequest, response *httpapi.FastResponse) bool {
	if request.Path != "/plain" {
		return false
	}
	if request.Header.Get("X-Request-Id") == "wait" {
		a.asked <- struct{}{}
		<-a.may
	}
	response.Status, response.Body = http.StatusOK, []byte("plain "+request.Header.Get("X-Request-Id"))
	response.Headers = append(response.Headers, httpapi.Header{Name: "X-Peer", Value: request.Peer.String()}, httpapi.Header{Name: "X-Bent", Value: "a\r\nb"})
	return true
}

// serve runs an http.Server behind a listener; a connection to it has had one request.
func serve(t *testing.T, config Config, handler http.HandlerFunc) (*http.Server, *Listener, *client) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config.MaxHeaderBytes = 4 << 10
	l := Listen(inner, config)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Protocols: protocols,
		Handler:   handler, ReadHeaderTimeout: config.ReadHeaderTimeout, IdleTimeout: config.IdleTimeout, MaxHeaderBytes: config.MaxHeaderBytes, ConnState: NoteState,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
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
	return server, l, c
}

// settle waits until net/http is done with what it had: that is not before its answer is there.
func (c *client) settle() {
	c.t.Helper()
	for body := ""; body != "plain settled"; {
		c.send(plain("settled"))
		body = c.read()
	}
}

// read returns the body of an answer.
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

// want reads an answer.
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

// wantEnd waits until the server hangs up.
func (c *client) wantEnd() {
	c.t.Helper()
	if _, err := c.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection stays open: %v", err)
	}
}

func plain(id string) string {
	return "GET /plain?x=y HTTP/1.1\r\nHost: h\r\nx-request-ID: " + id + "\r\n\r\n"
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestPlainAnswers(t *testing.T) {
	_, _, c := serve(t, Config{FastPath: answerer{}, IdleTimeout: time.Minute}, nothing)
	c.settle()
	c.send(plain("1") + plain("2") + plain("3")[:20])
	header := c.want("plain 1")
	if header.Get("X-Peer") != "127.0.0.1" || header.Get("X-Bent") != "a  b" || header.Get("Content-Length") != "7" {
		t.Errorf("%v", header)
	}
	if date, err := http.ParseTime(header.Get("Date")); err != nil || time.Since(date) > time.Minute {
		t.Errorf("%q, %v", header, err)
	}
	c.want("plain 2")
	c.send(plain("3")[20:] + "GET /other HTTP/1.1\r\nHost: h\r\n\r\n" + plain("4"))
	c.want("plain 3")
	c.want("") // from here on net/http has part in what was sent
	c.want("")
	c.settle()
	c.send("GET / HTTP/1.1\n")
	if body := c.read(); !strings.Contains(body, codeMalformed) {
		t.Error(body)
	}
}

// TestNoAnswerOvertakesAnother: while a handler runs, or a body is read, all is net/http's.
func TestNoAnswerOvertakesAnother(t *testing.T) {
	running, end := make(chan struct{}), make(chan struct{})
	_, _, c := serve(t, Config{FastPath: answerer{}, IdleTimeout: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			running <- struct{}{}
			<-end
			_, _ = io.Copy(w, r.Body)
			_, _ = io.WriteString(w, "slow")
		}
	})
	for range 100 {
		c.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
		<-running
		c.send(plain("1"))
		end <- struct{}{}
		c.want("slow")
		c.read() // whoever had it
		c.send("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na")
		<-running
		end <- struct{}{}
		c.send("bc" + plain("2"))
		c.want("abcslow")
		c.read()
	}
}

// TestNothingIsAnsweredWhileNetHTTPIsBusy: not before its first request, not with another of
// which it is not done, and not in place of the byte for which it waits then.
func TestNothingIsAnsweredWhileNetHTTPIsBusy(t *testing.T) {
	for _, c := range []struct {
		heads, idles int64
		portion      int
		answered     bool
	}{{0, 0, 4096, false}, {1, 0, 4096, false}, {2, 1, 4096, false}, {2, 2, 1, false}, {2, 2, 4096, true}} {
		sent := &written{pieces: pieces{rest: []string{plain("1")}}}
		conn := &Conn{Conn: sent, listener: &Listener{config: Config{FastPath: answerer{}}}, scanner: scanner{maxHead: 4096, heads: c.heads}}
		conn.idles.Store(c.idles)
		n, err := conn.Read(make([]byte, c.portion))
		if (sent.bytes > 0) != c.answered || (err == nil) == c.answered || (n == 0) != c.answered {
			t.Errorf("%+v: read %d, %v, %d bytes are answered", c, n, err, sent.bytes)
		}
	}
}

// TestShutdownCutsNoAnswer: a connection that net/http has for idle is closed when it has
// answered, and Wait waits for that.
func TestShutdownCutsNoAnswer(t *testing.T) {
	a := answerer{make(chan struct{}), make(chan struct{})}
	server, l, c := serve(t, Config{FastPath: a, IdleTimeout: time.Minute}, nothing)
	c.settle()
	c.send(plain("wait"))
	<-a.asked
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it does not wait: %v", err)
	}
	close(a.may)
	if err := l.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	c.want("plain wait")
	c.wantEnd()
}

// TestIdleTimeout: an answer is a use of the connection, and when there is none for a while,
// it ends.
func TestIdleTimeout(t *testing.T) {
	const timeout = 200 * time.Millisecond
	_, _, c := serve(t, Config{FastPath: answerer{}, IdleTimeout: timeout}, nothing)
	c.settle()
	var last time.Time
	for begin := time.Now(); time.Since(begin) < 2*timeout; {
		c.send(plain("1"))
		last = time.Now()
		c.want("plain 1")
	}
	c.wantEnd()
	if after := time.Since(last); after < timeout {
		t.Errorf("closed after %v", after)
	}
}

// TestASlowHeadEndsTheConnection: also where it is not the first, of which net/http sees nothing
// before it is complete.
func TestASlowHeadEndsTheConnection(t *testing.T) {
	for _, use := range []FastPath{nil, answerer{}} {
		t.Run(fmt.Sprintf("%T", use), func(t *testing.T) {
			_, _, c := serve(t, Config{FastPath: use, IdleTimeout: time.Hour, ReadHeaderTimeout: 200 * time.Millisecond}, nothing)
			c.send("GET /first HTTP/1.1\r\n")
			c.wantEnd()
		})
	}
}

// TestAPanicEndsTheConnection only.
func TestAPanicEndsTheConnection(t *testing.T) {
	server, l, c := serve(t, Config{FastPath: panicking{}, IdleTimeout: time.Minute}, nothing)
	c.settle()
	c.send(plain("panic"))
	c.wantEnd()
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

type panicking struct{ answerer }

// Answer implements Answerer.
func (p panicking) Respond(request *httpapi.FastRequest, response *httpapi.FastResponse) bool {
	if request.Header.Get("X-Request-Id") == "panic" {
		panic(http.ErrAbortHandler)
	}
	return p.answerer.Respond(request, response)
}

// BenchmarkAnswer is a question with its answer, but for what is decided.
func BenchmarkAnswer(b *testing.B) {
	request := "GET /plain HTTP/1.1\r\nHost: validator\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: cdn.acme.example\r\nX-Forwarded-Uri: /api/scenes/mkt-1\r\nUser-Agent: curl/8\r\nAccept: */*\r\nX-Request-Id: 1\r\nAuthorization: Bearer " +
		strings.Repeat("x", 55) + "\r\n\r\n"
	sent := &written{pieces: pieces{}}
	conn := &Conn{Conn: sent, listener: &Listener{config: Config{FastPath: answerer{}}}, scanner: scanner{maxHead: 64 << 10, heads: 1}}
	conn.idles.Store(1)
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
