package publish

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var latency = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name:    "keyward_enforcement_latency_seconds",
	Help:    "Time from when the manager sees a change until it is in force on every validation server.",
	Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
})

var withheldRecords = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "keyward_withheld_records",
	Help: "Groups and ApiKeys that are too large to be sent to validation servers, which refuse the keys instead.",
}, []string{"kind", "namespace", "name"})

func init() { metrics.Registry.MustRegister(latency, withheldRecords) }
