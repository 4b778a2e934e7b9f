package authorizer

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store"
	"github.com/keyward-dev/keyward/server/usage"
)

// stored is a store with one key of a group with a quota, and an allowlist.
func stored(b *testing.B, digest keyformat.Digest) *store.Store {
	b.Helper()
	s, err := store.Open(store.Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	err = s.Apply(&syncv1.Update{
		Revision: 1, CaughtUp: true,
		Groups: []*syncv1.Group{{
			Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE, Limits: &syncv1.Limits{RequestQuota: true},
			Projects: []*syncv1.Project{{Name: "marketing",
				Routes:  []*syncv1.Route{{Paths: []string{"/api/scenes/mkt-*"}}},
				Origins: &syncv1.OriginPolicy{Patterns: []string{"https://shop.acme.com"}, AllowMissing: true},
			}},
		}},
		Keys: []*syncv1.Key{{Id: "k0123456789abcdef", Group: "tenants/acme", Projects: []string{"marketing"}, Permissions: []string{"read"},
			Versions: []*syncv1.Version{{Digest: digest[:]}}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkUsage measures a decision on a real store, with and without counting the use of keys and origins, and a quota.
func BenchmarkUsage(b *testing.B) {
	digest := keyformat.DigestOf("some key")
	snapshot := stored(b, digest)
	quotas := quota.New(prometheus.NewRegistry())
	now := time.Now()
	quotas.Sent("tenants/acme", 0, now)
	quotas.Allow(&syncv1.Allowances{NowMs: now.UnixMilli(), Groups: []*syncv1.Allowance{
		{Group: "tenants/acme", Period: now.UTC().Format("2006-01"), Leased: 1 << 40, Sequence: 1},
	}}, now)
	for _, c := range []struct {
		name, origin string
		options      []Option
	}{
		{"bare", "", nil},
		{"usage", "", []Option{WithMeter(usage.New())}},
		{"usage and quota", "", []Option{WithMeter(usage.New()), WithQuota(quotas)}},
		{"origin, bare", "https://shop.acme.com", nil},
		{"origin, usage", "https://shop.acme.com", []Option{WithMeter(usage.New())}},
		{"origin, usage and quota", "https://shop.acme.com", []Option{WithMeter(usage.New()), WithQuota(quotas)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			integration := New(snapshot, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), c.options...).Integration("test")
			request := &Request{Request: decision.Request{
				Credential: decision.Credential{Form: decision.WellFormed, Digest: digest},
				Method:     "GET", Host: "cdn.acme.com", Path: "/api/scenes/mkt-1", Origin: c.origin,
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
