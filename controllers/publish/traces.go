package publish

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// A traced change has a span, from when the manager has seen it, which is also when it is published, until it is in force on all
// validation servers. Each acknowledgement is an event in it. If the record changes again meanwhile, the span ends, and that of
// the next change is linked to it.

// TraceTo sends spans of changes to the provider, or none if it is nil. It is called before the Hub is used.
func (h *Hub) TraceTo(provider trace.TracerProvider) {
	if provider != nil {
		h.tracer = provider.Tracer("github.com/keyward-dev/keyward/controllers/publish")
	}
}

// beginTrace begins the span of a change that is published now. Earlier is the one that it supersedes, or nil.
func (h *Hub) beginTrace(c, earlier *change) {
	if h.tracer == nil {
		return
	}
	kind := "ApiKey"
	if c.Kind == KindGroup {
		kind = "Group"
	}
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithTimestamp(c.at), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			attribute.String("keyward.kind", kind), attribute.String("keyward.group", c.Group),
			attribute.String("k8s.namespace.name", c.Object.Namespace), attribute.String("keyward.name", c.Object.Name),
			attribute.Int64("keyward.revision", int64(c.revision))), //nolint:gosec // it counts changes
	}
	if earlier != nil && earlier.span != nil {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: earlier.span.SpanContext()}))
	}
	_, c.span = h.tracer.Start(context.Background(), "enforce "+kind, options...)
}

// traceAck adds an event to the changes that a server has acknowledged. An acknowledgement covers all revisions up to it.
func (h *Hub) traceAck(s *Subscription, after, upTo uint64) {
	if h.tracer == nil {
		return
	}
	for _, c := range h.tracking.open {
		if c.span != nil && !c.done && c.revision > after && c.revision <= upTo && s.has(c.Group) {
			c.span.AddEvent("acknowledged", trace.WithTimestamp(h.clock.Now()),
				trace.WithAttributes(attribute.String("keyward.server", s.server.Instance)))
		}
	}
}

// superseded ends the span of a change that no longer matters.
func (c *change) superseded() {
	if c.span != nil {
		c.span.SetAttributes(attribute.Bool("keyward.superseded", true))
		c.span.End()
	}
}

// endTrace ends the span of a change that is in force, or no longer waited for.
func (c *change) endTrace(now time.Time, e Enforcement) {
	if c.span == nil {
		return
	}
	c.span.SetAttributes(attribute.Int("keyward.servers", e.Servers), attribute.Int("keyward.acknowledged", e.Acknowledged))
	if len(e.Expired) > 0 {
		c.span.SetAttributes(attribute.StringSlice("keyward.disconnected", e.Expired[:min(len(e.Expired), maxTraced)]))
		c.span.SetStatus(codes.Error, "not in force on every server")
	}
	c.span.End(trace.WithTimestamp(now))
}

// maxTraced is how many servers a span names at most.
const maxTraced = 10
