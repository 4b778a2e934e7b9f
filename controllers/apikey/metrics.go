package apikey

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var minted = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_versions_minted_total",
	Help: "Versions of keys that were minted and recorded.",
})

func init() { metrics.Registry.MustRegister(minted) }
