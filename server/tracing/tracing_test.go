package tracing

import (
	"context"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-01"
	passed  = "00-" + traceID + "-b7ad6b7169203331-00"
)

// recorded returns a Tracer with a sampler as programs have it, and what it records.
func recorded(ratio float64, trustAll bool) (*Tracer, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))))
	return New(Config{Provider: provider, Ratio: ratio, TrustAll: trustAll}), recorder
}

// TestParents: a trace is continued if its header is exactly as the specification has it. Anything else begins another.
func TestParents(t *testing.T) {
	for name, c := range map[string]struct {
		headers   http.Header
		continued bool
		state     string
	}{
		"none":                    {http.Header{}, false, ""},
		"one":                     {http.Header{HeaderParent: {parent}}, true, ""},
		"with a state":            {http.Header{HeaderParent: {parent}, HeaderState: {"vendor=value"}}, true, "vendor=value"},
		"two":                     {http.Header{HeaderParent: {parent, parent}}, false, ""},
		"upper case":              {http.Header{HeaderParent: {strings.ToUpper(parent)}}, false, ""},
		"too long":                {http.Header{HeaderParent: {parent + "-x"}}, false, ""},
		"another version, longer": {http.Header{HeaderParent: {"01" + parent[2:] + "-" + strings.Repeat("x", 1<<16)}}, false, ""},
		"the version that is not": {http.Header{HeaderParent: {"ff" + parent[2:]}}, false, ""},
		"no digits":               {http.Header{HeaderParent: {strings.Replace(parent, "a", "g", 1)}}, false, ""},
		"no trace":                {http.Header{HeaderParent: {"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01"}}, false, ""},
		"no span":                 {http.Header{HeaderParent: {"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01"}}, false, ""},
		"a state without it":      {http.Header{HeaderState: {"vendor=value"}}, false, ""},
		"a state that is malformed": {
			http.Header{HeaderParent: {parent}, HeaderState: {"vendor value"}}, true, ""},
		"a state that is too long": {
			http.Header{HeaderParent: {parent}, HeaderState: {"vendor=" + strings.Repeat("x", 600)}}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, recorder := recorded(1, false)
			ctx, span := tracer.Request(t.Context(), "verifyapi", http.MethodGet, Parent{Headers: c.headers, Trusted: true})
			upstream := http.Header{HeaderParent: {"theirs"}, HeaderState: {"theirs=1"}}
			tracer.Upstream(ctx, upstream).End()
			span.End()
			spans := recorder.Ended()
			if len(spans) != 2 {
				t.Fatalf("%d spans", len(spans))
			}
			if got := spans[1].SpanContext().TraceID().String() == traceID; got != c.continued {
				t.Errorf("continued: %v", got)
			}
			if got := spans[1].Parent().SpanID().String() == "b7ad6b7169203331"; got != c.continued {
				t.Errorf("has the parent: %v", got)
			}
			// What the upstream gets is the span of the request to it.
			want := "00-" + spans[1].SpanContext().TraceID().String() + "-" + spans[0].SpanContext().SpanID().String() + "-01"
			if got := upstream.Get(HeaderParent); got != want || upstream.Get(HeaderState) != c.state {
				t.Errorf("the upstream gets %q with the state %q, want %q with %q", got, upstream.Get(HeaderState), want, c.state)
			}
		})
	}
}

// TestStrangersDoNotSample: the wish to be sampled is followed for trusted proxies. Otherwise the ratio decides, whichever id a
// client chooses.
func TestStrangersDoNotSample(t *testing.T) {
	for name, c := range map[string]struct {
		header            string
		ratio             float64
		trusted, trustAll bool
		want              bool
	}{
		"a stranger's, none are sampled":      {parent, 0, false, false, false},
		"a stranger's, all are sampled":       {passed, 1, false, false, true},
		"a trusted one, sampled":              {parent, 0, true, false, true},
		"a trusted one, not sampled":          {passed, 1, true, false, false},
		"anybody's is followed, sampled":      {parent, 0, false, true, true},
		"anybody's is followed, not sampled":  {passed, 1, false, true, false},
		"a stranger's id that ratios prefer":  {"00-" + strings.Repeat("0", 31) + "1-b7ad6b7169203331-01", 0.5, false, false, false},
		"a stranger's id that ratios dislike": {"00-" + strings.Repeat("f", 32) + "-b7ad6b7169203331-00", 0.9, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, recorder := recorded(c.ratio, c.trustAll)
			tracer.draw = func() float64 { return 0.7 }
			_, span := tracer.Request(t.Context(), "reverseproxy", http.MethodGet,
				Parent{Headers: http.Header{HeaderParent: {c.header}}, Trusted: c.trusted})
			span.End()
			if got := len(recorder.Ended()) == 1; got != c.want {
				t.Errorf("sampled: %v", got)
			}
		})
	}
}

// TestOffAllocatesNothing: without a Tracer nothing happens.
func TestOffAllocatesNothing(t *testing.T) {
	tracer := New(Config{})
	if tracer != nil {
		t.Fatal("there is a Tracer")
	}
	headers := http.Header{HeaderParent: {parent}}
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		ctx, span := tracer.Request(ctx, "verifyapi", http.MethodGet, Parent{Headers: headers})
		tracer.Decided(ctx, Outcome{Code: "allowed"})
		upstream := tracer.Upstream(ctx, headers)
		upstream.Respond(http.StatusOK)
		upstream.Fail("x")
		upstream.End()
		span.End()
		if InSpan(ctx) {
			t.Error("there is a span")
		}
	})
	if allocations != 0 || headers.Get(HeaderParent) != parent {
		t.Errorf("%v allocations", allocations)
	}
}

// TestInventedMethods: clients cannot choose values of attributes.
func TestInventedMethods(t *testing.T) {
	tracer, recorder := recorded(1, false)
	_, span := tracer.Request(context.Background(), "verifyapi", "GET-ME-"+strings.Repeat("x", 1000), Parent{})
	span.End()
	for _, a := range recorder.Ended()[0].Attributes() {
		if a.Key == "http.request.method" && a.Value.AsString() != "_OTHER" {
			t.Error(a.Value.AsString())
		}
	}
	if recorder.Ended()[0].SpanKind() != trace.SpanKindServer {
		t.Error(recorder.Ended()[0].SpanKind())
	}
}
