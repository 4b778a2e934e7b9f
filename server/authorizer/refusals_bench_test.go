package authorizer

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/usage"
)

// withoutKeys counts refusals, but not by key.
type withoutKeys struct{ *usage.Recorder }

func (withoutKeys) RefusedKey(string, string, decision.Code, *decision.Request, time.Time) {}

// BenchmarkRefusals measures a decision on a real store, with and without refusals counted by key: an allowed request costs the same, and one that is
// refused a little more, also on all processors at once.
func BenchmarkRefusals(b *testing.B) {
	digest := keyformat.DigestOf("some key")
	snapshot := stored(b, digest)
	for _, origin := range []string{"https://shop.acme.com", "https://evil.example"} {
		for _, by := range []string{"group", "key"} {
			recorder := usage.New()
			var refusals Refusals = recorder
			if by == "group" {
				refusals = withoutKeys{recorder}
			}
			integration := New(snapshot, time.Now, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), WithMeter(recorder), WithRefusals(refusals)).
				Integration("test")
			ctx := b.Context()
			decide := func() decision.Code {
				return integration.Decide(ctx, &Request{Request: decision.Request{
					Credential: decision.Credential{Form: decision.WellFormed, Digest: digest},
					Method:     "GET", Host: "cdn.acme.com", Path: "/api/scenes/mkt-1", Origin: origin,
				}}).Code
			}
			name := fmt.Sprintf("%s/by %s", decide(), by)
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					decide()
				}
			})
			b.Run(name+", parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(loop *testing.PB) {
					for loop.Next() {
						decide()
					}
				})
			})
		}
	}
}
