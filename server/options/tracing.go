package options

import (
	"errors"
	"flag"
	"net/url"
)

func (c *Config) traceFlags(flags *flag.FlagSet) {
	flags.Func("otlp-endpoint", "`URL` of an OpenTelemetry collector that receives traces over OTLP, such as http://collector:4318; "+
		"default from OTEL_EXPORTER_OTLP_ENDPOINT; without either nothing is traced", c.setOTLPEndpoint)
	flags.Float64Var(&c.Tracing.Ratio, "trace-sample-ratio", 1,
		"how many of the traces that begin here, or with a client, are sampled, from 0 to 1; others are sampled as their parent was")
	flags.BoolVar(&c.Tracing.TrustAll, "trace-trust-parent", false,
		"sample what a traceparent says is sampled, whoever sent it, because every gateway in front sets it itself; by default only that "+
			"of --trusted-proxies is followed")
}

func (c *Config) setOTLPEndpoint(value string) error {
	endpoint, err := url.Parse(value)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return errors.New("write a URL such as http://collector:4318, or with OTEL_EXPORTER_OTLP_PROTOCOL=grpc http://collector:4317")
	}
	c.OTLPEndpoint = value
	return nil
}
