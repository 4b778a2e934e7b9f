package reverseproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/httpapi"
)

// overHTTP2 sends a request unchanged, which clients of net/http would not.
func overHTTP2(t fataler, f *front, target, authority string) (status, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", f.address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", authority}, {":path", target},
		{"authorization", f.key}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // to memory
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true,
		EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status, ended = frame.PseudoValue("status"), frame.StreamEnded()
		case *http2.DataFrame:
			body += string(frame.Data())
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset", ""
		}
		if ended {
			return status, body
		}
	}
}

var oddHosts = []string{
	"cdn.acme.example:/evil", `cdn.acme.example:"`, `cdn.acme.example:80\evil`, "cdn.acme.example:é.other",
	"cdn.acme.example:,other.example", "cdn.acme.example:x",
	"cdn.acme.example/evil", "bücher.example", "h h", "h%41", "[::1%25eth0]", "h:80:81", "u@h", "",
}

// TestHostIsUnchanged: the upstream gets the host that was decided on, and never an empty one.
func TestHostIsUnchanged(t *testing.T) {
	f := start(t, nil, Config{Upstream: lines(t)})
	a := asker{front: f}
	check := func(t fataler, host, status, body string) {
		t.Helper()
		sees := strings.HasSuffix(body, "\nHost: "+host+"\nX-Forwarded-Host: "+host) && f.decided.Load().Host == host
		if status != "200" && strings.Contains(body, "\nHost:") || status == "200" && !sees {
			t.Fatal(fmt.Sprintf("%q: %s %s", host, status, body))
		}
		if (status == "200") != httpapi.IsHost(host) {
			t.Fatal(fmt.Sprintf("%q: %s", host, status))
		}
	}
	for _, host := range append(oddHosts, "cdn.acme.example", "CDN.acme.example.:8443", "h:", "[2001:db8::1]:80") {
		status, body := overHTTP2(t, f, "/x", host)
		check(t, host, status, body)
		code, body := a.ask(t, "/x", host)
		check(t, host, fmt.Sprint(code), body)
	}
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-cA-C0-9.:\[\]/\\",@%é_-]{1,12}`).Draw(t, "host")
		code, body := a.ask(t, "/x", host)
		check(t, host, fmt.Sprint(code), body)
	})
}

// TestTargetIsUnchangedOverHTTP2, in which a client may write characters that would end a request line.
func TestTargetIsUnchangedOverHTTP2(t *testing.T) {
	f := start(t, nil, Config{Upstream: lines(t)})
	for sent, want := range map[string]string{
		"/files/a%2Bb|c":       "/files/a%2Bb%7Cc",
		"/a b":                 "/a%20b",
		"/a?x=1 HTTP/1.1":      "/a?x=1%20HTTP/1.1",
		"/a?x=1#&siteId=1001":  "/a?x=1%23&siteId=1001",
		"/a HTTP/1.1?x":        "/a%20HTTP/1.1?x",
		"/a?\u00e9":            "/a?%C3%A9",
		"/a?":                  "/a?",
		"http://h.example/a|b": "", // is not a path
	} {
		status, body := overHTTP2(t, f, sent, "h.example")
		line, _, _ := strings.Cut(body, "\n")
		if status == "200" && line != "GET "+want+" HTTP/1.1" || status != "200" && strings.Contains(body, "\nHost:") ||
			want == "" && status == "200" {
			t.Errorf("%s: %s %s", sent, status, body)
		}
	}
}

// TestInvalidHostsAreNotForwarded, not even from a trusted proxy.
func TestInvalidHostsAreNotForwarded(t *testing.T) {
	trusted := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, clientaddr.HeaderXForwardedFor)
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%q %q", r.Header["X-Forwarded-Host"], r.Header["X-Forwarded-Proto"])
	}, Config{Clients: trusted})
	for _, host := range append(oddHosts, "a, b") {
		request := f.request(t.Context(), t, "/")
		request.Host = "h.example"
		request.Header["X-Forwarded-Host"], request.Header["X-Forwarded-Proto"] = []string{host}, []string{"https, http"}
		if got := do(t, http.DefaultClient, request).body; got != `["h.example"] ["http"]` {
			t.Errorf("%q: %s", host, got)
		}
	}
}
