package authorizer_test

import (
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
	"github.com/keyward-dev/keyward/test/fixture"
)

// decider returns what decides on a request that has a traceparent. Without decides as if there were no tracing in the program.
func decider(t testing.TB, tracer *tracing.Tracer, without bool) func() {
	t.Helper()
	key := fixture.Mint(t)
	integration := fixture.Authorizer(t, fixture.Update(key), authorizer.WithTracer(tracer)).Integration("test")
	headers := http.Header{"X-Api-Key": {key.Reveal()}, tracing.HeaderParent: {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}}
	ctx := t.Context()
	request := authorizer.Request{Request: httpapi.NewRequest(nil, headers, http.MethodGet, "cdn.acme.example", "/x", "")}
	again := &authorizer.Request{} // is reused, as integrations do
	return func() {
		*again = request
		again.Trace.Headers = headers
		decide := integration.Decide
		if without {
			decide = integration.DecideUntraced
		}
		if result := decide(ctx, again); !result.Allowed() {
			t.Fatal(result.Code)
		}
	}
}

// TestUntracedAllocatesNothing: a decision allocates no more than it does without a traceparent while tracing is off, which is nothing.
func TestUntracedAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, decider(t, nil, false)); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTraced compares decisions without any tracing, not traced, not sampled, and sampled, in the same run.
func BenchmarkTraced(b *testing.B) {
	with := func(sampler trace.Sampler) *tracing.Tracer {
		return tracing.New(tracing.Config{Provider: trace.NewTracerProvider(trace.WithSampler(sampler)), TrustAll: true})
	}
	for _, c := range []struct {
		name    string
		tracer  *tracing.Tracer
		without bool
	}{
		{"without", nil, true}, {"off", nil, false},
		{"not sampled", with(trace.ParentBased(trace.AlwaysSample())), false}, {"sampled", with(trace.AlwaysSample()), false},
	} {
		decide := decider(b, c.tracer, c.without)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide()
			}
		})
	}
}

// BenchmarkUntracedRatio compares tracing that is off with a program that has none, in turns, and by the fastest of many short runs of
// each, because other processes only make runs slower.
func BenchmarkUntracedRatio(b *testing.B) {
	const rounds, batch = 400, 500
	without, off := decider(b, nil, true), decider(b, nil, false)
	fastest := func(decide func(), known time.Duration) time.Duration {
		begin := time.Now()
		for range batch {
			decide()
		}
		return min(known, time.Since(begin))
	}
	for b.Loop() {
		bare, untraced := time.Hour, time.Hour
		for range rounds {
			bare = fastest(without, bare)
			untraced = fastest(off, untraced)
		}
		b.ReportMetric(float64(untraced)/float64(bare), "off/without")
	}
}
