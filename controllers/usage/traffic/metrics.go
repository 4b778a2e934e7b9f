package traffic

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var refused = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_traffic_reports_refused_total",
	Help: "Reports of refused requests and keys, and of origins, that were refused, because the server may not serve the Group.",
})

func init() { metrics.Registry.MustRegister(refused) }
