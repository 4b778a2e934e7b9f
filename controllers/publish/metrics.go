package publish

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/controllers/scrape"
)

var latency = prometheus.NewHistogram(prometheus.HistogramOpts{
	Name:    "keyward_enforcement_latency_seconds",
	Help:    "Time from when the manager sees a change until it is in force on every validation server.",
	Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60},
})

var withheldRecords = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "keyward_withheld_records",
	Help: "Groups and ApiKeys that are too large to be sent to validation servers, which refuse the keys instead.",
}, []string{"kind", "namespace", "name"})

var publishFailures = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_publish_failures_total",
	Help: "Failures to publish the record of an object to validation servers; each is tried again.",
})

var (
	pendingDesc = prometheus.NewDesc("keyward_enforcement_pending_records",
		"Groups and ApiKeys whose latest change is not in force yet: validation servers are waited for.", nil, nil)
	rejectedDesc = prometheus.NewDesc("keyward_enforcement_rejected_records",
		"Groups and ApiKeys whose status says that some connected validation server cannot use them.", nil, nil)
	rejectingDesc = prometheus.NewDesc("keyward_sync_rejecting_servers",
		"Connected validation servers that cannot use some record.", nil, nil)
	missedDesc = prometheus.NewDesc("keyward_enforcement_missed_records",
		"Groups and ApiKeys whose latest change was not acknowledged in time by some validation server that must have it, and that "+
			"is no longer waited for.", nil, nil)
)

// collector collects from the Hub that is open in this process.
var collector = scrape.NewCurrent((*Hub).scrape, pendingDesc, missedDesc, rejectedDesc, rejectingDesc)

func (h *Hub) scrape(all chan<- prometheus.Metric) {
	emit := scrape.Gauges(all)
	pending, missed := h.Unenforced()
	emit(pendingDesc, float64(pending))
	emit(missedDesc, float64(missed))
	rejected, rejecting := h.Rejected()
	emit(rejectedDesc, float64(rejected))
	emit(rejectingDesc, float64(rejecting))
}

func init() { metrics.Registry.MustRegister(latency, withheldRecords, publishFailures, collector) }
