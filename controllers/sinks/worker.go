package sinks

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/controllers/sinks/config"
)

const (
	// firstPause is how long a sink is left alone after the first failure. The pause doubles up to lastPause.
	firstPause = time.Second
	lastPause  = 10 * time.Minute
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = time.Hour
	// patience is for how long events are sent again to a sink that cannot take any.
	patience = 72 * time.Hour
	// refusalPatience is for how long an event is sent again that the receiver refuses while it takes others.
	refusalPatience = time.Hour
	// allRefused is how many refusals in a row are those of a receiver that refuses everything, and is to be left alone.
	allRefused = 8
	// lookInterval is how often a sink looks for events without being notified of any.
	lookInterval = 10 * time.Second
	// readPause is when logs are read again that could not be read.
	readPause = 5 * time.Second
)

// worker sends to one sink.
//
// mu guards what others ask for; the worker's own goroutine, and those that it waits for, change it.
type worker struct {
	sink   *config.Sink
	sender Sender
	source Source
	clock  clock.WithTicker
	log    logr.Logger
	random func() float64
	listed func(logs map[string]bool)

	mu        sync.Mutex
	lanes     map[string]*lane
	order     []*lane   // all lanes by their keys
	persisted Positions // of lanes that there are not yet, or no longer
	moved     Positions // since the last save
	attempts  int       // that failed, since something was taken
	failing   time.Time // since when
	reason    Reason    // that was logged
	message   string    // of the failure that was logged
	lastTook  time.Time // when something was taken
	refusals  int       // in a row

	unread int // rounds in a row in which logs could not be read
	next   int // index of the lane that is asked first the next time
}

// run sends until the context ends.
func (w *worker) run(ctx context.Context) {
	if w.persisted == nil {
		w.persisted = Positions{}
	}
	changed := w.source.Changed(ctx)
	if err := w.check(ctx); err != nil && ctx.Err() == nil {
		w.sleep(ctx, w.failed(err), nil)
	}
	for ctx.Err() == nil {
		more, err := w.round(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			w.sleep(ctx, w.failed(err), nil)
		case more:
		case w.lacksSecret():
			if err := w.check(ctx); err != nil {
				w.sleep(ctx, w.failed(err), nil)
				continue
			}
			w.complete()
		default:
			w.sleep(ctx, w.idle(), changed)
		}
	}
}

// check asks whether something could be sent, of a sender that knows.
func (w *worker) check(ctx context.Context) error {
	if checker, can := w.sender.(Checker); can {
		return checker.Check(ctx) //nolint:wrapcheck // it is a *Failure
	}
	return nil
}

// lacksSecret reports whether the sink fails for what can be checked without an event.
func (w *worker) lacksSecret() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason == ReasonSecret
}

// complete records that the sink lacks nothing any more. Whether the receiver takes events is not known.
func (w *worker) complete() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.Info("Events can be sent", "after", w.clock.Now().Sub(w.failing).String())
	w.recovered()
}

// round sends one batch, and reports whether more waits that can be sent at once.
func (w *worker) round(ctx context.Context) (more bool, err error) {
	if err := w.refresh(ctx); err != nil {
		return false, err
	}
	batch, err := w.gather(ctx)
	if err != nil {
		return false, err
	}
	w.unread = 0
	return batch.full, w.deliver(ctx, batch)
}

// sleep waits for the end of a pause. Something that changed ends the pause after the delay in which more may follow.
func (w *worker) sleep(ctx context.Context, pause time.Duration, changed <-chan struct{}) {
	timer := w.clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	case <-changed:
		if w.sink.MaxDelay > 0 {
			w.sleep(ctx, w.sink.MaxDelay, nil)
		}
	}
}

// idle returns how long there is nothing to do without a change.
func (w *worker) idle() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, pause := w.clock.Now(), lookInterval
	for _, l := range w.order {
		if l.refusals > 0 {
			pause = min(pause, max(l.retryAt.Sub(now), 0))
		}
	}
	return pause
}

// pause returns how long to wait after a number of failures.
func (w *worker) pause(failures int, err error) time.Duration {
	pause := lastPause
	if doublings := failures - 1; doublings < 20 {
		pause = min(firstPause<<doublings, lastPause)
	}
	pause = time.Duration((0.5 + 0.5*w.random()) * float64(pause))
	var failure *Failure
	if errors.As(err, &failure) {
		pause = max(pause, min(failure.RetryAfter, maxRetryAfter))
	}
	return pause
}

// failed records that the sink takes nothing, and returns how long it is left alone.
func (w *worker) failed(err error) time.Duration {
	var failure *Failure
	if !errors.As(err, &failure) { // nothing that the sink has done
		if w.unread++; w.unread == 2 { // a leader that begins may not know the logs yet
			w.log.Error(err, "Cannot read logs; trying again")
		}
		return readPause
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer failures.WithLabelValues(w.sink.Name, string(failure.Reason)).Inc() // last: who sees the count finds what was logged of it
	w.attempts++
	pause := w.pause(w.attempts, err)
	if w.failing.IsZero() {
		w.failing = w.clock.Now()
	}
	if w.reason != failure.Reason {
		w.log.Error(err, "Cannot send events; trying again", "reason", failure.Reason, "pause", pause.String())
		w.reason, w.message = failure.Reason, failure.Error()
	}
	if failure.Reason == ReasonStatus { // the texts of others may have port numbers, which are others each time
		w.message = failure.Error()
	}
	return pause
}

// took records that the sink takes events.
func (w *worker) took() {
	if !w.failing.IsZero() {
		w.log.Info("Events are sent again", "after", w.clock.Now().Sub(w.failing).String())
	}
	w.recovered()
	w.refusals, w.lastTook = 0, w.clock.Now()
}

// recovered forgets how the sink has failed.
func (w *worker) recovered() {
	w.attempts, w.failing, w.reason, w.message = 0, time.Time{}, "", ""
}
