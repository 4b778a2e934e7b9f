package grouplog

import (
	"context"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// Source gives sinks the logs that a Writer writes. It has no goroutine, and reads a segment when a sink can take its events.
type Source struct {
	Writer *Writer

	mu   sync.Mutex
	logs map[types.UID]sinks.Log // as they were seen last
	// gone has up to where segments do not exist any more, such as those of a namespace that was deleted.
	gone map[types.UID]uint64
}

// Changed implements sinks.Source.
func (s *Source) Changed(ctx context.Context) <-chan struct{} {
	return s.Writer.appended.subscribe(ctx)
}

// Logs implements sinks.Source.
func (s *Source) Logs(ctx context.Context) ([]sinks.Log, error) {
	chains, err := s.Writer.loaded()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	logs, all := make(map[types.UID]sinks.Log, len(chains)), make([]sinks.Log, 0, len(chains))
	for _, c := range chains {
		uid := uidOf(c.group)
		log, seen := s.logs[uid]
		c.mu.Lock()
		if !c.stale || !seen { // or else it may not have been read to its end
			log.Key, log.First, log.Last = c.group.UID, max(c.first(), s.gone[uid]+1), c.last()
		}
		c.mu.Unlock()
		group, err := cache.Group(ctx, s.Writer.Cache, types.NamespacedName{Namespace: c.group.Namespace, Name: c.group.Name},
			client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil, fmt.Errorf("reading Group %s/%s from the cache: %w", c.group.Namespace, c.group.Name, err)
		}
		if log.Orphaned = group == nil || group.UID != uid; !log.Orphaned {
			log.Labels = group.Labels
		}
		logs[uid], all = log, append(all, log)
	}
	s.logs = logs
	return all, nil
}

// Read implements sinks.Source.
func (s *Source) Read(ctx context.Context, log string, after uint64, limit int) ([]sinks.Record, error) {
	name, last, found := s.Writer.segmentAfter(types.UID(log), after)
	if !found {
		return nil, nil
	}
	object := &v1alpha1.GroupLog{}
	err := s.Writer.Reader.Get(ctx, name, object)
	if apierrors.IsNotFound(err) {
		s.lose(types.UID(log), last)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a segment of a log: %w", err)
	}
	var records []sinks.Record
	for _, line := range lines(object) {
		event, err := groupevent.Decode([]byte(line))
		if err != nil || event.Sequence <= after {
			continue // kubectl keyward audit verify reports a line that is no event
		}
		records = append(records, sinks.Record{
			Log: log, Sequence: event.Sequence, ID: event.ID, Type: string(event.Type), Time: event.Time, Body: []byte(line),
		})
		if len(records) == limit {
			break
		}
	}
	return records, nil
}

// lose records that the segment that ends with a sequence does not exist any more.
func (s *Source) lose(uid types.UID, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone = map[types.UID]uint64{}
	}
	s.gone[uid] = max(s.gone[uid], last)
}

// loaded returns the logs that are known. It is an error if they are not known yet.
func (w *Writer) loaded() ([]*chain, error) {
	w.mu.Lock()
	known := w.complete
	w.mu.Unlock()
	if !known {
		return nil, errNotLoaded
	}
	return w.all(), nil
}

// first returns the sequence of the first event that is left.
func (c *chain) first() uint64 {
	if c.pruned != nil {
		return uint64(c.pruned.Sequence) + 1 //nolint:gosec // the API server accepts none below 1
	}
	return 1
}

// last returns the sequence of the last event that there is. The head may be further, if the end is missing.
func (c *chain) last() uint64 {
	if n := len(c.segments); n > 0 {
		return c.segments[n-1].last.Sequence
	}
	return c.first() - 1
}

// segmentAfter returns the segment that has the event after a sequence, and the sequence of its last event.
func (w *Writer) segmentAfter(uid types.UID, after uint64) (name types.NamespacedName, last uint64, found bool) {
	w.mu.Lock()
	c := w.chains[uid]
	w.mu.Unlock()
	if c == nil {
		return name, 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.segments, func(s segment) bool { return s.last.Sequence > after })
	if i < 0 {
		return name, 0, false
	}
	return types.NamespacedName{Namespace: c.group.Namespace, Name: c.segments[i].name}, c.segments[i].last.Sequence, true
}
