package syncserver

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/controllers/session"
)

// sessions are those of the Server that listens in this process; nil without one. A replica that does not lead exports zeros, unlike with a
// scrape.Current: rules and dashboards find all managers by these metrics.
var sessions atomic.Pointer[session.Registry]

var (
	connectedServers = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keyward_sync_servers",
		Help: "Validation servers that are connected to this manager.",
	}, func() float64 { connected, _ := count(); return connected })
	absentServers = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keyward_sync_absent_servers",
		Help: "Validation servers that were disconnected from this manager, were not shut down, and have not come back.",
	}, func() float64 { _, absent := count(); return absent })
)

func count() (connected, absent float64) {
	if r := sessions.Load(); r != nil {
		servers, gone := r.Count()
		return float64(servers), float64(gone)
	}
	return 0, 0
}

var unknownEnded = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_sync_unauthenticated_connections_ended_total",
	Help: "Connections to the sync port that were closed before a valid token was presented on them, to make room for others.",
})

func init() { metrics.Registry.MustRegister(connectedServers, absentServers, unknownEnded) }
