package quota

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	waited, unconfirmed, unavailable, exceeded, refused prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_validator_quota_requests_total",
		Help: "Requests that found no allowance, by outcome: waited for one, unconfirmed (allowed without one), " +
			"unavailable (503) or exceeded (402).",
	}, []string{"outcome"})
	m := &metrics{
		waited:      outcomes.WithLabelValues("waited"),
		unconfirmed: outcomes.WithLabelValues("unconfirmed"),
		unavailable: outcomes.WithLabelValues("unavailable"),
		exceeded:    outcomes.WithLabelValues("exceeded"),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyward_validator_usage_refused_total",
			Help: "Reports of usage that the manager refused; its log says why.",
		}),
	}
	registry.MustRegister(outcomes, m.refused)
	return m
}
