package authorizer

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/internal/throttle"
	"github.com/keyward-dev/keyward/server/decision"
)

// opened is a snapshot in which each host is that of a group, whose paths are all public, and which has limits.
type opened struct{ one }

func (opened) Claiming(host, _ string) (named, others []*decision.Group) {
	route, err := routing.Compile(routing.Route{Hosts: []string{host}})
	if err != nil {
		panic(err)
	}
	all, err := routing.Compile(routing.Public("/**"))
	if err != nil {
		panic(err)
	}
	return []*decision.Group{{
		Identity: "tenants/" + host, State: decision.Active, HasPublic: true,
		Limits:   decision.Limits{Rate: decision.RateLimit{PerSecond: 1, Burst: 1}, RequestQuota: true},
		Projects: []decision.Project{{Name: "web", Routes: []routing.Matcher{route}, Public: []routing.Matcher{all}}},
	}}, nil
}

// uses counts what a Group is charged with, and what is counted of public paths.
type uses struct {
	spent, sent, used int
	refused, public   map[string]int
}

func (u *uses) Spend(context.Context, *decision.Group, string, uint64, time.Time) (decision.Code, time.Duration) {
	u.spent++
	return decision.QuotaExceeded, time.Hour
}

func (u *uses) Sent(string, uint64, time.Time) { u.sent++ }

func (u *uses) Used(string, *decision.Group, *decision.Request, time.Time, bool, netip.Addr) {
	u.used++
}

func (u *uses) Refused(group string, _ decision.Code) { u.refused[group]++ }

func (u *uses) RefusedOrigin(string, *decision.Request) {}

func (u *uses) RefusedKey(string, string, decision.Code, *decision.Request, time.Time) {}

func (u *uses) Public(group string) { u.public[group]++ }

// TestPublicRequestsUseNothing: neither a quota, nor a rate limit of the Group, nor the use of a key. They are counted apart, and a
// flood of them is refused by address, and is no refusal that the Group reads.
func TestPublicRequestsUseNothing(t *testing.T) {
	u := &uses{refused: map[string]int{}, public: map[string]int{}}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	a := New(opened{one{keyformat.Digest{1}}}, func() time.Time { return now }, slog.New(slog.DiscardHandler), prometheus.NewRegistry(),
		WithMeter(u), WithQuota(u), WithRefusals(u), WithThrottle(throttle.New(throttle.Config{Failures: 1, IPv6Prefix: 64})),
		WithPublic(throttle.New(throttle.Config{Failures: 3, IPv6Prefix: 64}), u))
	integration := a.Integration("test")
	ask := func(host, client string) Result {
		request := &Request{Request: decision.Request{Method: "GET", Host: host, Path: "/robots.txt"}}
		if client != "" {
			request.Client = netip.MustParseAddr(client)
		}
		result := integration.Decide(t.Context(), request)
		integration.Sent(result.Charged(), 100)
		return result
	}
	check := func(host, client string, allowed int) {
		t.Helper()
		for i := range allowed {
			if got := ask(host, client); got.Code != decision.Public {
				t.Fatalf("request %d of %q to %s: %v", i+1, client, host, got.Code)
			}
		}
		if got := ask(host, client); got.Code != decision.RateLimited || got.RetryAfter != time.Minute {
			t.Errorf("one more of %q to %s: %v, after %v", client, host, got.Code, got.RetryAfter)
		}
	}
	check("a.example", "192.0.2.1", 3)
	check("b.example", "192.0.2.1", 0) // the address has had its share
	check("b.example", "2001:db8::1", 3)
	check("b.example", "2001:db8::2", 0) // the same /64
	check("a.example", "", 3)
	check("b.example", "", 3) // unknown clients share what is their Group's
	if u.spent+u.sent+u.used != 0 || len(u.refused) != 0 {
		t.Errorf("spent %d, sent %d, used %d, refused %v", u.spent, u.sent, u.used, u.refused)
	}
	if u.public["tenants/a.example"] != 6 || u.public["tenants/b.example"] != 6 {
		t.Errorf("counted %v", u.public)
	}
	if got := a.counted(decision.Public); got != 12 {
		t.Errorf("the metric has %d", got)
	}
	now = now.Add(throttle.Window)
	check("a.example", "192.0.2.1", 3)
}

func TestPublicRequestsWithoutALimit(t *testing.T) {
	a := New(opened{one{keyformat.Digest{1}}}, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for range 2 {
		request := &Request{Request: decision.Request{Method: "GET", Host: "a.example", Path: "/"}}
		if got := a.Integration("test").Decide(t.Context(), request); got.Code != decision.Public {
			t.Fatal(got.Code)
		}
	}
}
