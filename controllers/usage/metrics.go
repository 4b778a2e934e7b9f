package usage

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var keysRefused = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_key_usage_refused_total",
	Help: "Reported counts of requests of keys that were refused: malformed, of a Group that the server may not serve, or too many.",
})

var versionsRefused = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_version_usage_refused_total",
	Help: "Reported uses of versions that were refused: of an unknown version, or of a Group that the server may not serve.",
})

func init() { metrics.Registry.MustRegister(keysRefused, versionsRefused) }
