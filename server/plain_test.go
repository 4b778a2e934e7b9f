package server

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/fakemanager"
)

// TestProxiesAskOnOneConnection, also within TLS: every question is answered there, and when
// the server drains, with a goodbye.
func TestProxiesAskOnOneConnection(t *testing.T) {
	dir := t.TempDir()
	cert, private := fakemanager.NewPair(t, "keyward.example")
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, data := range map[string][]byte{certFile: cert, keyFile: private} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for name, flags := range map[string][]string{"plain": nil, "tls": {"--tls-cert-file=" + certFile, "--tls-key-file=" + keyFile}} {
		t.Run(name, func(t *testing.T) {
			m, key := fakemanager.Start(t), mint(t)
			v := start(t, configFor(t, m, append(flags, "--shutdown-delay=2s", "--upstream=http://127.0.0.1:9")...))
			m.Next().Send(catchUp(key))
			waitFor(t, "it is ready", func() bool { status, _ := get(t, v.addresses.Admin, "/readyz", ""); return status == http.StatusOK })
			conn, err := net.Dial("tcp", v.addresses.HTTP.String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			if flags != nil {
				conn = tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "keyward.example"})
			}
			in := bufio.NewReader(conn)
			ask := func(credential string) (status int, closes bool) {
				t.Helper()
				if _, err := fmt.Fprintf(conn, "GET /authz HTTP/1.1\r\nHost: v\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: h\r\nX-Forwarded-Uri: /x\r\nX-Api-Key: %s\r\n\r\n", credential); err != nil {
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
