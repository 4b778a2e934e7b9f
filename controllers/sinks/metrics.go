package sinks

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/controllers/scrape"
)

// What became of an event.
const (
	resultDelivered = "delivered"
	resultRefused   = "refused" // the receiver has refused it for an hour, or rejects it
	resultExpired   = "expired" // the receiver has taken nothing for three days
	resultTrimmed   = "trimmed" // the log has deleted it before
)

var (
	events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_sink_events_total",
		Help: "Events that a sink is done with: delivered, refused, expired or trimmed.",
	}, []string{"sink", "result"})
	failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_sink_failures_total",
		Help: "Attempts to send events to a sink that failed, by the reason.",
	}, []string{"sink", "reason"})

	lagDesc = prometheus.NewDesc("keyward_sink_lag_seconds",
		"Age of the oldest event that a sink does not have yet; 0 if it has all.", []string{"sink"}, nil)
	current = scrape.NewCurrent(collect, lagDesc)
)

// begin has all series of a sink begin at 0, so that an alert sees the first event that is lost.
func begin(sink string) {
	for _, result := range []string{resultDelivered, resultRefused, resultExpired, resultTrimmed} {
		events.WithLabelValues(sink, result)
	}
	for _, reason := range Reasons() {
		failures.WithLabelValues(sink, string(reason))
	}
}

func init() { metrics.Registry.MustRegister(events, failures, current) }

func collect(r *Runner, all chan<- prometheus.Metric) {
	emit, now := scrape.Gauges(all), r.Clock.Now()
	for _, w := range r.workers {
		emit(lagDesc, w.lag(now).Seconds(), w.sink.Name)
	}
}
