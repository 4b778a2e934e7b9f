package authorizer

import (
	"context"
	"net/http"

	"github.com/keyward-dev/keyward/server/tracing"
)

// Traced reports whether requests are traced.
func (i *Integration) Traced() bool { return i.authorizer.tracer != nil }

// Trace begins the span of a request for an integration that does more than to decide, and has the context with it passed to
// Decide. Without it Decide makes a span of its own.
func (i *Integration) Trace(ctx context.Context, method string, parent tracing.Parent) (context.Context, tracing.Span) {
	return i.authorizer.tracer.Request(ctx, i.name, method, parent)
}

// TraceUpstream begins the span of the request to the upstream, and puts it into the headers.
func (i *Integration) TraceUpstream(ctx context.Context, headers http.Header) tracing.Span {
	return i.authorizer.tracer.Upstream(ctx, headers)
}

// decideTraced decides the request, and records the outcome in its span.
func (i *Integration) decideTraced(ctx context.Context, request *Request, result *Result) {
	tracer := i.authorizer.tracer
	if !tracing.InSpan(ctx) {
		var span tracing.Span
		ctx, span = tracer.Request(ctx, i.name, request.Method, request.Trace)
		defer span.End()
	}
	i.decide(ctx, request, result)
	outcome := tracing.Outcome{Code: result.Code.String(), Status: result.Code.Status()}
	if result.Group != nil {
		outcome.Group, outcome.KeyID = result.Group.Identity, result.Key.ID
	}
	if result.Project != nil {
		outcome.Project = result.Project.Name
	}
	tracer.Decided(ctx, outcome)
}
