package gateways

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is for one row: 100 MB with the race detector, beside other tests.
const patience = 60 * time.Second

// bodyless is how long to wait for a response that needs no body.
const bodyless = 15 * time.Second

// row is something that clients do, and its outcome.
type row struct {
	name string
	want string // through every gateway; "" if they differ
	try  func(t *testing.T, c *client) string
}

// client does what browsers and programs do.
type client struct {
	*world
	gateway *gateway
	address string
	http    *http.Client
}

var rows = []row{
	{"a good key", "200", outcomeOf("Authorization: Bearer {key}")},
	{"no key", "401 `key_missing`, `WWW-Authenticate`", outcomeOf()},
	{"the quota is used up (forced)", "402 `quota_exceeded`, `Retry-After: 86400`", outcomeOf("Authorization: Bearer {spent}")},
	{"too fast (forced)", "429 `rate_limited`, `Retry-After: 1`", outcomeOf("Authorization: Bearer {fast}")},
	{"a foreign origin", "403 `origin_denied`", outcomeOf("Authorization: Bearer {key}", "Origin: https://evil.example")},
	{"too many failures", "429 `too_many_failures`, `Retry-After: 60`", outcomeOf("Client: failing")},
	{"preflight", "204, CORS", func(t *testing.T, c *client) string {
		return c.describe(t, testCase{method: "OPTIONS", headers: []string{"Origin: " + page, "Access-Control-Request-Method: GET"}})
	}},
	{"denial, for an allowed page", "403 `permission_denied`, CORS", func(t *testing.T, c *client) string {
		return c.describe(t, testCase{method: "DELETE", headers: []string{"Origin: " + page, "Authorization: Bearer {key}"}})
	}},
	{"denial, before the body is sent", "403 `permission_denied`", func(t *testing.T, c *client) string {
		// The four bytes never arrive.
		return c.describe(t, testCase{method: "POST", headers: []string{"Authorization: Bearer {key}", "Content-Length: 4"}})
	}},
	{"the same, on a connection that is kept", "", func(t *testing.T, c *client) string {
		return c.denied(t, testCase{method: "POST", keepAlive: true, headers: []string{"Authorization: Bearer {key}",
			"Content-Length: 4"}}, "body")
	}},
	{"the same, in chunks", "", func(t *testing.T, c *client) string {
		return c.denied(t, testCase{method: "POST", keepAlive: true, headers: []string{"Authorization: Bearer {key}",
			"Transfer-Encoding: chunked"}}, "4\r\nbody\r\n0\r\n\r\n")
	}},
	{"content, for an allowed page", "200, CORS", outcomeOf("Origin: "+page, "Authorization: Bearer {key}")},
	{"WebSocket", "echoes", socket},
	{"any other `Upgrade`", "200, no upgrade", func(t *testing.T, c *client) string {
		got := c.roundTrip(t, c.address, testCase{headers: []string{"Authorization: Bearer {key}", "Connection: Upgrade", "Upgrade: h2c"}})
		if got.seen.Get("Upgrade") != "" {
			return fmt.Sprint(got.status, ", asked of the content server")
		}
		return fmt.Sprint(got.status, ", no upgrade")
	}},
	{"Server-Sent Events", "one by one", listen},
	{"100 MB down", "as sent, streamed", download},
	{"100 MB up", "as sent, streamed", upload},
	{"spoofed `X-Keyward-` headers", "", func(t *testing.T, c *client) string {
		got := c.roundTrip(t, c.address, testCase{headers: []string{"Authorization: Bearer {key}", "X-Keyward-Group: evil",
			"X-Keyward-Context-Anything: evil"}})
		if got.seen == nil {
			return summary(got)
		}
		if got.seen.Get("X-Keyward-Group") != "tenants/acme" || got.seen.Get("X-Keyward-Context-Anything") != "" {
			t.Errorf("the content server sees %v", got.seen)
		}
		return "removed"
	}},
	{"`X-Keyward-Principal` arrives, also if a client sends another", "as signed", verifyPrincipal},
	{"`X-Request-Id` of content is", "", func(t *testing.T, c *client) string {
		if id := c.roundTrip(t, c.address,
			testCase{headers: []string{"Authorization: Bearer {key}"}}).header.Get("X-Request-Id"); id == "of-the-upstream" {
			return "the content server's"
		}
		return "the decision's"
	}},
	{"`RateLimit` comes with content", "", func(t *testing.T, c *client) string {
		if c.roundTrip(t, c.address, testCase{headers: []string{"Authorization: Bearer {paced}"}}).header.Get("RateLimit") == "" {
			return "no"
		}
		return "yes"
	}},
	{"`Deprecation` and `Sunset` come with content, in the overlap of a key", "", retirement},
	{"CORS of the content server is", "", func(t *testing.T, c *client) string {
		got := c.roundTrip(t, c.address, testCase{target: "/media/cors",
			headers: []string{"Authorization: Bearer {key}", "Origin: " + page}})
		if got.header.Get("Access-Control-Allow-Origin") == page {
			return "replaced"
		}
		return "kept"
	}},
	{"what pages may read is", "both lists", readable},
	{"`X-HTTP-Method-Override`, `X-Original-URL` and their kind are", "removed", overridden},
	{"`Cache-Control: public, max-age=60, s-maxage=600` becomes", "", func(t *testing.T,
		c *client) string {
		return c.caching(t, "{key}")
	}},
	{"the same, with `caching: Shared`", "", func(t *testing.T, c *client) string { return c.caching(t, "{shared}") }},
	{"a key in the URL, where the Group accepts it, is", "", func(t *testing.T, c *client) string {
		got := c.roundTrip(t, c.address, testCase{target: "/media/1?a&token={embed}"})
		if got.seen == nil {
			return summary(got)
		}
		if target := got.seen.Get(headerTarget); target != "/media/1?a" {
			t.Errorf("the content server sees %s", strings.ReplaceAll(target, c.embed, "{embed}"))
		}
		return "removed"
	}},
	{"a key as a subprotocol, where the Group accepts it, is", "", func(t *testing.T, c *client) string {
		got := c.roundTrip(t, c.address, testCase{headers: []string{"Sec-WebSocket-Protocol: chat, keyward.key.{embed}"}})
		if got.seen == nil {
			return summary(got)
		}
		if names := got.seen.Get("Sec-WebSocket-Protocol"); names != "chat" {
			t.Errorf("the content server sees %s", strings.ReplaceAll(names, c.embed, "{embed}"))
		}
		return "removed"
	}},
	{"`Authorization: Bearer <JWT>` beside `X-Api-Key` is", "passed on", func(t *testing.T, c *client) string {
		got := c.roundTrip(t, c.address, testCase{headers: []string{"X-Api-Key: {key}", "Authorization: Bearer " + sessionJWT}})
		if got.seen.Get("Authorization") != "Bearer "+sessionJWT {
			return "lost"
		}
		return "passed on"
	}},
	{"no validation server", "", func(t *testing.T, c *client) string {
		if c.gateway.unavailable == 0 {
			return "—"
		}
		return problem(c.gateway.unavailable, c.gateway.unavailableCode) // which TestValidatorUnavailable checks
	}},
}

// TestMatrix compares what the gateways do with docs/gateways.md. With -update it writes that.
func TestMatrix(t *testing.T) {
	found := matrix{}
	for _, g := range append(gateways, own) {
		t.Run(g.name, func(t *testing.T) {
			w := newWorld(t)
			c := &client{world: w, gateway: &g, address: g.start(t, w)}
			dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(usualClient)}}
			transport := &http.Transport{DialContext: dialer.DialContext}
			t.Cleanup(transport.CloseIdleConnections)
			c.http = &http.Client{Transport: transport}
			waitFor(t, c.address)
			for _, r := range rows {
				t.Run(r.name, func(t *testing.T) {
					got := r.try(t, c)
					if r.want != "" && got != r.want {
						t.Errorf("%s, want %s", got, r.want)
					}
					found.add(r.name, g.name, got)
				})
			}
		})
	}
	if !t.Failed() {
		found.comparePage(t)
	}
}

func outcomeOf(headers ...string) func(*testing.T, *client) string {
	return func(t *testing.T, c *client) string {
		t.Helper()
		return c.describe(t, testCase{headers: headers})
	}
}

// describe returns what the client sees.
func (c *client) describe(t *testing.T, e testCase) string {
	t.Helper()
	return summary(c.roundTrip(t, c.address, e))
}

// denied returns what a client sees that sends its body late, or never if it need not.
func (c *client) denied(t *testing.T, e testCase, body string) string {
	t.Helper()
	conn := c.send(t, c.address, e)
	defer func() { _ = conn.Close() }()
	wait := func(d time.Duration) (outcome, error) {
		if err := conn.SetDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
		return c.receive(conn, e)
	}
	got, err := wait(bodyless)
	if err == nil {
		return summary(got)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if got, err = wait(patience); err != nil {
		t.Fatal(err)
	}
	return summary(got) + ", after the body"
}

func summary(got outcome) string {
	text := problem(got.status, got.problem.Code)
	if got.header.Get("WWW-Authenticate") != "" {
		text += ", `WWW-Authenticate`"
	}
	if after := got.header.Get("Retry-After"); after != "" {
		text += ", `Retry-After: " + after + "`"
	}
	if got.header.Get("Access-Control-Allow-Origin") == page {
		text += ", CORS"
	}
	return text
}

func problem(status int, code string) string {
	if code == "" {
		return fmt.Sprint(status)
	}
	return fmt.Sprintf("%d `%s`", status, code)
}

func (c *client) request(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, body)
	if err != nil {
		return nil, err
	}
	request.Host = "cdn.acme.example"
	request.Header.Set("Authorization", "Bearer "+c.key)
	response, err := c.http.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, errors.New(response.Status)
	}
	return response, err
}

// socket sends more than one message, so that it is not the response to a request.
func socket(t *testing.T, c *client) string {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, "ws://"+c.address+"/media/socket", &websocket.DialOptions{
		HTTPClient: c.http, Host: "cdn.acme.example", HTTPHeader: http.Header{"X-Api-Key": {c.key}},
	})
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.CloseNow() }()
	if response.Body != nil {
		defer func() { _ = response.Body.Close() }()
	}
	conn.SetReadLimit(1 << 20)
	for _, size := range []int{0, 1, 100, 1 << 16} {
		message := strings.Repeat("x", size)
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return err.Error()
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != message {
			return fmt.Sprintf("%d bytes of %d: %v", len(got), size, err)
		}
	}
	return "echoes"
}

func listen(t *testing.T, c *client) string {
	ctx, cancel := context.WithTimeout(t.Context(), patience/6)
	defer cancel()
	response, err := c.request(ctx, http.MethodGet, "/media/events", http.NoBody)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for i := range events {
		if !lines.Scan() || lines.Text() != fmt.Sprint("data: ", i) || !lines.Scan() || lines.Text() != "" {
			return fmt.Sprintf("event %d: %q, %v", i, lines.Text(), lines.Err())
		}
		c.received <- struct{}{}
	}
	return "one by one"
}

func download(t *testing.T, c *client) string {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var most heap
	response, err := c.request(ctx, http.MethodGet, "/media/large", http.NoBody)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	return streamed(checksum(io.TeeReader(response.Body, &most)), &most)
}

func upload(t *testing.T, c *client) string {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var most heap
	response, err := c.request(ctx, http.MethodPost, "/media/upload", io.TeeReader(largeContent(), &most))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	sum, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return streamed(string(sum), &most)
}

// heap watches the memory of this process, in which are client, content server and validation
// server, while it is written to.
type heap struct {
	written, looked int
	first, most     uint64
}

func (h *heap) Write(p []byte) (int, error) {
	h.written += len(p)
	if h.first != 0 && h.written-h.looked < large/20 {
		return len(p), nil
	}
	h.looked = h.written
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	if h.first == 0 {
		h.first = now.HeapInuse
	}
	h.most = max(h.most, now.HeapInuse)
	return len(p), nil
}

func streamed(sum string, most *heap) string {
	if want := checksum(largeContent()); sum != want {
		return "changed: " + sum
	}
	if grown := int64(most.most) - int64(most.first); grown > large/4 {
		return fmt.Sprintf("as sent, kept %d MB", grown>>20)
	}
	return "as sent, streamed"
}
