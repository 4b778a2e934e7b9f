package tracing

import (
	"context"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/test/collector"
)

// none are the variables that turn tracing on or off; tests must not depend on those of whoever runs them.
var none = []string{
	"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
	"OTEL_EXPORTER_OTLP_HEADERS",
}

func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range none {
		t.Setenv(name, "")
	}
}

// export has one span exported, and returns an error of that.
func export(t *testing.T, config Config) {
	t.Helper()
	provider, shutdown, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "one")
	span.End()
	if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// TestExport: spans arrive by both protocols, wherever the endpoint comes from, and with what the environment adds.
func TestExport(t *testing.T) {
	config := Config{Service: "keyward-validator", Version: "v1", Instance: "validator-0", Ratio: 1}
	for name, c := range map[string]struct {
		flag     bool
		protocol string
	}{
		"flag, HTTP": {true, ""}, "flag, gRPC": {true, protocolGRPC},
		"environment, HTTP": {false, protocolHTTP}, "environment, gRPC": {false, protocolGRPC},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t)
			received := collector.Start(t)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", c.protocol)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=v2")
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
			config, endpoint := config, received.HTTP
			if c.protocol == protocolGRPC {
				endpoint = received.GRPC
			}
			if c.flag {
				config.Endpoint = endpoint
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // the flag is stronger
			} else {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
			}
			export(t, config)
			if spans := received.Spans(); len(spans) != 1 || spans[0].GetName() != "one" {
				t.Fatalf("received %v", spans)
			}
			for key, want := range map[string]string{
				"service.name": "keyward-validator", "service.version": "v2", "service.instance.id": "validator-0",
				"deployment.environment.name": "test",
			} {
				if got := received.Resource()[key]; got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if c.protocol != protocolGRPC && received.Headers().Get("X-Tenant") != "acme" {
				t.Errorf("headers %v", received.Headers())
			}
		})
	}
}

// TestOff: there is no provider without an endpoint, and where the environment turns tracing off.
func TestOff(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing":  {},
		"disabled": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
		"none":     {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t)
			for key, value := range env {
				t.Setenv(key, value)
			}
			provider, shutdown, err := Start(t.Context(), Config{})
			if provider != nil || err != nil || shutdown(t.Context()) != nil {
				t.Errorf("%v, %v", provider, err)
			}
		})
	}
}

// TestRatio: traces that begin here are sampled by the ratio.
func TestRatio(t *testing.T) {
	clearEnvironment(t)
	received := collector.Start(t)
	export(t, Config{Endpoint: received.HTTP, Ratio: 0})
	if spans := received.Spans(); len(spans) != 0 {
		t.Errorf("received %v", spans)
	}
}

// TestUnknownProtocol: the error says what to write.
func TestUnknownProtocol(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	_, _, err := Start(t.Context(), Config{Endpoint: "http://127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "http/protobuf or grpc") {
		t.Error(err)
	}
}

// TestUnreachableCollector: spans for a collector that is unreachable are reported as lost, and delay nothing.
func TestUnreachableCollector(t *testing.T) {
	clearEnvironment(t)
	provider, shutdown, err := Start(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Ratio: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 { // more than the queue has room for
		_, span := provider.Tracer("test").Start(t.Context(), "one")
		span.End()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if shutdown(ctx) == nil {
		t.Error("spans were exported to nobody")
	}
}
