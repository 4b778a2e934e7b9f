// Package ratelimit enforces limits of requests per second for groups and keys, by the generic cell rate algorithm (GCRA; ITU-T
// I.371, annex A, as virtual scheduling). All validation servers share a limit, and each allows its part. See
// docs/design/0010-rate-limits.md.
package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

// sweepEvery is how often buckets that have nothing to remember are forgotten.
const sweepEvery = time.Minute

// Limiter is safe for concurrent use. Admitting takes no lock and allocates nothing, except for the first request of a
// group or key, and the first one after a change.
//
// Invariants:
//   - groups and keys are read without a lock; only the holder of mu stores and deletes in them. peers is replaced under
//     mu, and the map behind it never changes.
//   - Requests change arrival of a bucket, and nothing else of it: see bucket. A bucket is closed before it is replaced or
//     deleted, so no request counts in a bucket that a later request does not see: one that finds its bucket closed gets
//     the current bucket, which waits for mu until that one is there.
//   - swept is set before a sweep deletes anything, so a request that is late, and finds its bucket deleted, gets one that
//     is full only as of the sweep.
type Limiter struct {
	now   func() time.Time
	epoch time.Time

	groups sync.Map                          // of *bucket, by identity
	keys   sync.Map                          // of *bucket, by key id
	peers  atomic.Pointer[map[string]uint32] // number of servers, by group

	swept atomic.Int64 // when full buckets were last forgotten, nanoseconds since the epoch

	mu sync.Mutex // held while buckets are added, replaced or deleted, and while peers is replaced
}

// Verdict is the result for one request.
type Verdict struct {
	Admitted bool
	// Wait is after how long the request would be admitted; 0 if it is admitted.
	Wait time.Duration

	Statuses
}

// Statuses are the statuses of the limits of a group and of a key after a request, if they have limits.
type Statuses struct{ Group, Key Status }

// Any reports whether there is a limit.
func (s *Statuses) Any() bool { return s.Group.Limit.IsSet() || s.Key.Limit.IsSet() }

// Status is the status of one limit at this server.
type Status struct {
	// Limit is the limit of all servers together; the zero RateLimit if there is none.
	Limit decision.RateLimit
	// Left is how many requests this server would admit at once.
	Left uint32
	// Reset is after how long without requests the server would admit its whole part of the burst or, if nothing is left,
	// the next request.
	Reset time.Duration
}

// New returns a limiter that has seen no requests, on a clock. It measures time from now on, so that setting the wall clock
// does not matter if the clock is monotonic, too.
func New(now func() time.Time) *Limiter {
	l := &Limiter{now: now, epoch: now()}
	l.peers.Store(&map[string]uint32{})
	return l
}

// Admit counts a request of the key that is allowed otherwise, or denies it. If both the group and the key have a limit,
// both count the request or none does.
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
			continue // the bucket was replaced meanwhile
		}
		verdict.Admitted = verdict.Wait == 0
		verdict.Group, verdict.Key = ofGroup.status(at), ofKey.status(at)
		return verdict
	}
}

// takeBoth takes from two buckets or from none. It checks both first, so it has to give back only if another request comes
// in between. Until it has given back, another request of the same key may be denied unnecessarily; none is admitted that
// must not be.
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

// at returns the time since the epoch, in nanoseconds.
func (l *Limiter) at() int64 { return int64(l.now().Sub(l.epoch)) }

// servers returns how many servers share the limits of a group.
func (l *Limiter) servers(group string) uint32 { return max((*l.peers.Load())[group], 1) }

// bucket returns the current bucket for a limit.
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
			return before // another request replaced it
		}
		b.inherit(before, before.arrival.Swap(closed), at)
	} else if swept := l.swept.Load(); swept > at && b.reaches(swept) {
		b.base = swept // the request is late: the bucket that others used before was forgotten
	}
	in.Store(id, b)
	return b
}

// Run periodically forgets buckets until the context ends: those that are full, and those of groups, by identity, and keys,
// by id, that were deleted.
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

// sweep returns the groups that are missing. The number of servers of a group may arrive shortly before the group does, so it is
// forgotten only if the group was missing in the sweep before, too.
func (l *Limiter) sweep(hasGroup, hasKey func(string) bool, before map[string]bool) (missing map[string]bool) {
	at := l.at()
	l.swept.Store(at)
	l.sweepBuckets(&l.groups, hasGroup, at)
	l.sweepBuckets(&l.keys, hasKey, at)
	missing = map[string]bool{}
	for group := range *l.peers.Load() {
		switch {
		case hasGroup(group):
		case before[group]:
			l.changePeers(func(peers map[string]uint32) { delete(peers, group) })
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
		if b.arrival.CompareAndSwap(arrival, closed) { // otherwise it was used, or replaced, meanwhile
			in.Delete(id)
		}
		return true
	})
}
