package reverseproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// dying is an upstream that responds to the first request of each connection, and closes it after it has read the
// second.
type dying struct {
	url *url.URL

	mu   sync.Mutex
	seen []string
}

func startDying(t *testing.T) *dying {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &dying{url: &url.URL{Scheme: "http", Host: listener.Addr().String()}}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn)
		}
	}()
	return d
}

func (d *dying) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for i := range 2 {
		request, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		d.mu.Lock()
		d.seen = append(d.seen, fmt.Sprintf("%s %s %q", request.Method, request.URL.Path, body))
		d.mu.Unlock()
		if i == 0 {
			// By then the proxy's writer has reported that it is done, or the proxy would not use the connection again.
			time.Sleep(200 * time.Millisecond)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

// TestRetries counts what arrives at an upstream that closes the connection before it responds.
func TestRetries(t *testing.T) {
	for _, c := range []struct {
		method, body string
		status       int
		times        int
	}{
		{"GET", "", 200, 2},
		{"HEAD", "", 200, 2},
		{"GET", "body", 502, 1},
		{"POST", "", 502, 1},
		{"POST", "body", 502, 1},
		{"PUT", "", 502, 1},
		{"DELETE", "", 502, 1},
	} {
		t.Run(c.method+" "+c.body, func(t *testing.T) {
			upstream := startDying(t)
			f := start(t, nil, Config{Upstream: upstream.url})
			if got := do(t, http.DefaultClient, f.request(t.Context(), t, "/first")); got.status != 200 {
				t.Fatalf("the first: %+v", got)
			}
			request := f.request(t.Context(), t, "/second")
			request.Method = c.method
			if c.body != "" {
				request.Body, request.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
			}
			if got := do(t, http.DefaultClient, request); got.status != c.status {
				t.Errorf("got %+v", got)
			}
			upstream.mu.Lock()
			defer upstream.mu.Unlock()
			times := 0
			for _, seen := range upstream.seen {
				if seen == fmt.Sprintf("%s /second %q", c.method, c.body) {
					times++
				}
			}
			if times != c.times {
				t.Errorf("the upstream saw it %d times, want %d: %q", times, c.times, upstream.seen)
			}
		})
	}
}

// TestInterruptedResponse must not look complete.
func TestInterruptedResponse(t *testing.T) {
	everyWay(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, client *http.Client, f *front) {
		response := f.post(t, client, "/", http.NoBody, nil)
		if body, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%q looks complete", body)
		}
	})
}

// TestIncompleteRequestBody is reported as the client's fault, and the upstream never takes it for a complete one.
func TestIncompleteRequestBody(t *testing.T) {
	got := make(chan error, 1)
	f := start(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
		<-r.Context().Done()
	}, Config{})
	conn := f.dial(t)
	conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key: "+f.key+"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n")
	response, body := conn.next(t, http.MethodGet)
	if response.StatusCode != http.StatusBadRequest || !strings.Contains(body, `"request_malformed"`) || !response.Close {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	if err := <-got; err == nil {
		t.Error("the upstream has read a whole request")
	}
}

// TestFailuresAreReadable: pages can read the reason, also when an upstream fails.
func TestFailuresAreReadable(t *testing.T) {
	const page = "http://localhost:5173"
	done := make(chan struct{})
	slow := start(t, func(http.ResponseWriter, *http.Request) { <-done }, Config{Timeout: 20 * time.Millisecond})
	defer close(done)
	garbage := start(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n\r\n")
		_ = conn.Close()
	}, Config{})
	for _, c := range []struct {
		front  *front
		status int
		code   string
	}{{slow, 504, "upstream_timeout"}, {garbage, 502, "upstream_failed"}} {
		response := c.front.post(t, http.DefaultClient, "/", http.NoBody, func(r *http.Request) { r.Header.Set("Origin", page) })
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != c.status || !strings.Contains(string(body), c.code) ||
			response.Header.Get("Content-Type") != "application/problem+json" ||
			response.Header.Get("Access-Control-Allow-Origin") != page || response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%d %q %s, %v", response.StatusCode, response.Header, body, err)
		}
	}
}

// TestClientAbortsBody: the connection breaks while the upstream reads.
func TestClientAbortsBody(t *testing.T) {
	got := make(chan error, 1)
	f := start(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	}, Config{})
	conn := f.dial(t)
	conn.send(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key: "+f.key+"\r\nContent-Length: 100\r\n\r\nhalf")
	_ = conn.Close()
	if err := <-got; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the upstream reads %v", err)
	}
}
