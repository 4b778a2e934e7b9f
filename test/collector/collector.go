// Package collector is an OpenTelemetry collector for tests: it receives traces over OTLP, by gRPC and by HTTP.
package collector

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Collector has the spans that it received.
type Collector struct {
	coltracepb.UnimplementedTraceServiceServer

	// HTTP and GRPC are URLs to export to.
	HTTP, GRPC string

	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
	headers  http.Header
}

// Start starts a collector, which the test stops.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.receive)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	c.HTTP = web.URL
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	c.GRPC = "http://" + listener.Addr().String()
	return c
}

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := &coltracepb.ExportTraceServiceRequest{}
	if err != nil || proto.Unmarshal(body, request) != nil {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.headers = r.Header
	c.mu.Unlock()
	_, _ = c.Export(r.Context(), request)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Export implements TraceServiceServer.
func (c *Collector) Export(_ context.Context, r *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.GetResourceSpans() {
		c.resource = texts(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// Spans returns what was received so far.
func (c *Collector) Spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Resource returns what the last spans say about the program.
func (c *Collector) Resource() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource
}

// Headers returns the headers of the last request over HTTP.
func (c *Collector) Headers() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers
}

// Await returns the spans once there is one for which the condition holds.
func (c *Collector) Await(t testing.TB, is func(*tracepb.Span) bool) []*tracepb.Span {
	t.Helper()
	for {
		spans := c.Spans()
		if slices.ContainsFunc(spans, is) {
			return spans
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("the span did not arrive, but %v", spans)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Attributes returns the attributes of a span as texts.
func Attributes(span *tracepb.Span) map[string]string { return texts(span.GetAttributes()) }

func texts(attributes []*commonpb.KeyValue) map[string]string {
	values := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			values[a.GetKey()] = v.StringValue
		default:
			values[a.GetKey()] = a.GetValue().String()
		}
	}
	return values
}
