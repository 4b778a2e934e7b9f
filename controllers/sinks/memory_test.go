package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/keyward-dev/keyward/controllers/sinks"
)

// logs is a Source in memory.
type logs struct {
	mu       sync.Mutex
	logs     map[string]*memoryLog
	notified []chan struct{}
	read     int // records that were handed out
	broken   error
}

type memoryLog struct {
	labels   labels.Set
	orphaned bool
	trimmed  uint64
	records  []sinks.Record
}

func newLogs() *logs { return &logs{logs: map[string]*memoryLog{}} }

// append adds n events of a type to a log, which it creates.
func (l *logs) append(log string, n int, at time.Time, eventType string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.logs[log]
	if of == nil {
		of = &memoryLog{labels: labels.Set{"name": log}}
		l.logs[log] = of
	}
	for range n {
		sequence := of.trimmed + uint64(len(of.records)) + 1
		id := fmt.Sprintf("%s/%d", log, sequence)
		of.records = append(of.records, sinks.Record{
			Log: log, Sequence: sequence, ID: id, Type: eventType, Time: at,
			Body: fmt.Appendf(nil, `{"id":%q,"log":%q,"sequence":%d}`, id, log, sequence),
		})
	}
	for _, c := range l.notified {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// trim deletes the first events of a log.
func (l *logs) trim(log string, through uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.logs[log]
	of.records = of.records[through-of.trimmed:]
	of.trimmed = through
}

func (l *logs) remove(log string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.logs, log)
}

func (l *logs) Logs(context.Context) (all []sinks.Log, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, log := range l.logs {
		all = append(all, sinks.Log{
			Key: key, Labels: log.labels, Orphaned: log.orphaned, First: log.trimmed + 1, Last: log.trimmed + uint64(len(log.records)),
		})
	}
	return all, l.broken
}

func (l *logs) Read(_ context.Context, log string, after uint64, limit int) (records []sinks.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.logs[log]
	if of == nil {
		return nil, nil
	}
	for _, record := range of.records {
		if record.Sequence > after && len(records) < limit {
			records = append(records, record)
		}
	}
	l.read += len(records)
	return records, l.broken
}

func (l *logs) Changed(context.Context) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{}, 1)
	l.notified = append(l.notified, c)
	return c
}

// store is a Store in memory.
type store struct {
	mu     sync.Mutex
	saved  map[string]sinks.Positions
	writes int
	broken error
}

func newStore() *store { return &store{saved: map[string]sinks.Positions{}} }

func (s *store) Load(context.Context) (map[string]sinks.Positions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]sinks.Positions{}
	for sink, positions := range s.saved {
		all[sink] = maps.Clone(positions)
	}
	return all, s.broken
}

func (s *store) Save(_ context.Context, moved map[string]sinks.Positions, exists func(sink, log string) bool,
) (map[string]sinks.Positions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return moved, s.broken
	}
	s.writes++
	for sink, positions := range moved {
		if s.saved[sink] == nil {
			s.saved[sink] = sinks.Positions{}
		}
		for log, position := range positions {
			s.saved[sink][log] = max(s.saved[sink][log], position)
		}
	}
	for sink, positions := range s.saved {
		maps.DeleteFunc(positions, func(log string, _ uint64) bool { return !exists(sink, log) })
	}
	return nil, nil
}

func (s *store) get(sink, log string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved[sink][log]
}

// count returns how often it was written.
func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *store) fail(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken = nil; broken {
		s.broken = errors.New("the API server is unreachable")
	}
}
