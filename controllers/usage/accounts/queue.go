package accounts

import "context"

// urgency is in which queue a book is.
type urgency uint8

const (
	idle urgency = iota
	lazily
	urgently
)

// queue is the books that wait for a worker, first come, first served.
type queue struct {
	all  []*counters
	wake chan struct{} // one slot: there may be something
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

func (q *queue) push(b *counters) {
	q.all = append(q.all, b)
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// enqueue has a worker look at the book: soon, or when it has gathered more. The caller holds
// the lock.
func (a *Aggregator) enqueue(b *counters, urgent bool) {
	level := lazily
	if urgent {
		level = urgently
	}
	switch {
	case b.busy:
		b.wanted = max(b.wanted, level) // it is looked at again when it is back
	case level <= b.queued:
	default:
		b.queued = level
		if urgent {
			a.urgent.push(b)
		} else {
			a.config.Clock.AfterFunc(gather, func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.lazy.push(b)
			})
		}
	}
}

// work takes books out of a queue until the context ends.
func (a *Aggregator) work(ctx context.Context, q *queue) {
	for {
		b := a.next(q)
		if b == nil {
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		a.process(ctx, b)
	}
}

// next takes the next book out of a queue. One that has moved to the other queue, or is with
// a worker, is skipped.
func (a *Aggregator) next(q *queue) *counters {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(q.all) > 0 {
		b := q.all[0]
		q.all[0] = nil
		q.all = q.all[1:]
		if b.queued != idle && !b.busy {
			if len(q.all) > 0 {
				q.signal()
			}
			b.queued, b.busy = idle, true
			return b
		}
	}
	return nil
}
