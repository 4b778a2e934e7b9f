package authorizer_test

import (
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
	"github.com/keyward-dev/keyward/test/fixture"
)

// decider returns what decides on a request that has a traceparent.
func decider(t testing.TB, tracer *tracing.Tracer) func() {
	t.Helper()
	key := fixture.Mint(t)
	integration := fixture.Authorizer(t, fixture.Update(key), authorizer.WithTracer(tracer)).Integration("test")
	headers := http.Header{"X-Api-Key": {key.Reveal()}, tracing.HeaderParent: {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}}
	ctx := t.Context()
	request := authorizer.Request{Request: httpapi.NewRequest(headers, http.MethodGet, "cdn.acme.example", "/x", "")}
	return func() {
		again := request
		again.Trace.Headers = headers
		if result := integration.Decide(ctx, &again); !result.Allowed() {
			t.Fatal(result.Code)
		}
	}
}

// TestUntracedAllocatesNothing: a decision allocates no more than it does without a traceparent while tracing is off, which is nothing.
func TestUntracedAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, decider(t, nil)); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTraced compares decisions that are not traced, not sampled, and sampled, in the same run.
func BenchmarkTraced(b *testing.B) {
	for name, tracer := range map[string]*tracing.Tracer{
		"off":         nil,
		"not sampled": tracing.New(tracing.Config{Provider: trace.NewTracerProvider(trace.WithSampler(trace.ParentBased(trace.AlwaysSample()))), TrustAll: true}),
		"sampled":     tracing.New(tracing.Config{Provider: trace.NewTracerProvider(trace.WithSampler(trace.AlwaysSample()))}),
	} {
		decide := decider(b, tracer)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide()
			}
		})
	}
}
