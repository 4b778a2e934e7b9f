package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keyward-dev/keyward/internal/version"
)

// newBuildInfo returns the metric that says what this program was built from. It is the same as the manager's, so that one query
// shows the versions of everything.
func newBuildInfo() prometheus.Collector {
	build := version.Get()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "keyward_build_info",
		Help:        "Always 1; its labels are the version of Keyward, the revision of Git, and the version of Go.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "goversion": build.GoVersion},
	}, func() float64 { return 1 })
}
