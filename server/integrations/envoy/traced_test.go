package envoy

import (
	"net/http"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/httpapi"
	"github.com/keyward-dev/keyward/server/tracing"
	"github.com/keyward-dev/keyward/test/fixture"
)

// TestChecksAreTraced: the trace in the headers that Envoy reports is continued.
func TestChecksAreTraced(t *testing.T) {
	for _, name := range []string{tracing.HeaderParent, tracing.HeaderState} {
		if canonical, ok := new(checkRequest).relevantHeader(name); canonical != name || !ok {
			t.Errorf("%s is not read", name)
		}
	}
	recorder := tracetest.NewSpanRecorder()
	tracer := tracing.New(tracing.Config{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)), Ratio: 1})
	key := fixture.Mint(t)
	auth := fixture.Authorizer(t, fixture.Update(key), authorizer.WithTracer(tracer))
	s := newServer(auth, clientaddr.New(nil, clientaddr.HeaderXForwardedFor), httpapi.Stripping{})
	q := newCheckRequest()
	defer q.release()
	q.method, q.host, q.target = http.MethodGet, "cdn.acme.example", "/x"
	q.Add("X-Api-Key", key.Reveal())
	q.Add(tracing.HeaderParent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	s.respond(t.Context(), q)
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Name() != "authorize extauthz" ||
		spans[0].SpanContext().TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("%v", spans)
	}
}
