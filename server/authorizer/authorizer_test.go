package authorizer

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/decision"
)

// one is a snapshot of one key, which has that digest.
type one struct{ digest keyformat.Digest }

func (one) Allowing(origin.Origin, func(*decision.Group) bool) (found, tooMany bool) {
	return false, false
}

func (one) Health(time.Time) decision.Health { return decision.Synced }

func (s one) Find(digest keyformat.Digest) (decision.Match, bool) {
	if digest != s.digest {
		return decision.Match{}, false
	}
	return decision.Match{
		Key: decision.Key{ID: "k1", Scope: &decision.Scope{Projects: []string{"default"}, Permissions: []string{"read"}}},
		Group: &decision.Group{Identity: "tenants/acme", State: decision.Active,
			Projects: []decision.Project{{Name: "default", OwnsAll: true, Origins: decision.Origins{AllowMissing: true}}}},
	}, true
}

// counted returns how many decisions of the integration test had the code.
func (a *Authorizer) counted(code decision.Code) uint64 { return a.tallies.of("test").sum(int(code)) }

func TestDecisionsAreCountedAndLogged(t *testing.T) {
	var logs bytes.Buffer
	registry := prometheus.NewRegistry()
	digest := keyformat.DigestOf("some key")
	g := New(one{digest}, time.Now, slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})), registry)
	integration := g.Integration("test")
	request := &Request{Request: decision.Request{
		Credential: decision.Credential{Form: decision.WellFormed, Digest: digest}, Method: "GET", Host: "cdn.acme.com",
		Path: "/secret-in-the-path", RawQuery: "token=secret-in-the-query",
	}}
	if d := integration.Decide(t.Context(), request); !d.Allowed() {
		t.Fatalf("got %v", d.Code)
	}
	request.Credential.Digest = keyformat.Digest{}
	request.Referer = "https://acme.com/?secret-in-the-referer"
	if d := integration.Decide(t.Context(), request); d.Code != decision.KeyUnknown {
		t.Fatalf("got %v", d.Code)
	}
	for code, want := range map[decision.Code]uint64{decision.Allowed: 1, decision.KeyUnknown: 1, decision.KeyRevoked: 0} {
		if got := g.counted(code); got != want {
			t.Errorf("%v is counted %v times", code, got)
		}
	}
	text := logs.String()
	for _, want := range []string{`"integration":"test"`, `"code":"allowed"`, `"project":"default"`, `"group":"tenants/acme"`,
		`"key":"k1"`, `"code":"key_unknown"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "secret-in") {
		t.Errorf("logged: %s", text)
	}
}

// keyed is a snapshot of one key, which a credential is recognized as.
type keyed struct {
	one
	plain keyformat.Digest
}

func (k keyed) Recognize(credential *decision.Credential) {
	if credential.Digest == k.plain {
		credential.Digest = k.digest
	}
}

// TestTextsOfOurFormMayBeImportedByTheirHashes: they are unknown by their plain digest.
func TestTextsOfOurFormMayBeImportedByTheirHashes(t *testing.T) {
	plain := keyformat.DigestOf("minted elsewhere")
	g := New(keyed{one{keyformat.DigestOf("keyed")}, plain}, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for digest, want := range map[keyformat.Digest]decision.Code{plain: decision.Allowed, keyformat.DigestOf("junk"): decision.KeyUnknown} {
		request := &Request{Request: decision.Request{
			Credential: decision.Credential{Form: decision.WellFormed, Digest: digest}, Method: "GET", Host: "cdn.acme.com", Path: "/x",
		}}
		if d := g.Integration("test").Decide(t.Context(), request); d.Code != want {
			t.Errorf("got %v, want %v", d.Code, want)
		}
	}
}

// TestFailuresAreThrottled covers too many failures of one client, a valid key from the same client, failures of others, and
// denials that are not failed attempts.
func TestFailuresAreThrottled(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	good := keyformat.DigestOf("some key")
	g := New(one{good}, func() time.Time { return now }, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
		WithThrottle(throttle.New(throttle.Config{Failures: 2, IPv6Prefix: 64})))
	integration := g.Integration("test")
	for i, step := range []struct {
		client, method, origin string
		good                   bool
		want                   decision.Code
		retryAfter             time.Duration
	}{
		{"192.0.2.1", "GET", "", true, decision.Allowed, 0},
		{"192.0.2.1", "GET", "", false, decision.KeyUnknown, 0},
		{"192.0.2.1", "GET", "https://evil.com", true, decision.OriginDenied, 0},
		{"192.0.2.1", "GET", "", false, decision.TooManyFailures, time.Minute},
		{"192.0.2.1", "GET", "https://evil.com", true, decision.TooManyFailures, time.Minute},
		{"192.0.2.1", "GET", "", true, decision.Allowed, 0},
		{"192.0.2.1", "POST", "", true, decision.PermissionDenied, 0},
		{"192.0.2.2", "GET", "", false, decision.KeyUnknown, 0},
		{"2001:db8::1", "GET", "", false, decision.KeyUnknown, 0},
		{"2001:db8::2", "GET", "", false, decision.KeyUnknown, 0},
		{"2001:db8::3", "GET", "", false, decision.TooManyFailures, time.Minute},
		{"", "GET", "", false, decision.KeyUnknown, 0},
		{"", "GET", "", false, decision.KeyUnknown, 0},
		{"", "GET", "", false, decision.KeyUnknown, 0},
	} {
		request := &Request{Request: decision.Request{Credential: decision.Credential{Form: decision.WellFormed}, Method: step.method,
			Path: "/x", Origin: step.origin}}
		if step.good {
			request.Credential.Digest = good
		}
		if step.client != "" {
			request.Client = netip.MustParseAddr(step.client)
		}
		if got := integration.Decide(t.Context(), request); got.Code != step.want || got.RetryAfter != step.retryAfter {
			t.Errorf("step %d: got %v, retry after %v", i, got.Code, got.RetryAfter)
		}
	}
	for outcome, want := range map[string]float64{"counted": 5, "throttled": 3, "unattributed": 3} {
		if got := testutil.ToFloat64(g.attempts.WithLabelValues("test", outcome)); got != want {
			t.Errorf("%v attempts %s, want %v", got, outcome, want)
		}
	}
	if got := g.counted(decision.TooManyFailures); got != 3 {
		t.Errorf("too_many_failures is counted %v times", got)
	}
}

// everybody is a snapshot of no keys, and of a group that allows every origin and owns nothing.
type everybody struct {
	one

	searches int
}

func (e *everybody) Find(keyformat.Digest) (decision.Match, bool) { return decision.Match{}, false }

func (e *everybody) Allowing(_ origin.Origin, matches func(*decision.Group) bool) (found, tooMany bool) {
	e.searches++
	return matches(&decision.Group{}), false
}

// TestThrottledClientsCauseNoSearch: for a client that is throttled, groups are not searched for one that owns the request.
// The denial may be read if any group allows the origin.
func TestThrottledClientsCauseNoSearch(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	snapshot := &everybody{}
	g := New(snapshot, func() time.Time { return now }, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
		WithThrottle(throttle.New(throttle.Config{Failures: 1, IPv6Prefix: 64})))
	integration := g.Integration("test")
	for i, want := range []struct {
		code     decision.Code
		readable bool // by a group that was not checked for whether it owns the request
	}{{decision.KeyMissing, false}, {decision.TooManyFailures, true}} {
		request := &Request{Request: decision.Request{Method: "GET", Path: "/x", Origin: "https://acme.com"},
			Client: netip.MustParseAddr("192.0.2.1")}
		if got := integration.Decide(t.Context(), request); got.Code != want.code || got.OriginAllowed != want.readable ||
			snapshot.searches != i+1 {
			t.Errorf("%d: %v, readable %v, %d searches", i, got.Code, got.OriginAllowed, snapshot.searches)
		}
	}
}

// TestReadingOfPathsDecidesOwnership: how content servers interpret paths decides which project owns a path.
func TestReadingOfPathsDecidesOwnership(t *testing.T) {
	digest := keyformat.DigestOf("some key")
	secret, err := routing.Compile(routing.Route{Paths: []string{"/Secret/**"}})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := &compiled{one: one{digest}}
	snapshot.match, _ = snapshot.one.Find(digest)
	snapshot.match.Group.Projects = append(snapshot.match.Group.Projects, decision.Project{Name: "secret", Routes: []routing.Matcher{secret}})
	for _, c := range []struct {
		reading routing.Reading
		path    string
		want    decision.Code
	}{
		{routing.Reading{}, "/a;x/b.", decision.PathAmbiguous}, {routing.Reading{Parameters: true}, "/a;x/b.", decision.Allowed},
		{routing.Reading{}, "/Secret/x", decision.ProjectDenied}, {routing.Reading{}, "/SECRET/x", decision.Allowed},
		{routing.Reading{IgnoreCase: true}, "/SECRET/x", decision.ProjectDenied},
		{routing.Reading{IgnoreCase: true}, "/%73ecret/x", decision.ProjectDenied},
		{routing.Reading{IgnoreCase: true}, "/Other/x", decision.Allowed},
		{routing.Reading{}, "/SECRET~1/x", decision.Allowed}, {routing.Reading{IgnoreCase: true}, "/SECRET~1/x", decision.PathAmbiguous},
	} {
		integration := New(snapshot, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
			WithReading(c.reading)).Integration("test")
		request := &Request{Request: decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: digest},
			Method: "GET", Path: c.path}}
		if got := integration.Decide(t.Context(), request); got.Code != c.want {
			t.Errorf("%+v of %s: %v, want %v", c.reading, c.path, got.Code, c.want)
		}
	}
}
