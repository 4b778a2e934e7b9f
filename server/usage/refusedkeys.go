package usage

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// refusedShards times refusedInShard is how many keys and codes are counted until the next report.
	refusedShards, refusedInShard = 16, 256
	// refusedOfGroup is how many of them are of one group.
	refusedOfGroup = 64
)

// refusedKeys counts refused requests by key and code, since they were last reported. Its zero value is empty.
//
// All of a group is in one shard. A request that was counted before counts under the shard's read lock, which others hold at the same time.
// What is new takes the write lock, and if the group or the shard is full, the place of what was refused longest ago: so many keys of
// one group displace only each other, and the work is bounded by the size of a shard.
type refusedKeys [refusedShards]refusedShard

type refusedShard struct {
	mu     sync.RWMutex
	counts map[refusedKey]*refusedCount // at most refusedInShard, and refusedOfGroup of a group
}

type refusedKey struct {
	group, id string
	code      decision.Code
}

type refusedCount struct {
	requests          atomic.Uint64
	firstMs, latestMs atomic.Int64
	// origin is that of the last request that had one, as it is reported. It is never text that a client wrote.
	origin atomic.Pointer[string]
}

// RefusedKey counts a refused request with the key of the group namespace/name.
func (r *Recorder) RefusedKey(group, keyID string, why decision.Code, request *decision.Request, at time.Time) {
	key := refusedKey{group: group, id: keyID, code: why}
	r.refused[maphash.String(r.seed, group)%refusedShards].count(key, request, at.UnixMilli())
}

func (s *refusedShard) count(key refusedKey, request *decision.Request, millis int64) {
	s.mu.RLock()
	is := s.counts[key]
	if is != nil {
		is.note(millis)
	}
	s.mu.RUnlock()
	if is != nil {
		is.noteOrigin(request) // at most what was taken meanwhile lacks it
		return
	}
	from := &refusedCount{}
	from.noteOrigin(request)
	s.mu.Lock()
	defer s.mu.Unlock()
	if is = s.counts[key]; is == nil {
		s.makeRoom(key.group)
		is = from
		is.firstMs.Store(millis)
		key.group, key.id = strings.Clone(key.group), strings.Clone(key.id)
		s.counts[key] = is
	}
	is.note(millis)
}

func (c *refusedCount) note(millis int64) {
	c.requests.Add(1)
	if c.latestMs.Load() < millis {
		c.latestMs.Store(millis)
	}
}

func (c *refusedCount) noteOrigin(request *decision.Request) {
	was := c.origin.Load()
	if was != nil && request.Origin == *was { // as browsers write it, and the usual case
		return
	}
	if text := reportedOrigin(request); text != "" && (was == nil || *was != text) {
		c.origin.Store(&text)
	}
}

// makeRoom removes what was refused longest ago, of the group if that has as many as it may, or else of all.
func (s *refusedShard) makeRoom(group string) {
	if s.counts == nil {
		s.counts = map[refusedKey]*refusedCount{}
	}
	var oldest, oldestOfGroup refusedKey
	var since, sinceOfGroup int64
	ofGroup, first := 0, true
	for key, count := range s.counts {
		latest := count.latestMs.Load()
		if first || latest < since {
			oldest, since, first = key, latest, false
		}
		if key.group != group {
			continue
		}
		if ofGroup == 0 || latest < sinceOfGroup {
			oldestOfGroup, sinceOfGroup = key, latest
		}
		ofGroup++
	}
	switch {
	case ofGroup >= refusedOfGroup:
		delete(s.counts, oldestOfGroup)
	case len(s.counts) >= refusedInShard:
		delete(s.counts, oldest)
	}
}

// RefusedKeys returns which keys were refused, and why, since it was last called: the latest first.
func (r *Recorder) RefusedKeys() []*syncv1.KeyRefusal {
	var all []*syncv1.KeyRefusal
	for i := range r.refused {
		for key, count := range r.refused[i].take() {
			said := &syncv1.KeyRefusal{
				Group: key.group, Key: key.id, Code: key.code.String(), Requests: count.requests.Load(),
				FirstMs: count.firstMs.Load(), LastMs: count.latestMs.Load(),
			}
			if from := count.origin.Load(); from != nil {
				said.Origin = *from
			}
			all = append(all, said)
		}
	}
	slices.SortFunc(all, func(a, b *syncv1.KeyRefusal) int {
		return cmp.Or(cmp.Compare(b.GetLastMs(), a.GetLastMs()), strings.Compare(a.GetGroup(), b.GetGroup()),
			strings.Compare(a.GetKey(), b.GetKey()), strings.Compare(a.GetCode(), b.GetCode()))
	})
	return all
}

func (s *refusedShard) take() map[refusedKey]*refusedCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.counts
	s.counts = nil
	return taken
}

// reportedOrigin returns the origin of a request as it is reported, and nothing if it has none, or an invalid or too long one.
func reportedOrigin(request *decision.Request) string {
	text := request.Origin
	if text == "" {
		text = withoutPath(request.Referer)
	}
	from, err := origin.Parse(text)
	if err != nil {
		return ""
	}
	if text = withoutPort(from.String()); len(text) > maxReportedOrigin {
		return ""
	}
	return text
}
