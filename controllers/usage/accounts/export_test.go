package accounts

import "context"

// SettleAll has all books looked at that are waiting for it, as workers do.
func (a *Aggregator) PersistAll(ctx context.Context) {
	a.mu.Lock()
	var due []*counters
	for _, b := range a.all {
		if b.queued != idle || b.waiting {
			b.queued, b.busy = idle, true
			due = append(due, b)
		}
	}
	a.mu.Unlock()
	for _, b := range due {
		a.process(ctx, b)
	}
}

// Collector is that of the metrics of Groups.
var Collector = collector
