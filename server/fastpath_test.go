package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// bothPositions runs a test with the fast path switched on and switched off: clients must see no difference.
func bothPositions(t *testing.T, test func(t *testing.T, flag string)) {
	for _, flag := range []string{"--http-fast-path=true", "--http-fast-path=false"} {
		t.Run(flag, func(t *testing.T) { test(t, flag) })
	}
}

// TestFastPathFlag looks at the order of the headers in a response: net/http sorts them, and the fast path does not.
func TestFastPathFlag(t *testing.T) {
	bothPositions(t, func(t *testing.T, flag string) {
		v := start(t, configFor(t, fakemanager.Start(t), flag))
		s := dial(t, v.addresses.HTTP)
		fast, on := false, flag == "--http-fast-path=true"
		// The first request, and one that arrives before net/http is idle, are net/http's.
		for i := 0; i < 100 || on && !fast; i++ {
			_, _ = io.WriteString(s.conn, "GET /authz HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine\r\n\r\n")
			_, _ = s.in.ReadString('\n')
			line, err := s.in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			fast = fast || line == "X-Request-Id: mine\r\n"
			length := 0
			for line != "\r\n" {
				if line, err = s.in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
					length, _ = strconv.Atoi(strings.TrimSpace(value))
				}
			}
			if _, err := s.in.Discard(length); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if fast != on {
			t.Errorf("the fast path responds: %v", fast)
		}
	})
}

// TestConnectionsOfProxiesStayOpen, also within TLS: every request gets its response on one connection, and when the
// server drains, the response says that the connection closes.
func TestConnectionsOfProxiesStayOpen(t *testing.T) {
	bothPositions(t, connectionsOfProxiesStayOpen)
}

func connectionsOfProxiesStayOpen(t *testing.T, flag string) {
	t.Parallel()
	certFile, keyFile, roots := writeCertificate(t)
	for name, flags := range map[string][]string{"plain": nil, "tls": {"--tls-cert-file=" + certFile, "--tls-key-file=" + keyFile}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, key := fakemanager.Start(t), fixture.Mint(t)
			v := start(t, configFor(t, m, append(flags, flag, "--shutdown-delay=6s", "--upstream=http://127.0.0.1:9")...))
			m.Next().Send(catchUp(key))
			waitFor(t, "it is ready", func() bool { status, _ := get(t, v.addresses.Admin, "/readyz", ""); return status == http.StatusOK })
			conn, err := net.Dial("tcp", v.addresses.HTTP.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if flags != nil {
				conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: certifiedName})
			}
			in := bufio.NewReader(conn)
			ask := func(credential string) (status int, closes bool) {
				t.Helper()
				const head = "GET /authz HTTP/1.1\r\nHost: v\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: " +
					"h\r\nX-Forwarded-Uri: /x\r\nX-Api-Key: %s\r\n\r\n"
				if _, err := fmt.Fprintf(conn, head, credential); err != nil {
					t.Fatal(err)
				}
				response, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if id := response.Header.Get("X-Keyward-Key-Id"); err != nil || (id == "k1") != (response.StatusCode == http.StatusOK) {
					t.Errorf("%v, %v", response, err)
				}
				return response.StatusCode, response.Close
			}
			for range 50 {
				if status, closes := ask(key.Reveal()); status != http.StatusOK || closes {
					t.Fatalf("%d, closes %v", status, closes)
				}
				if status, closes := ask("wrong"); status != http.StatusUnauthorized || closes {
					t.Fatalf("%d, closes %v", status, closes)
				}
			}
			v.stop()
			waitFor(t, "it drains", func() bool {
				status, _ := get(t, v.addresses.Admin, "/readyz", "")
				return status == http.StatusServiceUnavailable
			})
			if status, closes := ask(key.Reveal()); status != http.StatusOK || !closes {
				t.Errorf("%d, closes %v", status, closes)
			}
			if _, err := in.ReadByte(); err == nil {
				t.Error("the connection stays open")
			}
		})
	}
}
