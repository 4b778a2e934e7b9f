// Package ratelimit holds groups and keys to so many requests a second, by the generic cell
// rate algorithm (GCRA; ITU-T I.371, annex A, as virtual scheduling): of the limit that all
// validation servers share, each lets its part through. See docs/design/0010-rate-limits.md.
package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

// sweepEvery is how often what has nothing to remember is forgotten.
const sweepEvery = time.Minute

// Limiter is safe for concurrent use. Admitting takes no lock and allocates nothing, but for
// the first request of a group or key, and the first after a change.
type Limiter struct {
	now   func() time.Time
	epoch time.Time

	groups sync.Map                          // of *bucket, by identity
	keys   sync.Map                          // of *bucket, by key id
	shares atomic.Pointer[map[string]uint32] // servers by group; replaced, never changed

	swept atomic.Int64 // when full buckets were last forgotten, nanoseconds since the epoch

	mu sync.Mutex // of changes: which buckets there are, and shares
}

// Verdict is the answer to one request.
type Verdict struct {
	Admitted bool
	// Wait is after how long the request would be let through; 0 where it is admitted.
	Wait time.Duration

	Statuses
}

// Standings are how the limits of a group and of a key stand after a request, as far as there
// are any.
type Statuses struct{ Group, Key Status }

// Any tells whether there is one.
func (s *Statuses) Any() bool { return s.Group.Limit.IsSet() || s.Key.Limit.IsSet() }

// Standing is how one limit stands, at this server.
type Status struct {
	// Limit is the whole one, of all servers together; the zero one where there is none.
	Limit decision.RateLimit
	// Left is how many requests this server would let through at once.
	Left uint32
	// Reset is after how long, without any, it would let its whole part of the burst through; or
	// where nothing is left, the next request.
	Reset time.Duration
}

// New returns a limiter that has seen no requests, on a clock. It measures time from now on,
// so that a wall clock that is set does not matter where the clock is monotonic, too.
func New(now func() time.Time) *Limiter {
	l := &Limiter{now: now, epoch: now()}
	l.shares.Store(&map[string]uint32{})
	return l
}

// Admit counts a request of the key that is let through otherwise, or says why it is not.
// Where both the group and the key have a limit, both count it or none does.
func (l *Limiter) Admit(group *decision.Group, key *decision.Key, now time.Time) Verdict {
	if !group.Limits.Rate.IsSet() && !key.Rate.IsSet() {
		return Verdict{Admitted: true}
	}
	return l.admit(group, key, int64(now.Sub(l.epoch)))
}

func (l *Limiter) admit(group *decision.Group, key *decision.Key, at int64) Verdict {
	servers := l.servers(group.Identity)
	for {
		var ofGroup, ofKey *bucket
		if group.Limits.Rate.IsSet() {
			ofGroup = l.bucket(&l.groups, group.Identity, group.Limits.Rate, servers, at)
		}
		if key.Rate.IsSet() {
			ofKey = l.bucket(&l.keys, key.ID, key.Rate, servers, at)
		}
		var verdict Verdict
		var open bool
		switch {
		case ofKey == nil:
			verdict.Wait, open = ofGroup.take(at, l.at)
		case ofGroup == nil:
			verdict.Wait, open = ofKey.take(at, l.at)
		default:
			verdict.Wait, open = takeBoth(ofGroup, ofKey, at, l.at)
		}
		if !open {
			continue // it was replaced meanwhile
		}
		verdict.Admitted = verdict.Wait == 0
		verdict.Group, verdict.Key = ofGroup.status(at), ofKey.status(at)
		return verdict
	}
}

// takeBoth takes from two buckets or from none. It looks first, so that giving back is left for
// a request that comes in between. While it does, another one of the same key may be refused
// that need not have been; none is let through that may not.
func takeBoth(group, key *bucket, at int64, now func() int64) (wait time.Duration, open bool) {
	waitGroup, openGroup := group.wait(at, now)
	waitKey, openKey := key.wait(at, now)
	if wait := max(waitGroup, waitKey); wait > 0 || !openGroup || !openKey {
		return wait, openGroup && openKey
	}
	if waitKey, openKey = key.take(at, now); waitKey > 0 || !openKey {
		return waitKey, openKey
	}
	if waitGroup, openGroup = group.take(at, now); waitGroup > 0 || !openGroup {
		key.giveBack(at, now())
	}
	return waitGroup, openGroup
}

// at is the time since the epoch, in nanoseconds.
func (l *Limiter) at() int64 { return int64(l.now().Sub(l.epoch)) }

// servers is among how many the limits of a group are shared.
func (l *Limiter) servers(group string) uint32 { return max((*l.shares.Load())[group], 1) }

// bucket returns the bucket for a limit as it is now.
func (l *Limiter) bucket(in *sync.Map, id string, limit decision.RateLimit, servers uint32, at int64) *bucket {
	if known, ok := in.Load(id); ok {
		if b, _ := known.(*bucket); b.limit == limit && b.servers == servers && b.reaches(at) && b.arrival.Load() != closed {
			return b
		}
	}
	return l.replace(in, id, limit, servers, at)
}

// replace makes a bucket for a limit that is new, or has changed, or whose bucket is too old.
func (l *Limiter) replace(in *sync.Map, id string, limit decision.RateLimit, servers uint32, at int64) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := newBucket(limit, servers, at)
	if known, ok := in.Load(id); ok {
		before, _ := known.(*bucket)
		if before.limit == limit && before.servers == servers && before.reaches(at) {
			return before // somebody else was here
		}
		b.inherit(before, before.arrival.Swap(closed), at)
	} else if swept := l.swept.Load(); swept > at && b.reaches(swept) {
		b.base = swept // the request is late: what others had before is forgotten, and was used
	}
	in.Store(id, b)
	return b
}

// Run forgets, until the context ends, what has nothing to remember: buckets that are full, and
// those of groups, by identity, and keys, by id, that are gone.
func (l *Limiter) Run(ctx context.Context, hasGroup, hasKey func(string) bool) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	var missing map[string]bool
	for {
		select {
		case <-ticker.C:
			missing = l.sweep(hasGroup, hasKey, missing)
		case <-ctx.Done():
			return
		}
	}
}

// sweep returns the groups that are missing. How many servers a group has may be told a moment
// before the group is, so that it is forgotten only where the group was missing before.
func (l *Limiter) sweep(hasGroup, hasKey func(string) bool, before map[string]bool) (missing map[string]bool) {
	at := l.at()
	l.swept.Store(at)
	l.sweepBuckets(&l.groups, hasGroup, at)
	l.sweepBuckets(&l.keys, hasKey, at)
	missing = map[string]bool{}
	for group := range *l.shares.Load() {
		switch {
		case hasGroup(group):
		case before[group]:
			l.changeShares(func(shares map[string]uint32) { delete(shares, group) })
		default:
			missing[group] = true
		}
	}
	return missing
}

func (l *Limiter) sweepBuckets(in *sync.Map, has func(string) bool, at int64) {
	in.Range(func(id, value any) bool {
		b, _ := value.(*bucket)
		name, _ := id.(string)
		arrival := b.arrival.Load()
		if arrival == closed || b.missing(arrival, at) > 0 && has(name) {
			return true
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if b.arrival.CompareAndSwap(arrival, closed) { // or it is in use, or replaced
			in.Delete(id)
		}
		return true
	})
}
