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

func (q *queue) push(c *counters) {
	q.all = append(q.all, c)
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
func (a *Aggregator) enqueue(c *counters, urgent bool) {
	level := lazily
	if urgent {
		level = urgently
	}
	switch {
	case c.busy:
		c.wanted = max(c.wanted, level) // it is looked at again when it is back
	case level <= c.queued:
	default:
		c.queued = level
		if urgent {
			a.urgent.push(c)
		} else {
			a.config.Clock.AfterFunc(gatherFor, func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.lazy.push(c)
			})
		}
	}
}

// work takes books out of a queue until the context ends.
func (a *Aggregator) work(ctx context.Context, q *queue) {
	for {
		c := a.next(q)
		if c == nil {
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		a.process(ctx, c)
	}
}

// next takes the next book out of a queue. One that has moved to the other queue, or is with
// a worker, is skipped.
func (a *Aggregator) next(q *queue) *counters {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(q.all) > 0 {
		c := q.all[0]
		q.all[0] = nil
		q.all = q.all[1:]
		if c.queued != idle && !c.busy {
			if len(q.all) > 0 {
				q.signal()
			}
			c.queued, c.busy = idle, true
			return c
		}
	}
	return nil
}
