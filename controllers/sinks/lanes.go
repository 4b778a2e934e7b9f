package sinks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lane is a log on its way to a sink.
type lane struct {
	key string
	// position is the sequence up to which the sink is done, last that of the log.
	position, last uint64
	// since is when something is known to wait: the time of a record where it was read, or else when it was seen that there is one.
	since time.Time
	// refusals counts how often the sink has refused the next record, whose sequence is refused, and which is not sent before retryAt. It has
	// taken nothing of the lane since refusedSince.
	refusals     int
	refused      uint64
	refusedSince time.Time
	retryAt      time.Time
}

func (l *lane) behind() bool { return l.last > l.position }

// refresh brings the lanes up to what logs there are.
func (w *worker) refresh(ctx context.Context) error {
	logs, err := w.source.Logs(ctx)
	if err != nil {
		return fmt.Errorf("listing logs: %w", err)
	}
	now := w.clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	known := make(map[string]bool, len(logs))
	selected := make(map[string]bool, len(w.lanes))
	added := false
	for i := range logs {
		log := &logs[i]
		known[log.Key] = true
		l := w.lanes[log.Key]
		has := log.Orphaned && (l != nil || w.persisted[log.Key] > 0)
		if !has && !w.sink.Groups.Matches(log.Labels) {
			continue
		}
		selected[log.Key] = true
		if l == nil {
			l = &lane{key: log.Key, position: w.persisted[log.Key]}
			w.lanes[log.Key], added = l, true
		}
		w.update(l, log, now)
	}
	if added || len(selected) != len(w.lanes) {
		w.order = w.order[:0]
		for key, l := range w.lanes {
			if !selected[key] {
				w.persisted[key] = max(w.persisted[key], l.position) // if it is selected again
				delete(w.lanes, key)
				continue
			}
			w.order = append(w.order, l)
		}
		slices.SortFunc(w.order, func(a, b *lane) int { return strings.Compare(a.key, b.key) })
	}
	w.listed(known)
	return nil
}

func (w *worker) update(l *lane, log *Log, now time.Time) {
	if l.position+1 < log.First {
		if lost := log.First - 1 - l.position; l.position > 0 { // or else it is new here
			events.WithLabelValues(w.sink.Name, resultTrimmed).Add(float64(lost))
			w.log.Info("Events were deleted from a log before they could be sent", "log", log.Key, "events", lost)
		}
		w.advance(l, log.First-1)
	}
	// A log that ends before the position was restored from a backup. What follows its end now is new.
	l.position = min(l.position, log.Last)
	l.last = log.Last
	if !l.behind() {
		l.since = time.Time{}
	} else if l.since.IsZero() {
		l.since = now
	}
}

// advance moves a position forward. It needs the lock.
func (w *worker) advance(l *lane, to uint64) {
	if to <= l.position {
		return
	}
	l.position, w.moved[l.key] = to, to
	l.refusals, l.retryAt = 0, time.Time{}
	if !l.behind() {
		l.since = time.Time{}
	}
}

// takeMoved returns what has moved since it was called last.
func (w *worker) takeMoved() Positions {
	w.mu.Lock()
	defer w.mu.Unlock()
	moved := w.moved
	w.moved = Positions{}
	return moved
}

// putBack returns positions that were taken, and not persisted.
func (w *worker) putBack(positions Positions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, position := range positions {
		w.moved[key] = max(w.moved[key], position)
	}
}

// lag returns since when the oldest event waits that the sink does not have.
func (w *worker) lag(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lag time.Duration
	for _, l := range w.order {
		if l.behind() {
			lag = max(lag, now.Sub(l.since), 0)
		}
	}
	return lag
}
