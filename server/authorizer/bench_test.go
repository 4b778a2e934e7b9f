package authorizer

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/usage"
)

// compiled is a snapshot of one key of a group with a quota, as the store holds it.
type compiled struct {
	one

	match decision.Match
}

func (c *compiled) Find(digest keyformat.Digest) (decision.Match, bool) {
	return c.match, digest == c.digest
}

// BenchmarkDecide measures a decision with all that is around it, with and without a quota and rate limits. A limiter costs
// nothing if neither the group nor the key has a rate limit.
func BenchmarkDecide(b *testing.B) {
	digest := keyformat.DigestOf("some key")
	snapshot := &compiled{one: one{digest}}
	snapshot.match, _ = snapshot.one.Find(digest)
	snapshot.match.Group.Limits = decision.Limits{RequestQuota: true}
	quotas := quota.New(prometheus.NewRegistry())
	now := time.Now()
	quotas.Sent("tenants/acme", 0, now)
	quotas.Allow(&syncv1.Allowances{NowMs: now.UnixMilli(), Groups: []*syncv1.Allowance{
		{Group: "tenants/acme", Period: now.UTC().Format("2006-01"), Leased: 1 << 40, Sequence: 1},
	}}, now)
	fast := decision.RateLimit{PerSecond: 1_000_000, Burst: 1_000_000}
	requests := 0
	clock := func() time.Time { // the benchmark must not reach the rate limit, however fast it is
		requests++
		return time.Now().Add(time.Duration(requests) * time.Microsecond)
	}
	for _, c := range []struct {
		name       string
		group, key decision.RateLimit
		options    []Option
	}{
		{"without", decision.RateLimit{}, decision.RateLimit{}, []Option{WithMeter(usage.New())}},
		{"rates, none set", decision.RateLimit{}, decision.RateLimit{}, []Option{WithMeter(usage.New()), WithRates(ratelimit.New(time.Now))}},
		{"rate of the group", fast, decision.RateLimit{}, []Option{WithMeter(usage.New()), WithRates(ratelimit.New(time.Now))}},
		{"rates of both", fast, fast, []Option{WithMeter(usage.New()), WithRates(ratelimit.New(time.Now))}},
		{"quota", decision.RateLimit{}, decision.RateLimit{}, []Option{WithMeter(usage.New()), WithQuota(quotas)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			snapshot.match.Group.Limits.Rate, snapshot.match.Key.Rate = c.group, c.key
			integration := New(snapshot, clock, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), c.options...).Integration("test")
			request := &Request{Request: decision.Request{
				Credential: decision.Credential{Form: decision.WellFormed, Digest: digest},
				Method:     "GET", Host: "cdn.acme.com", Path: "/api/scenes/mkt-1",
			}}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if result := integration.Decide(ctx, request); !result.Allowed() {
					b.Fatal(result.Code)
				}
			}
		})
	}
}
