package store

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rejected      prometheus.Counter
	journalErrors prometheus.Counter
}

func newMetrics(s *Store, registry prometheus.Registerer) *metrics {
	m := &metrics{
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyward_validator_records_rejected_total",
			Help: "Records from the manager that could not be used and were left out.",
		}),
		journalErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyward_validator_snapshot_errors_total",
			Help: "Failures to write or read the persisted snapshot.",
		}),
	}
	registry.MustRegister(m.rejected, m.journalErrors,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyward_validator_synced",
			Help: "1 once the server has a complete snapshot, from the manager or from its volume.",
		}, func() float64 {
			if s.Synced() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyward_validator_revision",
			Help: "The revision of the last update in force.",
		}, func() float64 { return float64(s.Revision()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "keyward_validator_records",
			Help:        "Records in the snapshot, by kind.",
			ConstLabels: prometheus.Labels{"kind": "group"},
		}, func() float64 { groups, _, _ := s.Size(); return float64(groups) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "keyward_validator_records",
			Help:        "Records in the snapshot, by kind.",
			ConstLabels: prometheus.Labels{"kind": "key"},
		}, func() float64 { _, keys, _ := s.Size(); return float64(keys) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "keyward_validator_records",
			Help:        "Records in the snapshot, by kind.",
			ConstLabels: prometheus.Labels{"kind": "version"},
		}, func() float64 { _, _, versions := s.Size(); return float64(versions) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyward_validator_last_contact_timestamp_seconds",
			Help: "When the manager was last known to be connected, in Unix time; 0 is never.",
		}, func() float64 {
			if at := s.LastContact(); !at.IsZero() {
				return float64(at.UnixMilli()) / float64(time.Second/time.Millisecond)
			}
			return 0
		}),
	)
	return m
}

// Size returns how many groups, keys and versions of keys the store has.
func (s *Store) Size() (groups, keys, versions int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys, versions = s.keys.Len()
	return len(s.groups), keys, versions
}
