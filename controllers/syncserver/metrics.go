package syncserver

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var connected = prometheus.NewGauge(prometheus.GaugeOpts{
	Name: "keyward_sync_servers",
	Help: "Validation servers that are connected to this manager.",
})

func init() { metrics.Registry.MustRegister(connected) }
