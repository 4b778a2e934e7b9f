package usage

import (
	"sync"
	"sync/atomic"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// keepUnrecorded is for how long beyond a day counts are kept that the manager does not take: by
// then their month is over.
const keepUnrecorded = 31 * 24 * time.Hour

// key is the use of one key, whichever version of it.
type key struct {
	id, group  string // the group is namespace/name
	lastMillis atomic.Int64
	current    atomic.Pointer[count]
	origins    atomic.Pointer[origins] // nil before the first, and where there are too many

	mu     sync.Mutex
	before *count // of the last month, until the manager has persisted it
}

// count is the requests of one key in one month, in this life of the server.
type count struct {
	period       string
	begins, ends int64 // Unix milliseconds of the manager's clock
	requests     atomic.Uint64

	// The rest belongs to who holds the recorder's lock.
	sent     uint64 // on this stream
	recorded uint64 // as the manager has persisted it
}

// key returns that of a key, which outlives its versions.
func (r *Recorder) key(id, group string) *key {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.keys[id]
	if k == nil {
		k = &key{id: id, group: group}
		r.keys[id] = k
	}
	return k
}

// Count notes requests that were let through elsewhere with the key, by its id and the name
// of its group, namespace/name.
func (r *Recorder) Count(id, group string, requests uint64, at time.Time) {
	r.key(id, group).used(requests, at.UnixMilli(), r.offset.Load())
}

// used counts requests. The months are those of the manager's clock.
func (k *key) used(requests uint64, millis, offset int64) {
	advance(&k.lastMillis, millis)
	millis += offset
	c := k.current.Load()
	if c == nil || millis < c.begins || c.ends <= millis {
		c = k.roll(millis)
	}
	c.requests.Add(requests)
}

// roll makes the month of an instant the current one. A clock that was turned back counts in
// the month that has begun already.
func (k *key) roll(millis int64) *count {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.current.Load()
	if c != nil && millis < c.ends {
		return c
	}
	at := time.UnixMilli(millis).UTC()
	begin := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	k.before = c
	c = &count{period: begin.Format("2006-01"), begins: begin.UnixMilli(), ends: begin.AddDate(0, 1, 0).UnixMilli()}
	k.current.Store(c)
	return c
}

// counts are those of this month and the last, as far as there are any.
func (k *key) counts() []*count {
	k.mu.Lock()
	defer k.mu.Unlock()
	var counts []*count
	if k.before != nil {
		counts = append(counts, k.before)
	}
	if c := k.current.Load(); c != nil {
		counts = append(counts, c)
	}
	return counts
}

// Keys returns the counts that the manager has not persisted, as far as it was not told them
// on this stream already; at the beginning of a stream, which is whole, all of them.
func (r *Recorder) Keys(whole bool) []*syncv1.KeyUse {
	r.mu.Lock()
	defer r.mu.Unlock()
	var uses []*syncv1.KeyUse
	for _, k := range r.keys {
		for _, c := range k.counts() {
			requests := c.requests.Load()
			if requests == c.recorded || requests == c.sent && !whole {
				continue
			}
			c.sent = requests
			uses = append(uses, &syncv1.KeyUse{Key: k.id, Group: k.group, Period: c.period, Requests: requests, Recorded: c.recorded})
		}
	}
	return uses
}

// Recorded takes over what the manager has persisted, and what time it is there.
func (r *Recorder) Recorded(said *syncv1.Allowances, now time.Time) {
	r.offset.Store(said.GetNowMs() - now.UnixMilli())
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, use := range said.GetKeys() {
		k := r.keys[use.GetKey()]
		if k == nil {
			continue
		}
		for _, c := range k.counts() {
			if c.period == use.GetPeriod() {
				c.recorded = max(c.recorded, min(use.GetRecorded(), c.requests.Load()))
			}
		}
	}
}

// forget drops keys that were not used since the instant, in Unix milliseconds. What the manager
// has not persisted is kept for longer: it may be away.
func (r *Recorder) forget(since int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.keys {
		last := k.lastMillis.Load()
		if last >= since || !k.isRecorded() && last >= since-keepUnrecorded.Milliseconds() {
			continue
		}
		if k.origins.Load() != nil {
			r.origins--
		}
		delete(r.keys, id)
	}
}

// isRecorded is whether the manager has persisted everything. The caller holds the recorder's
// lock.
func (k *key) isRecorded() bool {
	for _, c := range k.counts() {
		if c.requests.Load() != c.recorded {
			return false
		}
	}
	return true
}
