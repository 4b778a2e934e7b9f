package conformance

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
)

// askHTTP2 sends fields unchanged over HTTP/2, which no HTTP client would.
func askHTTP2(t *testing.T, address net.Addr, fields [][2]string) (status int, body []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
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
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			status, _ = strconv.Atoi(f.PseudoValue("status"))
			if f.StreamEnded() {
				return status, body
			}
		case *http2.DataFrame:
			body = append(body, f.Data()...)
			if f.StreamEnded() {
				return status, body
			}
		case *http2.RSTStreamFrame: // net/http has refused it
			return 0, nil
		case *http2.GoAwayFrame:
			t.Fatalf("%v", frame)
		}
	}
}

// TestHTTP2IsReadAsStrictly: in HTTP/2 net/http accepts nearly anything as authority and path. Invalid ones are refused
// with a reason, and never reach the upstream.
func TestHTTP2IsReadAsStrictly(t *testing.T) {
	keys, update := snapshot(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		w.Header().Set("X-Saw", r.Host+r.RequestURI)
	}))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	handler := reverseproxy.New(newAuthorizer(t, "", update), reverseproxy.Config{Upstream: target}, slog.New(slog.DiscardHandler))
	front := serveHTTP(t, http1.Config{Handler: handler, Upgrades: true})
	for _, c := range []struct {
		authority, path string
		want            decision.Code
	}{
		{"product.acme.example", "/any", decision.Allowed}, {"product.acme.example:8443", "/any?x=1",
			decision.Allowed}, {"PRODUCT.acme.example.", "/any", decision.Allowed},
		{"product.acme.example:/evil", "/any", decision.HostInvalid}, {`product.acme.example:"`, "/any",
			decision.HostInvalid}, {`product.acme.example:80\evil`, "/any", decision.HostInvalid},
		{"product.acme.example:é.other", "/any", decision.HostInvalid}, {"product.acme.example:,other", "/any",
			decision.HostInvalid}, {"product.acme.example:x", "/any", decision.HostInvalid},
		{"user@product.acme.example", "/any", decision.HostInvalid}, {"product.acme.example..", "/any",
			decision.HostInvalid}, {"product.acme.example other", "/any", decision.HostInvalid},
		{"[product.acme.example]", "/any", decision.HostInvalid}, {"product.acme.example/any?", "/any",
			decision.HostInvalid}, {"", "/api/scenes/prd-1", decision.HostInvalid}, {"product.acme.example:", "/any", decision.HostInvalid},
		{"product.acme.example", "/any?x=1 HTTP/1.1", decision.QueryAmbiguous}, {"product.acme.example", "/any?x=1#y",
			decision.QueryAmbiguous}, {"product.acme.example", "/any?x=é", decision.QueryAmbiguous},
		{"product.acme.example", "/any x", decision.Allowed}, {"product.acme.example", "/any#x",
			decision.PathAmbiguous}, {"product.acme.example", "/any;x", decision.PathAmbiguous},
		{"product.acme.example", "/" + strings.Repeat("a", 8<<10), decision.PathTooLong},
	} {
		fields := [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", c.path}}
		if c.authority != "" {
			fields = append(fields, [2]string{":authority", c.authority})
		}
		status, body := askHTTP2(t, front, append(fields, [2]string{"x-api-key", keys["both"].Reveal()}))
		var problem httpapi.Problem
		if len(body) > 0 {
			if err := json.Unmarshal(body, &problem); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
		}
		if status == 0 && c.want == decision.HostInvalid {
			continue
		}
		if status != c.want.Status() || c.want != decision.Allowed && problem.Code != c.want.String() {
			t.Errorf("%s %.40s: %d %s, want %v", c.authority, c.path, status, problem.Code, c.want)
		}
	}
}

// TestInvalidHostsAreRefused: a Host that is invalid for net/http is refused by it, before the integrations that use
// the client's own Host.
func TestInvalidHostsAreRefused(t *testing.T) {
	keys, update := snapshot(t)
	mux := http.NewServeMux()
	fastPath := forwardauth.Register(mux, newAuthorizer(t, "", update), nil)
	front := startFront(t, mux, fastPath)
	for _, host := range []string{"product.acme.example:/evil", "product.acme.example:é", `product.acme.example:"`,
		"product.acme.example other", "user@product.acme.example", "[product.acme.example]x"} {
		lines := []string{"X-Forwarded-Method: GET", "X-Forwarded-Uri: /any", "X-Api-Key: " + keys["both"].Reveal()}
		if got := send(t, front, "GET", host, "/authz/caddy", lines); got.status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", host, got.status, got.body)
		}
		if got := sendWarm(t, front, host, "/authz/caddy", lines); got.status != http.StatusBadRequest {
			t.Errorf("%q, on a connection that was open: %d %s", host, got.status, got.body)
		}
	}
}
