package reverseproxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestWebSocket sends messages in both directions, also large ones, and forwards the end.
func TestWebSocket(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Keyward-Group") != "tenants/acme" || r.Header.Get("Authorization") != "" {
			t.Errorf("the upstream sees %q", r.Header)
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(1 << 22)
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			if string(message) == "end" {
				_ = conn.Close(websocket.StatusGoingAway, "so be it")
				return
			}
			if err := conn.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	}, Config{})
	options := &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {f.key}}}
	address := "ws" + strings.TrimPrefix(f.url, "http") + "/ws"
	conn, _, err := websocket.Dial(t.Context(), address, options) //nolint:bodyclose // the connection is the body
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 22)
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	for _, message := range [][]byte{[]byte("hello"), large, {}} {
		if err := conn.Write(t.Context(), websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(t.Context()); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d bytes came back of %d: %v", len(got), len(message), err)
		}
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("end")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the end: %v", err)
	}
}

// raw is a connection to the proxy on which a test writes every byte.
type raw struct {
	net.Conn

	in *bufio.Reader
}

func (f *front) dial(t *testing.T) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", f.address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{conn, bufio.NewReader(conn)}
}

func (c *raw) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// next reads a response and its body.
func (c *raw) next(t *testing.T, method string) (readResponse, string) {
	t.Helper()
	response, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return readResponse{response}, string(body)
}

// TestRefusedUpgradeEndsTheConnection sends a request behind an upgrade, which only a server that has not upgraded
// would read.
func TestRefusedUpgradeEndsTheConnection(t *testing.T) {
	for _, c := range []struct {
		name, upgrade, key string
		status             int
		paths              string
	}{
		{"by the upstream", "websocket", "", 426, "/ws "},
		{"by Keyward", "websocket", "x", 401, ""},
		{"another protocol is never asked for", "h2c", "", 200, "/ws "},
		{"nor among others", "websocket, h2c", "", 200, "/ws "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var paths strings.Builder
			f := start(t, func(w http.ResponseWriter, r *http.Request) {
				paths.WriteString(r.URL.Path + " ")
				if r.Header.Get("Upgrade") != "" {
					w.WriteHeader(http.StatusUpgradeRequired)
				}
			}, Config{})
			conn := f.dial(t)
			conn.send(t, fmt.Sprintf("GET /ws HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s%s\r\nConnection: Upgrade, "+
				"HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: %s\r\n\r\n"+
				"GET /smuggled HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\n\r\n", f.key, c.key, c.upgrade, f.key))
			if response, _ := conn.next(t, http.MethodGet); response.StatusCode != c.status || !response.Close {
				t.Errorf("%d %q", response.StatusCode, response.Header)
			}
			if rest, _ := io.ReadAll(conn.in); len(rest) > 0 {
				t.Errorf("more responses: %s", rest)
			}
			if paths.String() != c.paths {
				t.Errorf("the upstream served %q", paths.String())
			}
		})
	}
}
