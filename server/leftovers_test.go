package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestResponsesDoNotWaitForBodies: a client that is refused gets the response before it has sent the body, and the
// connection of a client that never sends it is closed.
func TestResponsesDoNotWaitForBodies(t *testing.T) {
	bothPositions(t, responsesDoNotWaitForBodies)
}

func responsesDoNotWaitForBodies(t *testing.T, flag string) {
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, flag, "--upstream=http://127.0.0.1:9", "--read-header-timeout=1s"))
	m.Next().Send(catchUp(key))
	for _, c := range []struct {
		name, head string
		address    net.Addr
		status     int
	}{
		{"refused, with a length", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf", v.addresses.Proxy,
			http.StatusUnauthorized},
		{"refused, in chunks", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", v.addresses.Proxy,
			http.StatusUnauthorized},
		{"verify, not complete", "POST /v1/verify HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{", v.addresses.HTTP,
			http.StatusBadRequest},
		{"an event of AWS, not complete", "POST /v1/authorizers/aws HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{",
			v.addresses.HTTP, http.StatusBadRequest},
		{"forward auth", "GET /authz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{", v.addresses.HTTP, http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", c.address.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.WriteString(conn, c.head); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(conn)
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("no response: %v", err)
			}
			defer func() { _ = response.Body.Close() }()
			if _, err := io.ReadAll(response.Body); err != nil || response.StatusCode != c.status {
				t.Errorf("%d, %v", response.StatusCode, err)
			}
			if _, err := in.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("the connection stays open: %v", err)
			}
		})
	}
}

// TestContentMayLookLikeAnything: also like an error response that net/http writes itself.
func TestContentMayLookLikeAnything(t *testing.T) {
	const content = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nuser content"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	headSeen := make(chan struct{})
	upstream := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_ = http.NewResponseController(w).Flush()
		<-headSeen // so that the content is written on its own
		_, _ = io.WriteString(w, content)
	})}
	go func() { _ = upstream.Serve(listener) }()
	t.Cleanup(func() { _ = upstream.Close() })
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--upstream=http://"+listener.Addr().String()))
	m.Next().Send(catchUp(key))

	conn, err := net.Dial("tcp", v.addresses.Proxy.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	for range 2 { // on one connection
		if _, err := fmt.Fprintf(conn, "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\n\r\n", key.Reveal()); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		headSeen <- struct{}{}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || string(body) != content {
			t.Fatalf("%d %q, %v", response.StatusCode, body, err)
		}
	}
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusBadRequest || response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v", response)
	}
}
