package syncclient

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connected prometheus.Gauge
	apply     prometheus.Histogram
	failures  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keyward_validator_connected",
			Help: "1 while the server is connected to the manager.",
		}),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "keyward_validator_apply_duration_seconds",
			Help:    "How long it took to put an update in force and to persist it.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 10), // 10 µs to 2.6 s
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_validator_stream_failures_total",
			Help: "Streams to the manager that ended or did not begin, by gRPC status code.",
		}, []string{"code"}),
	}
	registry.MustRegister(m.connected, m.apply, m.failures)
	return m
}
