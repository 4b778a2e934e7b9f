package leaks

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_leak_requests_total",
		Help: "Requests with reports of leaks, by the status of the response.",
	}, []string{"status"})
	reports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_leak_reports_total",
		Help: "Texts that scanners have reported: known, unknown, or failed.",
	}, []string{"outcome"})
)

func init() { metrics.Registry.MustRegister(requests, reports) }
