package quota

import (
	"context"

	"github.com/keyward-dev/keyward/controllers/session"
)

// Sessions are those that the Aggregator asks.
func (a *Aggregator) Sessions() *session.Registry { return a.config.Sessions }

// PersistAll processes all counters that wait for it, as workers do.
func (a *Aggregator) PersistAll(ctx context.Context) {
	a.mu.Lock()
	var due []*counters
	for _, c := range a.all {
		if c.queued != idle || c.waiting {
			c.queued, c.busy = idle, true
			due = append(due, c)
		}
	}
	a.mu.Unlock()
	for _, c := range due {
		a.process(ctx, c)
	}
}

// Collector is the collector of the metrics of Groups.
var Collector = collector

// Tick is what is done every timeInterval.
func (a *Aggregator) Tick() { a.tick() }
