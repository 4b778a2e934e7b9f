package usage

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var keysRefused = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_key_usage_refused_total",
	Help: "Counts of requests of keys that validation servers reported and that were not taken: malformed, of a Group that the server may not serve, or too many.",
})

func init() { metrics.Registry.MustRegister(keysRefused) }
