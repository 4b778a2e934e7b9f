package usage

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var keysRefused = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_key_usage_refused_total",
	Help: "Counts of requests of keys that validation servers reported and that were not taken: malformed, of a Group that the server may not serve, or too many.",
})

var versionsRefused = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_version_usage_refused_total",
	Help: "Uses of versions that validation servers reported and that were not taken: of a version that is not known, or of a Group that the server may not serve.",
})

func init() { metrics.Registry.MustRegister(keysRefused, versionsRefused) }
