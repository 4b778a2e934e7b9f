package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestDecisionsAreRecorded finds out, by the id in the response, why a request was denied.
func TestDecisionsAreRecorded(t *testing.T) {
	const token = "a-token-of-some-length"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--admin-token-file="+file, "--upstream="+upstream(t, echo)))
	m.Next().Send(catchUp(key))

	status, header, _ := do(t, "http://"+v.addresses.Proxy.String()+"/secret-path?secret-query", "Authorization",
		"Bearer "+key.Reveal(), "Origin", "https://evil.example")
	id := header.Get("X-Request-Id")
	if status != http.StatusForbidden || id == "" {
		t.Fatalf("%d, id %q", status, id)
	}
	decisions := "http://" + v.addresses.Admin.String() + "/v1/decisions?requestId=" + id
	if status, _, _ := do(t, decisions); status != http.StatusUnauthorized {
		t.Errorf("without the token: %d", status)
	}
	_, _, text := do(t, decisions, "Authorization", "Bearer "+token)
	for _, want := range []string{`"code":"origin_denied"`, `"keyId":"k1"`, `"project":"default"`,
		`"origin":"https://evil.example"`, `"integration":"reverseproxy"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, key.Reveal()) || strings.Contains(v.logs.String(), token) {
		t.Errorf("it reveals too much: %s", text)
	}

	check := "http://" + v.addresses.Admin.String() + "/v1/check-origin?project=default&origin="
	if status, _, _ := do(t, check+"https://evil.example"); status != http.StatusUnauthorized {
		t.Errorf("without the token, an origin is checked: %d", status)
	}
	for from, want := range map[string]string{"https://evil.example": `"allowed":false`, "http://localhost:5173": `"localhost":true`} {
		if _, _, text := do(t, check+from, "Authorization", "Bearer "+token); !strings.Contains(text, `"group":"tenants/acme"`) ||
			!strings.Contains(text, want) {
			t.Errorf("%s: no %s in %s", from, want, text)
		}
	}

	off := start(t, configFor(t, m))
	if status, _, text := do(t, "http://"+off.addresses.Admin.String()+"/v1/check-origin"); status != http.StatusNotFound ||
		!strings.Contains(text, "--admin-token-file") {
		t.Errorf("without the flag, an origin is checked: %d %s", status, text)
	}
	if status, _, text := do(t, "http://"+off.addresses.Admin.String()+"/v1/decisions"); status != http.StatusNotFound ||
		!strings.Contains(text, "--admin-token-file") {
		t.Errorf("without the flag: %d %s", status, text)
	}
}

// TestAnnouncedEnd: after GET /drain, clients are asked to leave, and are served like before; without the flag nobody can do that.
func TestAnnouncedEnd(t *testing.T) {
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--accept-drain", "--upstream="+upstream(t, echo)))
	m.Next().Send(catchUp(key))
	closes := func() bool {
		t.Helper()
		conn, err := net.Dial("tcp", v.addresses.Proxy.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key: %s\r\n\r\n", key.Reveal())
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			t.Errorf("status %d", response.StatusCode)
		}
		return response.Close
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	connections := 0 // of HTTP/2
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		connections++
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	http2 := func() {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+v.addresses.Proxy.String()+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Api-Key", key.Reveal())
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
			t.Errorf("%s %s", response.Proto, response.Status)
		}
	}
	http2()
	http2()
	if connections != 1 {
		t.Errorf("%d HTTP/2 connections", connections)
	}
	if closes() {
		t.Error("connections close before the end is announced")
	}
	if status, _, _ := do(t, "http://"+v.addresses.Admin.String()+"/drain"); status != http.StatusOK {
		t.Errorf("/drain: %d", status)
	}
	if !closes() {
		t.Error("connections stay open after the end is announced")
	}
	deadline, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for http2(); connections == 1; http2() { // the client may not have read yet that it is to leave
		if deadline.Err() != nil {
			t.Fatal("the HTTP/2 connection stays open after the end is announced")
		}
	}
	if status, _, _ := do(t, "http://"+v.addresses.Admin.String()+"/readyz"); status != http.StatusOK {
		t.Errorf("it is not ready any more: %d", status)
	}

	off := start(t, configFor(t, m))
	if status, _, _ := do(t, "http://"+off.addresses.Admin.String()+"/drain"); status != http.StatusNotFound {
		t.Errorf("without the flag: %d", status)
	}
}

// do sends a GET with pairs of header names and values.
func do(t *testing.T, target string, pairs ...string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		request.Header.Set(pairs[i], pairs[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}
