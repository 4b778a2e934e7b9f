package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/keyward-dev/keyward/test/collector"
	"github.com/keyward-dev/keyward/test/fakemanager"
	"github.com/keyward-dev/keyward/test/fixture"
)

const (
	parentTrace = "0af7651916cd43dd8448eb211c80319c"
	parentSpan  = "b7ad6b7169203331"
	traceparent = "00-" + parentTrace + "-" + parentSpan + "-01"
)

// content is a content server that notes the traceparent of the last request.
func content(t *testing.T) (url string, last *atomic.Value) {
	t.Helper()
	last = &atomic.Value{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r.Header.Get("Traceparent"))
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

func ask(t *testing.T, url string, headers map[string]string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func named(name string) func(*tracepb.Span) bool {
	return func(span *tracepb.Span) bool { return span.GetName() == name }
}

// environment is that of the tests without what turns tracing on or off.
func environment() (env []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "OTEL_") {
			env = append(env, variable)
		}
	}
	return append(env, runAsValidator+"=1")
}

// TestRequestsAreTraced: the real program exports spans of requests to a real collector, continues their traces, and passes them on.
// No span has a key, a path or a query.
func TestRequestsAreTraced(t *testing.T) {
	m, received := fakemanager.Start(t), collector.Start(t)
	upstream, last := content(t)
	cmd := command(t, append(arguments(m, t.TempDir()), "--proxy-bind-address=127.0.0.1:0", "--upstream="+upstream,
		"--trusted-proxies=127.0.0.0/8", "--otlp-endpoint="+received.HTTP)...)
	cmd.Env = append(environment(), "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_SERVICE_NAME=edge")
	p := start(t, cmd)
	key := fixture.Mint(t)
	m.Next().Send(fixture.Update(key))

	const path, query = "/secret-path", "?secret=query"
	headers := map[string]string{"X-Api-Key": key.Reveal(), "Traceparent": traceparent}
	if status := ask(t, p.proxy+path+query, headers); status != http.StatusTeapot {
		t.Fatalf("status %d", status)
	}
	spans := received.Await(t, named("authorize reverseproxy"))
	request, toUpstream := spans[0], spans[0]
	for _, span := range spans {
		switch span.GetName() {
		case "authorize reverseproxy":
			request = span
		case "upstream":
			toUpstream = span
		}
	}
	if hex(request.GetTraceId()) != parentTrace || hex(request.GetParentSpanId()) != parentSpan ||
		request.GetKind() != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("the request's span is %v", request)
	}
	if hex(toUpstream.GetTraceId()) != parentTrace || hex(toUpstream.GetParentSpanId()) != hex(request.GetSpanId()) ||
		toUpstream.GetKind() != tracepb.Span_SPAN_KIND_CLIENT {
		t.Errorf("the upstream's span is %v", toUpstream)
	}
	if want := "00-" + parentTrace + "-" + hex(toUpstream.GetSpanId()) + "-01"; last.Load() != want {
		t.Errorf("the upstream got %q, want %q", last.Load(), want)
	}
	for name, want := range map[string]string{
		"keyward.integration": "reverseproxy", "keyward.code": "allowed", "keyward.group": fixture.GroupID, "keyward.project": "default",
		"keyward.key_id": fixture.KeyID, "http.response.status_code": "int_value:418", "http.request.method": "GET",
	} {
		if got := collector.Attributes(request)[name]; strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := received.Resource(); got["service.name"] != "edge" || got["service.instance.id"] != "validator-0" {
		t.Errorf("resource %v", got)
	}

	// Requests of a gateway, at the fast path after the first request of a connection, and a denial.
	for range 3 {
		ask(t, p.http+"/authz/nginx", map[string]string{"X-Original-Method": "GET", "X-Original-Uri": path + query,
			"X-Original-Host": "cdn.acme.example", "X-Real-Ip": "192.0.2.1", "X-Api-Key": fixture.Mint(t).Reveal(),
			"Traceparent": traceparent})
	}
	p.end(t, syscall.SIGTERM) // exports the rest
	denied := 0
	for _, span := range received.Spans() {
		if a := collector.Attributes(span); span.GetName() == "authorize forwardauth_nginx" && a["keyward.code"] == "key_unknown" && a["keyward.group"] == "" &&
			hex(span.GetTraceId()) == parentTrace {
			denied++
		}
		for _, secret := range []string{key.Reveal(), "secret"} {
			if strings.Contains(span.String(), secret) {
				t.Errorf("a span has %q: %v", secret, span)
			}
		}
	}
	if denied != 3 {
		t.Errorf("%d spans of denials, want 3: %v", denied, received.Spans())
	}
}

// TestUntraced: without a collector the trace of a client is passed on as it is.
func TestUntraced(t *testing.T) {
	m := fakemanager.Start(t)
	upstream, last := content(t)
	cmd := command(t, append(arguments(m, t.TempDir()), "--proxy-bind-address=127.0.0.1:0", "--upstream="+upstream)...)
	cmd.Env = environment()
	p := start(t, cmd)
	key := fixture.Mint(t)
	m.Next().Send(fixture.Update(key))
	if status := ask(t, p.proxy, map[string]string{"X-Api-Key": key.Reveal(), "Traceparent": traceparent}); status != http.StatusTeapot {
		t.Fatalf("status %d", status)
	}
	if last.Load() != traceparent {
		t.Errorf("the upstream got %q", last.Load())
	}
	p.end(t, syscall.SIGTERM)
}

func hex(id []byte) string {
	const digits = "0123456789abcdef"
	var text strings.Builder
	for _, b := range id {
		text.WriteByte(digits[b>>4])
		text.WriteByte(digits[b&15])
	}
	return text.String()
}
