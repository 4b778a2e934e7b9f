package quota

import "context"

// urgency is the queue that counters are in.
type urgency uint8

const (
	idle urgency = iota
	lazily
	urgently
)

// queue has the counters that wait for a worker, in the order of arrival. The Aggregator's lock guards all.
type queue struct {
	all  []*counters
	wake chan struct{} // one slot: all may have something
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

// enqueue has a worker process the counters: soon, or after more reports were gathered. The caller holds the lock.
func (a *Aggregator) enqueue(c *counters, urgent bool) {
	level := lazily
	if urgent {
		level = urgently
	}
	switch {
	case c.busy:
		c.wanted = max(c.wanted, level) // the worker enqueues it again
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

// work processes the counters of a queue until the context ends.
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

// next takes the next counters out of a queue, or returns nil. It skips those that another worker has, or has processed since
// they were pushed.
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
