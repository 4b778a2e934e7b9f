package apikey

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	minted = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keyward_versions_minted_total",
		Help: "Versions of keys that were minted and recorded.",
	})
	withoutSlot = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keyward_keys_beyond_limit_total",
		Help: "ApiKeys that admission allowed and that were not minted, because their Group has reached its limit of keys.",
	})
)

func init() { metrics.Registry.MustRegister(minted, withoutSlot) }
