package usageapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "keyward_usage_series_requests_total",
	Help: "Requests for usage over time, by the status of the response.",
}, []string{"status"})

func init() { metrics.Registry.MustRegister(requests) }
