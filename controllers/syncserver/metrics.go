package syncserver

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var connected = prometheus.NewGauge(prometheus.GaugeOpts{
	Name: "keyward_sync_servers",
	Help: "Validation servers that are connected to this manager.",
})

var unknownEnded = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_sync_unauthenticated_connections_ended_total",
	Help: "Connections to the sync port that were closed before a valid token was presented on them, to make room for others.",
})

func init() { metrics.Registry.MustRegister(connected, unknownEnded) }
