package conformance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/http1"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
)

// TestNoHostIsNotAnyHost: otherwise a request without a host, or with an empty one, would be decided as if no route
// named a host, and be served under any host that the server behind chooses.
func TestNoHostIsNotAnyHost(t *testing.T) {
	keys, update := snapshot(t)
	g := newAuthorizer(t, "", update)
	var reached atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(upstream.Close)
	target, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := serveHTTP(t, http1.Config{Handler: reverseproxy.New(g, reverseproxy.Config{Upstream: target},
		slog.New(slog.DiscardHandler)), Upgrades: true})
	const asked = "GET /api/scenes/prd-1 HTTP/1."
	rest := "X-Api-Key: " + keys["both"].Reveal() + "\r\nConnection: close\r\n\r\n"
	for _, head := range []string{asked + "1\r\nHost:\r\n", asked + "1\r\nHost: \r\n", asked + "0\r\n", asked + "0\r\nHost:\r\n"} {
		status, problem := sendAsIs(t, front, head+rest)
		if status != http.StatusBadRequest || problem.Code != decision.HostInvalid.String() || reached.Load() != 0 {
			t.Errorf("%q: %d %s, %d of them arrive", head, status, problem.Code, reached.Load())
		}
	}
	if status, problem := sendAsIs(t, front, asked+"0\r\nHost: product.acme.example\r\n"+rest); status != http.StatusOK ||
		reached.Swap(0) == 0 {
		t.Errorf("with a host: %d %s", status, problem.Code)
	}

	loopback := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, clientaddr.HeaderXForwardedFor)
	request := &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
		Method: "GET", Path: "/api/scenes/prd-1", Headers: map[string]string{"x-api-key": keys["both"].Reveal()},
	}}
	response, err := dialExtAuthz(t, g, loopback).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: request}})
	if err != nil {
		t.Fatal(err)
	}
	var problem httpapi.Problem
	if err := json.Unmarshal([]byte(response.GetDeniedResponse().GetBody()), &problem); err != nil ||
		problem.Code != decision.HostInvalid.String() {
		t.Errorf("extauthz: %v, %v", response, err)
	}
	for name, ask := range inBothPositions(t, g) {
		if !strings.HasPrefix(name, "forwardauth") {
			continue
		}
		got := ask(t, testRequest{method: "GET", target: "/api/scenes/prd-1", lines: []string{"X-Api-Key: " + keys["both"].Reveal()}})
		if got.allowed || got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.code)
		}
	}
}

// sendAsIs sends a request of HTTP/1 unchanged.
func sendAsIs(t *testing.T, address net.Addr, request string) (status int, problem httpapi.Problem) {
	t.Helper()
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &problem); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", body, err))
		}
	}
	return response.StatusCode, problem
}
