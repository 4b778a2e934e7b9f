package quota

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	refused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keyward_usage_reports_refused_total",
		Help: "Refused reports of usage; the log has the reasons.",
	})
	writes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_usage_store_writes_total",
		Help: "Writes of ledgers to the usage store by outcome: written, conflict or failed.",
	}, []string{"outcome"})
	writeSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "keyward_usage_store_write_duration_seconds",
		Help:    "Time to persist a ledger.",
		Buckets: prometheus.ExponentialBuckets(250e-6, 4, 8), // 250 µs to 4 s
	})
)

func init() { metrics.Registry.MustRegister(refused, writes, writeSeconds) }
