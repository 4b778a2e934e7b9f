package sinks

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

const (
	// chunk is how many records are read at a time to find some that are for the sink.
	chunk = 100
	// maxChunks is how many chunks of a lane are read for a batch.
	maxChunks = 10
)

// batch is what is sent at a time.
type batch struct {
	parts []*part
	count int
	bytes int64
	full  bool // more may wait
}

// part is what a batch has of a lane.
type part struct {
	lane    *lane
	records []Record
	// through is up to where the lane was read.
	through uint64
}

// gather collects the next batch. Each lane has its turn.
func (w *worker) gather(ctx context.Context) (*batch, error) {
	w.mu.Lock()
	order, attempts := w.order, w.attempts
	w.mu.Unlock()
	b := &batch{}
	// A sink that fails is asked with less: with so little in the end that it cannot be too much.
	limit := max(w.sink.MaxEvents>>min(attempts, 20), 1)
	begin := w.next
	for i := range order {
		at := (begin + i) % len(order)
		l := order[at]
		if !l.behind() || l.refusals > 0 && w.clock.Now().Before(l.retryAt) {
			continue
		}
		if l.refusals > 0 {
			// It is sent alone, so that no other is refused because of it.
			if b.count > 0 {
				w.next, b.full = at, true
				return b, nil
			}
			limit = 1
		}
		p, err := w.read(ctx, l, b, limit)
		if err != nil {
			return nil, err
		}
		if len(p.records) > 0 || p.through > l.position {
			b.parts = append(b.parts, p)
		}
		if w.next = (at + 1) % len(order); b.full && len(p.records) == 0 {
			w.next = at // there was no room for it
		}
		if b.full = b.full || l.refusals > 0; b.full {
			break
		}
	}
	return b, nil
}

// read adds what follows in a lane to a batch.
func (w *worker) read(ctx context.Context, l *lane, b *batch, limit int) (*part, error) {
	p := &part{lane: l, through: l.position}
	for range maxChunks {
		records, err := w.source.Read(ctx, l.key, p.through, chunk)
		if err != nil {
			return nil, fmt.Errorf("reading a log: %w", err)
		}
		for i := range records {
			record := &records[i]
			if w.skips(l, p, record) {
				p.through = record.Sequence
				continue
			}
			if b.count >= limit || b.count > 0 && b.bytes+int64(len(record.Body))+1 > w.sink.MaxBytes {
				b.full = true
				return p, nil
			}
			p.records = append(p.records, *record)
			b.count, b.bytes, p.through = b.count+1, b.bytes+int64(len(record.Body))+1, record.Sequence
			if len(p.records) == 1 {
				w.mu.Lock()
				l.since = record.Time
				w.mu.Unlock()
			}
		}
		if len(records) < chunk {
			return p, nil
		}
	}
	b.full = true
	return p, nil
}

// skips reports whether a record is not sent: it is not for the sink, or the sink has failed for too long. If nothing before it in the
// lane waits, the lane is done with it at once.
func (w *worker) skips(l *lane, p *part, record *Record) bool {
	skip := !w.sink.Wants(record.Type) || record.Time.Before(w.sink.NotBefore)
	if len(p.records) > 0 {
		return skip
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !skip && !w.failing.IsZero() && w.clock.Now().Sub(later(record.Time, w.failing)) > cmp.Or(w.sink.Patience, patience) {
		skip = true
		events.WithLabelValues(w.sink.Name, resultExpired).Inc()
		w.log.Info("Gave up an event that could not be sent for too long", "log", l.key, "sequence", record.Sequence, "type", record.Type)
	}
	if skip {
		w.advance(l, record.Sequence)
	}
	return skip
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
