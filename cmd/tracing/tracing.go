// Package tracing exports the traces of a program over OTLP. Only mains use it: everything else knows the interface
// trace.TracerProvider, and none where nothing is traced.
package tracing

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config is what to export, and where to.
type Config struct {
	// Service and Version name the program, and Instance this process of it. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
	// override them.
	Service, Version, Instance string
	// Endpoint is the URL of the collector; if it is empty, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT is.
	Endpoint string
	// Ratio is how many of the traces that begin here are sampled, from 0 to 1. Others are sampled as their parent was.
	Ratio float64
	// Failed is called for spans that could not be exported.
	Failed func(error)
}

// Protocols of OTLP, as OTEL_EXPORTER_OTLP_PROTOCOL names them.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// defaultPath is where a collector receives traces, if its URL has no path.
const defaultPath = "/v1/traces"

// Start returns a provider whose spans are exported, and a function that exports the rest and stops. Without an endpoint, and
// where the environment says that nothing is to be traced, the provider is nil.
func Start(ctx context.Context, config Config) (trace.TracerProvider, func(context.Context) error, error) {
	if !wanted(config) {
		return nil, func(context.Context) error { return nil }, nil
	}
	exporter, err := newExporter(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", config.Service), attribute.String("service.version", config.Version),
		attribute.String("service.instance.id", config.Instance)), resource.WithFromEnv())
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if config.Failed != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(config.Failed))
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), // bounded: what does not fit into its queue is dropped
		sdktrace.WithResource(described),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(config.Ratio))),
	)
	return provider, provider.Shutdown, nil
}

// wanted reports whether there is somewhere to export to.
func wanted(config Config) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return cmp.Or(config.Endpoint, os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != ""
}

// newExporter returns an exporter with the settings of the environment, such as headers and certificates.
func newExporter(ctx context.Context, config Config) (*otlptrace.Exporter, error) {
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), protocolHTTP)
	switch protocol {
	case protocolHTTP:
		var options []otlptracehttp.Option
		if config.Endpoint != "" {
			endpoint, err := url.Parse(config.Endpoint)
			if err != nil {
				return nil, err
			}
			if endpoint.Path == "" || endpoint.Path == "/" {
				endpoint.Path = defaultPath
			}
			options = append(options, otlptracehttp.WithEndpointURL(endpoint.String()))
		}
		return otlptracehttp.New(ctx, options...)
	case protocolGRPC:
		var options []otlptracegrpc.Option
		if config.Endpoint != "" {
			options = append(options, otlptracegrpc.WithEndpointURL(config.Endpoint))
		}
		return otlptracegrpc.New(ctx, options...)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: write %s or %s", protocol, protocolHTTP, protocolGRPC)
	}
}
