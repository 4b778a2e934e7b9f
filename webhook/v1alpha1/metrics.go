package v1alpha1

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "keyward_admission_refusals_total",
	Help: "Objects that this replica's webhooks refused, by kind and by the reason of the first problem, which is one of the reasons of " +
		"conditions. Objects that the schema refuses and dry-runs are not counted.",
}, []string{"kind", "reason"})

func init() { metrics.Registry.MustRegister(refusals) }
