package publish

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
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
		"Groups and ApiKeys that some connected validation server lists as unusable.", nil, nil)
	rejectingDesc = prometheus.NewDesc("keyward_sync_rejecting_servers",
		"Connected validation servers that cannot use some record.", nil, nil)
	missedDesc = prometheus.NewDesc("keyward_enforcement_missed_records",
		"Groups and ApiKeys whose latest change was not acknowledged in time by some validation server that must have it, and that "+
			"is no longer waited for.", nil, nil)
)

// hubCollector is registered once, and collects from the Hub that is open in this process; nothing if none is.
type hubCollector struct{ hub atomic.Pointer[Hub] }

var collector = &hubCollector{}

// Describe implements prometheus.Collector.
func (c *hubCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- pendingDesc
	descs <- missedDesc
	descs <- rejectedDesc
	descs <- rejectingDesc
}

// Collect implements prometheus.Collector.
func (c *hubCollector) Collect(all chan<- prometheus.Metric) {
	hub := c.hub.Load()
	if hub == nil {
		return
	}
	pending, missed := hub.Unenforced()
	all <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(pending))
	all <- prometheus.MustNewConstMetric(missedDesc, prometheus.GaugeValue, float64(missed))
	rejected, rejecting := hub.Rejected()
	all <- prometheus.MustNewConstMetric(rejectedDesc, prometheus.GaugeValue, float64(rejected))
	all <- prometheus.MustNewConstMetric(rejectingDesc, prometheus.GaugeValue, float64(rejecting))
}

func init() { metrics.Registry.MustRegister(latency, withheldRecords, publishFailures, collector) }
