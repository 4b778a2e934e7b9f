package gateways

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/pkg/urltoken"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/credential"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/integrations/forwardauth"
	"github.com/keyward-dev/keyward/server/integrations/reverseproxy"
	"github.com/keyward-dev/keyward/test/fixture"
)

// Clients other than the proxy's own address, which is trusted.
const (
	usualClient   = "127.0.0.2"
	failingClient = "127.0.0.3"
)

// world is what a gateway is in the middle of.
type world struct {
	keyward, content, key string
	spent                 string // a key whose quota is used up
	paced, fast           string // keys with rate limits, of which that of fast is used up
	shared                string // a key of a Group whose responses may be kept
	retiring              string // a key whose version is in its overlap
	embed                 string // a key of a Group that accepts keys everywhere, and signs URLs
	signed                string // the token of a URL
	proxy                 http.Handler
	project               string // the one that the gateway has to name

	keysInURLs bool       // the gateway has to be configured for keys in URLs and subprotocols
	logs       []*written // of the programs that were started

	retires   time.Time           // when the version of retiring is refused
	published *jose.JSONWebKeySet // with which principals are verified

	seen     chan http.Header
	received chan struct{} // an event has reached the client
}

// quota is used up for the Group with that identity, until tomorrow.
type quota string

// Spend implements authorizer.Quota.
func (q quota) Spend(_ context.Context, group *decision.Group, _ string, _ uint64, _ time.Time) (decision.Code, time.Duration) {
	if group.Identity == string(q) {
		return decision.QuotaExceeded, 24 * time.Hour
	}
	return decision.Allowed, 0
}

// Sent implements authorizer.Quota.
func (quota) Sent(string, uint64, time.Time) {}

// groups are equal ones, except for caching and where keys may be, and one that has a public path.
func groups(origins []string) []*syncv1.Group {
	var all []*syncv1.Group
	for name, caching := range map[string]syncv1.Caching{"acme": syncv1.Caching_CACHING_UNSPECIFIED,
		"spent": syncv1.Caching_CACHING_UNSPECIFIED, "embed": syncv1.Caching_CACHING_SHARED, "shared": syncv1.Caching_CACHING_SHARED} {
		all = append(all, &syncv1.Group{
			Caching:   caching,
			AcceptIn:  acceptedBy(name),
			Namespace: "tenants", Name: name, Tier: "Pro", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
			Context: map[string]string{"bucketName": "acme-media"},
			Capabilities: []*syncv1.Capability{{Name: "upload", Routes: []*syncv1.Route{{Methods: []string{"POST"},
				Paths: []string{"/media/upload"}}}}},
			Projects: []*syncv1.Project{{Name: "media", Routes: []*syncv1.Route{{Hosts: []string{"cdn.acme.example"},
				Paths: []string{"/media/**"}}},
				Origins: &syncv1.OriginPolicy{Patterns: origins, AllowMissing: true}}},
		})
	}
	return append(all, &syncv1.Group{ // without a tier and a context, and with a public path
		Namespace: "tenants", Name: "open", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
		Projects: []*syncv1.Project{{Name: "site", Routes: []*syncv1.Route{{Hosts: []string{"open.example"}}}, PublicPaths: []string{"/robots.txt"}}},
	})
}

// acceptedBy returns where the Group accepts keys.
func acceptedBy(name string) []syncv1.KeyLocation {
	if name != "embed" {
		return nil
	}
	return []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_QUERY, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL}
}

// newWorld allows pages of more origins than the usual one.
func newWorld(t *testing.T, origins ...string) *world {
	t.Helper()
	return newWorldOf(t, nil, origins...)
}

// newWorldOf has a content server of its own.
func newWorldOf(t *testing.T, content http.Handler, origins ...string) *world {
	t.Helper()
	log, w := slog.New(slog.DiscardHandler), &world{seen: make(chan http.Header, 1), received: make(chan struct{}, 1)}
	var keys []*syncv1.Key
	for id, text := range map[string]*string{"acme": &w.key, "spent": &w.spent, "paced": &w.paced, "fast": &w.fast, "shared": &w.shared,
		"embed": &w.embed, "retiring": &w.retiring} {
		minted := fixture.Mint(t)
		digest := minted.Digest()
		*text = minted.Reveal()
		key := &syncv1.Key{Id: "id-" + id, Group: "tenants/acme", Projects: []string{"media"},
			Permissions: []string{"read", "upload"}, Versions: []*syncv1.Version{{Digest: digest[:]}}}
		switch id {
		case "embed":
			w.signed, key.Versions[0].UrlSecret = signed(t, w.embed)
			fallthrough
		case "spent", "shared":
			key.Group = "tenants/" + id
		case "retiring":
			w.retires = time.Now().Add(time.Hour).Truncate(time.Second)
			key.Versions[0].RetiresAtMs = w.retires.UnixMilli()
		case "paced":
			key.Rate = &syncv1.RateLimit{PerSecond: 5, Burst: 1000}
		case "fast":
			key.Rate = &syncv1.RateLimit{PerSecond: 2, Burst: 1}
		}
		keys = append(keys, key)
	}
	s := fixture.Store(t, &syncv1.Update{CaughtUp: true, Groups: groups(append(origins, page)), Keys: keys})
	const failures = 100
	limit, now := throttle.New(throttle.Config{Failures: failures, IPv6Prefix: 64}), time.Now()
	for range failures {
		limit.Fail(netip.MustParseAddr(failingClient), now)
	}
	rates := ratelimit.New(func() time.Time { return now })
	rates.Admit(&decision.Group{Identity: "tenants/acme"}, &decision.Key{ID: "id-fast",
		Rate: decision.RateLimit{PerSecond: 2, Burst: 1}}, now)
	signer, _, published := fixture.Signer(t)
	w.published = published
	g := authorizer.New(s, func() time.Time { return now }, log, prometheus.NewRegistry(), authorizer.WithPrincipals(signer),
		authorizer.WithThrottle(limit), authorizer.WithRates(rates), authorizer.WithQuota(quota("tenants/spent")),
		authorizer.WithKeys(credential.New(credential.Config{Parameters: []string{"token"}})))
	trusted := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, clientaddr.HeaderXForwardedFor)
	mux := http.NewServeMux()
	forwardauth.Register(mux, g, trusted)
	if content == nil {
		content = w.contentServer()
	}
	w.keyward, w.content = serve(t, mux), serve(t, content)
	upstream, err := url.Parse("http://" + w.content)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = reverseproxy.New(g, reverseproxy.Config{Upstream: upstream, Clients: trusted}, log)
	return w
}

// signed returns a token for everything that tests request, and the secret that has signed it.
func signed(t *testing.T, key string) (token string, secret []byte) {
	t.Helper()
	secret, err := urltoken.Derive(key)
	if err != nil {
		t.Fatal(err)
	}
	token, err = urltoken.Sign(key, urltoken.Claims{Project: "media", Path: "/media/", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return token, secret
}

func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// outcome is what client and content server see.
type outcome struct {
	status  int
	header  http.Header
	body    []byte
	problem httpapi.Problem
	seen    http.Header // nil if nothing arrived
}

// roundTrip sends a request unchanged.
func (w *world) roundTrip(t *testing.T, address string, e testCase) outcome {
	t.Helper()
	conn := w.send(t, address, e)
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	o, err := w.receive(conn, e)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// send sends a request, and leaves the response to receive.
func (w *world) send(t *testing.T, address string, e testCase) net.Conn {
	t.Helper()
	client, lines := usualClient, ""
	if !e.keepAlive && !slices.ContainsFunc(e.headers, func(line string) bool { return strings.HasPrefix(line, "Connection: ") }) {
		lines = "Connection: close\r\n"
	}
	for _, line := range e.headers {
		if line == "Client: failing" {
			client = failingClient
			continue
		}
		lines += strings.NewReplacer("{key}", w.key, "{spent}", w.spent, "{paced}", w.paced, "{fast}", w.fast, "{shared}",
			w.shared, "{embed}", w.embed, "{retiring}", w.retiring, "{signed}", w.signed).Replace(line) + "\r\n"
	}
	target := "/media/1"
	if e.target != "" {
		target = strings.NewReplacer("{key}", w.key, "{embed}", w.embed, "{signed}", w.signed).Replace(e.target)
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: 5 * time.Second}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	host := "cdn.acme.example"
	if e.hasHost {
		host = e.host
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", e.methodOrGet(), target, host, lines); err != nil {
		_ = conn.Close()
		t.Fatal(err)
	}
	return conn
}

// receive reads one response.
func (w *world) receive(conn net.Conn, e testCase) (outcome, error) {
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: e.methodOrGet()})
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = response.Body.Close() }()
	o := outcome{status: response.StatusCode, header: response.Header}
	if o.body, err = io.ReadAll(response.Body); err != nil {
		return outcome{}, err
	}
	_ = json.Unmarshal(o.body, &o.problem) // other bodies have no code
	select {
	case o.seen = <-w.seen:
	default:
	}
	return o, nil
}

func (e *testCase) methodOrGet() string {
	if e.method == "" {
		return http.MethodGet
	}
	return e.method
}
