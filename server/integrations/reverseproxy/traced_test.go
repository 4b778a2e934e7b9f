package reverseproxy

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/keyward-dev/keyward/internal/clientaddr"
	"github.com/keyward-dev/keyward/server/authorizer"
	"github.com/keyward-dev/keyward/server/tracing"
	"github.com/keyward-dev/keyward/test/fixture"
)

// tracedProxy returns a proxy that samples nothing that begins here, a request for it that wants to be sampled, and its spans.
func tracedProxy(t *testing.T, upstream string, trusted ...netip.Prefix) (http.Handler, *http.Request, *tracetest.SpanRecorder) {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	recorder := tracetest.NewSpanRecorder()
	tracer := tracing.New(tracing.Config{Provider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))})
	key := fixture.Mint(t)
	h := New(fixture.Authorizer(t, fixture.Update(key), authorizer.WithTracer(tracer)),
		Config{Upstream: target, Clients: clientaddr.New(trusted, clientaddr.HeaderXForwardedFor)}, slog.New(slog.DiscardHandler))
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://cdn.acme.example/x", http.NoBody)
	request.RemoteAddr = "192.0.2.1:4711"
	request.Header.Set("X-Api-Key", key.Reveal())
	request.Header.Set(tracing.HeaderParent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return h, request, recorder
}

// TestFailureIsTraced: both spans say that the upstream did not respond.
func TestFailureIsTraced(t *testing.T) {
	h, request, recorder := tracedProxy(t, "http://127.0.0.1:1", netip.MustParsePrefix("192.0.2.0/24"))
	response := httptest.NewRecorder()
	h.ServeHTTP(response, request)
	spans := recorder.Ended()
	if response.Code != http.StatusBadGateway || len(spans) != 2 {
		t.Fatalf("status %d, %d spans", response.Code, len(spans))
	}
	for _, span := range spans {
		if span.Status().Code != codes.Error {
			t.Errorf("%s: %v", span.Name(), span.Status())
		}
	}
}

// TestClientsDoNotSample: a client that is not a trusted proxy has nothing sampled. The upstream can see that, too.
func TestClientsDoNotSample(t *testing.T) {
	passed := ""
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		passed = r.Header.Get(tracing.HeaderParent)
	}))
	defer upstream.Close()
	h, request, recorder := tracedProxy(t, upstream.URL)
	h.ServeHTTP(httptest.NewRecorder(), request)
	if n := len(recorder.Ended()); n != 0 {
		t.Errorf("%d spans", n)
	}
	if len(passed) != 55 || passed[:36] != "00-0af7651916cd43dd8448eb211c80319c-" || passed[53:] != "00" {
		t.Errorf("the upstream got %q", passed)
	}
}
