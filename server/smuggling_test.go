package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

// rawUpstream records what arrives: each request as it reads it, and all bytes.
type rawUpstream struct {
	address string

	mu    sync.Mutex
	seen  []string
	bytes strings.Builder
}

func startRawUpstream(t *testing.T) *rawUpstream {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	u := &rawUpstream{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go u.serve(conn)
		}
	}()
	return u
}

func (u *rawUpstream) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(io.TeeReader(conn, u))
	for {
		request, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		u.mu.Lock()
		u.seen = append(u.seen, fmt.Sprintf("%s %s %s %q %v", request.Method, request.Host, request.RequestURI, body, err == nil))
		u.mu.Unlock()
		if err != nil {
			return
		}
		status := "200 OK"
		if request.Header.Get("Upgrade") != "" {
			status = "426 Upgrade Required"
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status)
	}
}

// Write implements io.Writer.
func (u *rawUpstream) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes.Write(p)
}

// take returns the requests since the last time.
func (u *rawUpstream) take() (seen []string, raw string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen, raw = u.seen, u.bytes.String()
	u.seen = nil
	u.bytes.Reset()
	return seen, raw
}

const (
	malformed = "request_malformed"
	ambiguous = "path_ambiguous"

	// hidden is a request that must not pass within another one; its key is valid.
	hidden = "GET /hidden HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n"

	// lenient is the same, for servers that do not read requests strictly.
	lenient = "GET /hidden HTTP/1.1\nHost: h\nX-Api-Key: {key}\n\n"

	// last follows everything, and makes the server close the connection if it has not yet.
	last     = "GET /last HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n"
	seenLast = `GET h /last "" true`
)

// smuggling are bytes on a connection. Either they are refused with a code, or the upstream sees exactly these requests.
var smuggling = []struct {
	name, sent string
	code       string
	seen       []string
	unseen     string // must not be among the upstream's bytes
}{
	{name: "plain", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", seen: []string{`GET h /a "" true`}},
	{name: "pipelined", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n" + hidden,
		seen: []string{`GET h /a "" true`, `GET h /hidden "" true`}},
	{name: "conflicting lengths", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: " +
		"0\r\nContent-Length: 60\r\n\r\n" + hidden, code: malformed},
	{name: "the same length twice", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: " +
		"0\r\nContent-Length: 0\r\n\r\n" + hidden, code: malformed},
	{name: "lengths in a list", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: 0, 0\r\n\r\n" + hidden,
		code: malformed},
	{name: "a signed length", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: +1\r\n\r\n." + hidden,
		code: malformed},
	{name: "a hexadecimal length", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: 0x1\r\n\r\n." +
		hidden, code: malformed},
	{name: "an empty length", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length:\r\n\r\n" + hidden, code: malformed},
	{name: "a length beyond all", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: " +
		"99999999999999999999\r\n\r\n" + hidden, code: malformed},
	{name: "length and chunks", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: " +
		"5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "chunks and length", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "chunked twice", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: chunked, " +
		"chunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "chunked on two lines", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "xchunked", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" +
		hidden, code: malformed},
	{name: "identity", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: identity\r\n\r\n" + hidden,
		code: malformed},
	{name: "gzip, chunked", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: gzip, " +
		"chunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "chunked behind a vertical tab", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"\vchunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "chunks in HTTP/1.0", sent: "GET /a HTTP/1.0\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: " +
		"keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "chunked in capitals", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", seen: []string{`GET h /a "x" true`}},
	{name: "a folded line", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nX-Other: a\r\n b\r\n\r\n", code: malformed},
	{name: "a folded first line", sent: "GET /a HTTP/1.1\r\n Host: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "a folded coding", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding:\r\n " +
		"chunked\r\n\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "bare LF behind the request line", sent: "GET /a HTTP/1.1\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "bare LF behind a header", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\nX-Other: a\r\n\r\n", code: malformed},
	{name: "bare LF at the end", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\n" + hidden, code: malformed},
	{name: "bare CR in a header", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nX-Other: a\rb\r\n\r\n", code: malformed},
	{name: "bare LF behind a chunk's size", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n1\nx\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "bare LF behind a chunk", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n1\r\nx\n0\r\n\r\n" + hidden, code: malformed},
	{name: "bare LF in a chunk's extension", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "a longer chunk than it says", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "a negative chunk", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "a chunk beyond all", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "a chunk in 0x", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n" + hidden, code: malformed},
	{name: "a chunk's extension", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n", seen: []string{`GET h /a "x" true`}, unseen: "a=b"},
	{name: "a space before the colon", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length : 60\r\n\r\n" +
		hidden, code: malformed},
	{name: "a header without a name", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n: x\r\n\r\n", code: malformed},
	{name: "a header without a colon", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nX-Other\r\n\r\n", code: malformed},
	{name: "NUL in a value", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nX-Other: a\x00b\r\n\r\n", code: malformed},
	{name: "a control character in a value", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nX-Other: a\x01b\r\n\r\n",
		code: malformed},
	{name: "a control character in the target", sent: "GET /a\x01 HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "a space in the target", sent: "GET /a /b HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "two spaces in the request line", sent: "GET  /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "another version", sent: "GET /a HTTP/1.2\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "no version", sent: "GET /a\r\n\r\n", code: malformed},
	{name: "an empty line in front", sent: "\r\nGET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "absolute form", sent: "GET http://h/a?b HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", seen: []string{`GET h /a?b "" true`}},
	{name: "absolute form with another host", sent: "GET http://other/a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "absolute form with user information", sent: "GET http://u@h/a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n",
		code: malformed},
	{name: "a target of another scheme", sent: "GET x:/hidden?q://h/a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "a scheme without a host", sent: "GET http:/hidden?q://h/a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "an empty host in absolute form", sent: "GET http:///hidden HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "absolute form without a path", sent: "GET http://h?x=/hidden HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n",
		seen: []string{`GET h /?x=/hidden "" true`}, unseen: "GET /hidden"},
	{name: "absolute form in capitals", sent: "GET HTTP://h/a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n",
		seen: []string{`GET h /a "" true`}},
	{name: "dot segments in absolute form", sent: "GET http://h/a/../hidden HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n",
		code: ambiguous},
	{name: "an empty upgrade, then a folded line", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: " +
		"upgrade\r\nUpgrade:\r\n\r\n" + "GET /hidden HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nX-A: b\r\n c\r\n\r\n",
		seen: []string{`GET h /a "" true`}},
	{name: "two upgrades, then a length and chunks", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: " +
		"upgrade\r\nUpgrade:\r\nUpgrade: websocket\r\n\r\n" + "GET /hidden HTTP/1.1\r\nHost: h\r\nX-Api-Key: " +
		"{key}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", seen: []string{`GET h /a "" true`}},
	{name: "two hosts", sent: "GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "no host", sent: "GET /a HTTP/1.1\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "a host with a path", sent: "GET /a HTTP/1.1\r\nHost: h/b\r\nX-Api-Key: {key}\r\n\r\n", code: malformed},
	{name: "options of everything", sent: "OPTIONS * HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "connect", sent: "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "a bad escape", sent: "GET /%zz HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "half an escape", sent: "GET /a% HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "an encoded slash beside a character to encode", sent: "GET /a%2fb| HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n",
		code: ambiguous},
	{name: "a fragment", sent: "GET /a#/b HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n", code: ambiguous},
	{name: "a body on GET", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nContent-Length: 5\r\n\r\nGET /GET /b " +
		"HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n",
		seen: []string{`GET h /a "GET /" true`, `GET h /b "" true`}},
	{name: "the key as hop-by-hop", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: X-Api-Key\r\n\r\n",
		seen: []string{`GET h /a "" true`}, unseen: "Api-Key"},
	{name: "another credential as hop-by-hop", sent: "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\nConnection: " +
		"Authorization, Host, Content-Length\r\nContent-Length: 1\r\n\r\nx",
		seen: []string{`GET h /a "x" true`}, unseen: "Authorization"},
	{name: "a trailer that is a key", sent: "GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: " +
		"X-Api-Key\r\n\r\n0\r\nX-Api-Key: {key}\r\n\r\n", code: "key_missing"},
	{name: "a trailer that is folded", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nTransfer-Encoding: " +
		"chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n", code: malformed},
	{name: "the preface of HTTP/2 with headers", sent: "PRI * HTTP/2.0\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n" + lenient, code: malformed},
	{name: "the preface of HTTP/2, cut off", sent: "PRI * HTTP/2.0\r\n\r\nSM\r\n" + lenient, code: malformed},
	{name: "an upgrade that the upstream refuses", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: " +
		"Upgrade\r\nUpgrade: websocket\r\n\r\n" + hidden, seen: []string{`GET h /a "" true`}},
	{name: "an upgrade to HTTP/2", sent: "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\nConnection: Upgrade, " +
		"HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n" + hidden, seen: []string{`GET h /a "" true`}, unseen: "h2c"},
}

// TestNoSmuggling sends bytes to a complete validator, in front of an upstream that records what it sees. After a
// refusal the validator reads nothing more.
func TestNoSmuggling(t *testing.T) {
	upstream := startRawUpstream(t)
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--upstream=http://"+upstream.address))
	m.Next().Send(catchUp(key))
	if status, _ := get(t, v.addresses.Proxy, "/ready", key.Reveal()); status != http.StatusOK {
		t.Fatal("not ready")
	}
	upstream.take()
	for _, c := range smuggling {
		t.Run(c.name, func(t *testing.T) {
			sent := fillIn(c.sent+last, key)
			statuses, code := roundTrip(t, v.addresses.Proxy, sent)
			seen, raw := upstream.take()
			if slices.Contains(seen, seenLast) && c.code == malformed {
				t.Error("the connection was not closed")
			}
			complete := slices.DeleteFunc(slices.Clone(seen), func(s string) bool {
				return strings.HasSuffix(s, " false") ||
					s == seenLast
			})
			if code != c.code || !slices.Equal(complete, c.seen) {
				t.Errorf("responses %v %q, the upstream has seen %q; want %q, %q", statuses, code, seen, c.code, c.seen)
			}
			if strings.Contains(raw, "GET /hidden") && len(c.seen) < 2 || c.unseen != "" && strings.Contains(raw, c.unseen) ||
				strings.Contains(raw, key.Reveal()) {
				t.Errorf("the upstream has got %q", raw)
			}
			if c.code == malformed && (len(statuses) != 1 || statuses[0] != http.StatusBadRequest) {
				t.Errorf("responses %v", statuses)
			}
		})
	}
}

func fillIn(text string, key keyformat.Key) string {
	return strings.ReplaceAll(text, "{key}", key.Reveal())
}

// roundTrip sends bytes and nothing more, and reads responses until the server closes the connection. The code is that
// of the problem among them.
func roundTrip(t *testing.T, address net.Addr, sent string) (statuses []int, code string) {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			if len(statuses) == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %v: %v", statuses, err)
			}
			return statuses, code
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		statuses = append(statuses, response.StatusCode)
		if response.Header.Get("Content-Type") != httpapi.ProblemType {
			if response.StatusCode >= 400 && response.StatusCode != http.StatusUpgradeRequired {
				t.Errorf("%d without a problem: %s", response.StatusCode, body)
			}
			continue
		}
		var problem httpapi.Problem
		if err := json.Unmarshal(body, &problem); err != nil || problem.Status != response.StatusCode ||
			response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", body, err)
		}
		code = problem.Code
	}
}

// TestPrefaceIsNoRequest sends the preface after a request, in two pieces, split anywhere: the strict reader still
// applies, and what follows never reaches the upstream.
func TestPrefaceIsNoRequest(t *testing.T) {
	upstream := startRawUpstream(t)
	m, key := fakemanager.Start(t), fixture.Mint(t)
	v := start(t, configFor(t, m, "--upstream=http://"+upstream.address))
	m.Next().Send(catchUp(key))
	if status, _ := get(t, v.addresses.Proxy, "/ready", key.Reveal()); status != http.StatusOK {
		t.Fatal("not ready")
	}
	const first = "GET /a HTTP/1.1\r\nHost: h\r\nX-Api-Key: {key}\r\n\r\n"
	for _, preface := range []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\nHost: h\r\n\r\n"} {
		for at := range preface {
			upstream.take()
			conn, err := net.Dial("tcp", v.addresses.Proxy.String())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			in := bufio.NewReader(conn)
			var statuses []int
			for _, piece := range []string{fillIn(first+preface[:at], key), preface[at:] + fillIn(lenient, key)} {
				if _, err := io.WriteString(conn, piece); err != nil {
					t.Fatal(err)
				}
				response, err := http.ReadResponse(in, nil) // so that the first piece has been read
				if err != nil {
					t.Fatalf("%q cut at %d: %v", preface, at, err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				statuses = append(statuses, response.StatusCode)
			}
			if _, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q cut at %d: the connection stays open: %v", preface, at, err)
			}
			_ = conn.Close()
			seen, raw := upstream.take()
			if !slices.Equal(statuses, []int{http.StatusOK, http.StatusBadRequest}) || len(seen) != 1 || strings.Contains(raw, "hidden") {
				t.Errorf("%q cut at %d: responses %v, the upstream has seen %q", preface, at, statuses, seen)
			}
		}
	}
}
