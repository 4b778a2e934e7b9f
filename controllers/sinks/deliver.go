package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/keyward-dev/keyward/controllers/failpoint"
)

// deliver sends a batch, and moves the positions of what was taken. An error is that of a sink that takes nothing.
func (w *worker) deliver(ctx context.Context, b *batch) error {
	var err error
	if w.sink.SingleEvents() {
		err = w.deliverEach(ctx, b)
	} else {
		records := make([]Record, 0, b.count)
		for _, p := range b.parts {
			records = append(records, p.records...)
		}
		err = w.send(ctx, records)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range b.parts {
		if n := len(p.records); n == 0 || p.lane.position >= p.records[n-1].Sequence {
			w.advance(p.lane, p.through)
		}
	}
	return err
}

// deliverEach sends each record on its own: those of a lane in order, those of several lanes at a time.
func (w *worker) deliverEach(ctx context.Context, b *batch) error {
	var group errgroup.Group
	group.SetLimit(w.sink.Concurrency)
	var stopped atomic.Bool // what is under way ends, and nothing else begins
	for _, p := range b.parts {
		group.Go(func() error {
			for _, record := range p.records {
				if stopped.Load() || w.blocked(record) {
					return nil
				}
				if err := w.send(ctx, []Record{record}); err != nil {
					stopped.Store(true)
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// send sends records in one request. If the receiver refuses them, it is asked with each half, until it is known which one it refuses;
// the others of that lane wait.
func (w *worker) send(ctx context.Context, records []Record) error {
	sent := make([]Record, 0, len(records))
	for _, record := range records {
		if !w.blocked(record) {
			sent = append(sent, record)
		}
	}
	if len(sent) == 0 {
		return nil
	}
	failpoint.Here(failpoint.BeforeSend)
	rejected, err := w.sender.Send(ctx, sent)
	var failure *Failure
	switch {
	case err == nil:
		failpoint.Here(failpoint.AfterSend)
		w.taken(sent, rejected)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &failure):
		return &Failure{Reason: ReasonConnection, Err: err}
	case failure.Reason != ReasonRefused:
		return failure
	case len(sent) == 1:
		return w.refused(sent[0], failure)
	}
	half := len(sent) / 2
	if err := w.send(ctx, sent[:half]); err != nil {
		return err
	}
	return w.send(ctx, sent[half:])
}

// blocked reports whether a record of the lane before this one was refused. How long ago does not matter: it is sent again first.
func (w *worker) blocked(record Record) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[record.Log]
	return l == nil || l.refusals > 0 && record.Sequence > l.refused
}

// taken records that the sink has records.
func (w *worker) taken(records []Record, rejected int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if rejected < len(records) { // otherwise nothing was taken, and perhaps nobody was asked
		w.took()
	}
	for _, record := range records {
		if l := w.lanes[record.Log]; l != nil {
			w.advance(l, record.Sequence)
			l.refusedSince = time.Time{}
			if l.behind() {
				l.since = record.Time // what follows is not older
			}
		}
	}
	events.WithLabelValues(w.sink.Name, resultDelivered).Add(float64(len(records) - rejected))
	if rejected > 0 {
		events.WithLabelValues(w.sink.Name, resultRefused).Add(float64(rejected))
		w.log.Info("The receiver rejects some of the events that it was sent, and does not say which", "events", rejected)
	}
}

// refused records that the receiver refuses a record. A receiver that refuses everything is one that takes nothing: it is left alone.
func (w *worker) refused(record Record, failure *Failure) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, now := w.lanes[record.Log], w.clock.Now()
	if l.refusedSince.IsZero() {
		l.refusedSince = now
		w.log.Error(failure, "The receiver refuses an event; trying again", "log", l.key, "sequence", record.Sequence, "type", record.Type)
	}
	l.refusals, l.refused = l.refusals+1, record.Sequence
	l.retryAt = now.Add(w.pause(l.refusals, failure))
	w.refusals++
	if now.Sub(later(l.refusedSince, record.Time)) > cmp.Or(w.sink.RefusalPatience, refusalPatience) {
		w.log.Info("Gave up an event that the receiver refuses", "log", l.key, "sequence", record.Sequence, "type", record.Type)
		events.WithLabelValues(w.sink.Name, resultRefused).Inc()
		w.advance(l, record.Sequence)
	}
	if w.refusals >= allRefused {
		return &Failure{Reason: ReasonRefused, RetryAfter: failure.RetryAfter, Err: fmt.Errorf("it refuses all events: %w", failure.Err)}
	}
	failures.WithLabelValues(w.sink.Name, string(ReasonRefused)).Inc()
	return nil
}
