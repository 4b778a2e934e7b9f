package authorizer

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
)

// observer is notified of everything that an Authorizer reports to others.
type observer struct {
	code               decision.Code
	spent, used, bytes int
	cost               uint64
	recorded           decision.Code
	refused            []decision.Code
	origins            []string
	keys               []refusedKey
}

type refusedKey struct {
	group, id, origin string
	code              decision.Code
}

func (a *observer) Refused(group string, code decision.Code) {
	if group != "" {
		a.refused = append(a.refused, code)
	}
}

func (a *observer) RefusedOrigin(_ string, request *decision.Request) {
	a.origins = append(a.origins, request.Origin)
}

func (a *observer) RefusedKey(group, id string, why decision.Code, request *decision.Request, _ time.Time) {
	a.keys = append(a.keys, refusedKey{group, id, request.Origin, why})
}

func (a *observer) Spend(_ context.Context, _ *decision.Group, _ string, cost uint64, _ time.Time) (decision.Code, time.Duration) {
	a.spent++
	a.cost += cost
	return a.code, time.Hour
}

func (a *observer) Sent(_ string, bytes uint64, _ time.Time) { a.bytes += int(bytes) }

func (a *observer) Used(string, *decision.Group, *decision.Request, time.Time, bool, netip.Addr) {
	a.used++
}

func (a *observer) Record(_ string, _ time.Time, _ *Request, result *Result) {
	a.recorded = result.Code
}

// TestQuotaComesLast: the quota is consulted only about requests that are allowed otherwise. A request that the quota denies
// is neither a use of a key nor a failed attempt. It counts as a refusal of the group, and one without a known key does not.
func TestQuotaComesLast(t *testing.T) {
	good := keyformat.DigestOf("some key")
	for _, c := range []struct {
		name        string
		digest      keyformat.Digest
		quota, want decision.Code
		spent, used int
	}{
		{"allowed", good, decision.Allowed, decision.Allowed, 3, 3},
		{"exceeded", good, decision.QuotaExceeded, decision.QuotaExceeded, 3, 0},
		{"unavailable", good, decision.QuotaUnavailable, decision.QuotaUnavailable, 3, 0},
		{"denied otherwise", keyformat.Digest{}, decision.QuotaExceeded, decision.TooManyFailures, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &observer{code: c.quota}
			g := New(one{good}, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
				WithQuota(a), WithMeter(a), WithRefusals(a), WithRecorder(a), WithThrottle(throttle.New(throttle.Config{Failures: 1, IPv6Prefix: 64})))
			integration := g.Integration("test")
			var result Result
			for range 3 {
				result = integration.Decide(t.Context(), &Request{
					Request: decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: c.digest}, Method: "GET", Path: "/x"},
					Client:  netip.MustParseAddr("192.0.2.1"),
				})
			}
			if refused := c.spent - c.used; len(a.refused) != refused || refused > 0 && a.refused[0] != c.want {
				t.Errorf("%v count as refused", a.refused)
			}
			if result.Code != c.want || a.recorded != c.want || a.spent != c.spent || a.used != c.used {
				t.Errorf("%v, recorded %v, spent %d times, used %d times", result.Code, a.recorded, a.spent, a.used)
			}
			if c.want == decision.QuotaExceeded && result.RetryAfter != time.Hour {
				t.Errorf("retry after %v", result.RetryAfter)
			}
		})
	}
}

// TestOriginsOfRefusedRequests: the origin counts of a request that is refused for it, with a known key.
func TestOriginsOfRefusedRequests(t *testing.T) {
	good := keyformat.DigestOf("some key")
	a := &observer{}
	integration := New(one{good}, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), WithRefusals(a)).Integration("test")
	for _, request := range []decision.Request{
		{Credential: decision.Credential{Form: decision.WellFormed, Digest: good}, Origin: "https://evil.example"},
		{Credential: decision.Credential{Form: decision.WellFormed, Digest: good}},
		{Credential: decision.Credential{Form: decision.WellFormed}, Origin: "https://unknown.example"},
	} {
		request.Method, request.Path = "GET", "/x"
		integration.Decide(t.Context(), &Request{Request: request, Client: netip.MustParseAddr("192.0.2.1")})
	}
	if len(a.origins) != 1 || a.origins[0] != "https://evil.example" || a.refused[0] != decision.OriginDenied {
		t.Errorf("%q count, of %v", a.origins, a.refused)
	}
}

// TestRefusedKeys: a request counts by its key, as what was wrong with it: also when the client reads only that it failed too often. A request that is
// allowed, or has no known key, does not.
func TestRefusedKeys(t *testing.T) {
	good := keyformat.DigestOf("some key")
	a := &observer{}
	integration := New(one{good}, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), WithRefusals(a),
		WithThrottle(throttle.New(throttle.Config{Failures: 1, IPv6Prefix: 64}))).Integration("test")
	known := decision.Credential{Form: decision.WellFormed, Digest: good}
	answered := map[decision.Code]int{}
	for _, request := range []decision.Request{
		{Credential: known},
		{Credential: decision.Credential{Form: decision.WellFormed}, Origin: "https://unknown.example"},
		{Credential: decision.Credential{Form: decision.Malformed}},
		{},
		{Credential: known, Origin: "https://evil.example"},
		{Credential: known, Origin: "https://evil.example", PreflightMethod: "GET"},
		{Credential: known, Origin: "https://evil.example"},
	} {
		request.Method, request.Path = "GET", "/x"
		answered[integration.Decide(t.Context(), &Request{Request: request, Client: netip.MustParseAddr("192.0.2.1")}).Code]++
	}
	if answered[decision.Allowed] != 1 || answered[decision.TooManyFailures] == 0 {
		t.Fatalf("answered %v", answered)
	}
	match, _ := one{good}.Find(good)
	want := refusedKey{match.Group.Identity, match.Key.ID, "https://evil.example", decision.OriginDenied}
	if !slices.Equal(a.keys, []refusedKey{want, want}) {
		t.Errorf("%+v", a.keys)
	}
}

// paced is a snapshot of one key that has a rate limit.
type paced struct{ one }

func (p paced) Find(digest keyformat.Digest) (decision.Match, bool) {
	match, ok := p.one.Find(digest)
	match.Key.Rate = decision.RateLimit{PerSecond: 1, Burst: 2}
	return match, ok
}

// TestRateComesBeforeQuota: a request that a rate limit denies spends nothing of a quota, and is neither a use of a key nor a
// failed attempt. A request that the quota denies has passed the limiter.
func TestRateComesBeforeQuota(t *testing.T) {
	good := keyformat.DigestOf("some key")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, quota := range []decision.Code{decision.Allowed, decision.QuotaExceeded} {
		a := &observer{code: quota}
		clock := func() time.Time { return now }
		g := New(paced{one{good}}, clock, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
			WithRates(ratelimit.New(clock)), WithQuota(a), WithRecorder(a), WithThrottle(throttle.New(throttle.Config{Failures: 1, IPv6Prefix: 64})))
		integration := g.Integration("test")
		for i, want := range []struct {
			digest keyformat.Digest
			method string
			code   decision.Code
			spent  int
			left   uint32
			wait   time.Duration
		}{
			{keyformat.Digest{}, "GET", decision.KeyUnknown, 0, 0, 0},
			{good, "POST", decision.PermissionDenied, 0, 0, 0},
			{good, "GET", quota, 1, 1, 0},
			{good, "GET", quota, 2, 0, 0},
			{good, "GET", decision.RateLimited, 2, 0, time.Second},
			{good, "GET", decision.RateLimited, 2, 0, time.Second},
			{good, "POST", decision.PermissionDenied, 2, 0, 0},
		} {
			result := integration.Decide(t.Context(), &Request{
				Request: decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: want.digest},
					Method: want.method, Path: "/x"},
				Client: netip.MustParseAddr("192.0.2.1"),
			})
			if result.Code == quota {
				result.RetryAfter -= time.Hour // which the quota returned
			}
			if result.Code != want.code || a.recorded != want.code || a.spent != want.spent || result.Rates.Key.Left != want.left ||
				result.RetryAfter != want.wait {
				t.Errorf("step %d: %v after %v, spent %d times, %+v", i, result.Code, result.RetryAfter, a.spent, result.Rates)
			}
		}
	}
}
