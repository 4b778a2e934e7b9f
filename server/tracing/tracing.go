// Package tracing makes a span of each request that is decided on, and continues the trace that the request belongs to (W3C Trace
// Context). Without a Tracer nothing is read, made or allocated. The spans have no key, path or query.
package tracing

import (
	"context"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The headers of W3C Trace Context, in their canonical form.
const (
	HeaderParent = "Traceparent"
	HeaderState  = "Tracestate"
)

// The specification gives a traceparent of the only version so far 55 bytes, and lets a tracestate be cut beyond 512.
const (
	parentLength = 55
	maxState     = 512
)

// Tracer begins spans. A nil Tracer begins none.
type Tracer struct {
	tracer   trace.Tracer
	ratio    float64
	trustAll bool
	draw     func() float64 // from 0 to 1
}

// Config is where spans go, and which.
type Config struct {
	// Provider samples traces that begin here, and those that are continued as their parent was. Without it nothing is traced.
	Provider trace.TracerProvider
	// Ratio is how many of the traces that clients have begun are sampled, from 0 to 1.
	Ratio float64
	// TrustAll follows the wish of any parent to be sampled.
	TrustAll bool
}

// New returns a Tracer, or nil if nothing is to be traced.
func New(config Config) *Tracer {
	if config.Provider == nil {
		return nil
	}
	return &Tracer{
		tracer: config.Provider.Tracer("github.com/keyward-dev/keyward/server"),
		ratio:  config.Ratio, trustAll: config.TrustAll, draw: rand.Float64,
	}
}

// Parent is the trace that a request continues.
type Parent struct {
	// Headers of the request, of which Traceparent and Tracestate are read.
	Headers http.Header
	// Trusted reports whether the request comes from a trusted proxy.
	Trusted bool
}

// Span is the span of a request. The zero Span is none.
type Span struct{ span trace.Span }

// InSpan reports whether the context has a span that began here.
func InSpan(ctx context.Context) bool {
	context := trace.SpanContextFromContext(ctx)
	return context.IsValid() && !context.IsRemote()
}

// Request begins the span of a request to an integration, and returns a context with it. It continues the trace of the parent.
// If its sender is not trusted, its wish to have the trace sampled is not followed, because anybody could fill the store of traces:
// the trace is sampled as if it began here.
func (t *Tracer) Request(ctx context.Context, integration, method string, from Parent) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	if parent := parentIn(from.Headers); parent.IsValid() {
		if !from.Trusted && !t.trustAll {
			parent = parent.WithTraceFlags(parent.TraceFlags().WithSampled(t.draw() < t.ratio))
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	ctx, span := t.tracer.Start(ctx, "authorize "+integration, trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() { // most are not: their attributes would be made for nothing
		span.SetAttributes(attribute.String("keyward.integration", integration), attribute.String("http.request.method", known(method)))
	}
	return ctx, Span{span}
}

// parentIn returns the parent in the headers, or none if it is not exactly as W3C Trace Context has it. A state that is too
// long, or malformed, is dropped.
func parentIn(headers http.Header) trace.SpanContext {
	lines := headers[HeaderParent]
	if len(lines) != 1 || len(lines[0]) != parentLength {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": lines[0]}
	if states := headers[HeaderState]; len(states) == 1 && len(states[0]) <= maxState {
		carrier["tracestate"] = states[0]
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// known returns the method, or _OTHER for one that clients have made up.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
		http.MethodConnect, http.MethodTrace:
		return method
	default:
		return "_OTHER"
	}
}

// Outcome is what is decided.
type Outcome struct {
	Code   string
	Status int
	// Group, Project and KeyID are empty if they are not known.
	Group, Project, KeyID string
}

// Decided records the outcome in the span of the context.
func (t *Tracer) Decided(ctx context.Context, o Outcome) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("keyward.code", o.Code), attribute.Int("http.response.status_code", o.Status))
	for _, value := range []attribute.KeyValue{
		attribute.String("keyward.group", o.Group), attribute.String("keyward.project", o.Project), attribute.String("keyward.key_id", o.KeyID),
	} {
		if value.Value.AsString() != "" {
			span.SetAttributes(value)
		}
	}
	if o.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, o.Code)
	}
}

// Upstream begins the span of the request to the upstream, and puts it into the headers, in place of what the client sent.
func (t *Tracer) Upstream(ctx context.Context, headers http.Header) Span {
	if t == nil {
		return Span{}
	}
	ctx, span := t.tracer.Start(ctx, "upstream", trace.WithSpanKind(trace.SpanKindClient))
	headers.Del(HeaderParent)
	headers.Del(HeaderState)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(headers))
	return Span{span}
}

// Respond records the status of the response.
func (s Span) Respond(status int) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		s.span.SetStatus(codes.Error, http.StatusText(status))
	}
}

// Fail records that there was no response.
func (s Span) Fail(why string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// End ends the span unless it has ended.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}
