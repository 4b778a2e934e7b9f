package ratelimit

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// maxLimit is the most that a limit has of anything; see the API.
	maxLimit = 1_000_000
	// reach keeps times in range: a bucket is used only this far from its base, in its ticks.
	reach = 1 << 61

	// closed is the arrival of a bucket that is no longer used.
	closed = math.MaxInt64
)

// bucket is this server's part of one limit. Its times are ticks from a base. A nanosecond has as many ticks as the limit
// has requests in a second, so that the interval between two requests is a whole number of ticks, and nothing is ever
// rounded.
//
// Invariants: all fields but arrival are fixed before others see the bucket. A request takes by raising arrival by one
// interval in one atomic step, so no request is lost or counted twice. Once arrival is closed it stays closed, and no
// request takes from the bucket.
type bucket struct {
	limit   decision.RateLimit
	servers uint32

	base     int64 // nanoseconds since the epoch
	rate     int64 // ticks in a nanosecond
	burst    int64 // this server's part of it
	interval int64 // ticks between two requests at this server's part of the rate
	full     int64 // ticks of a burst

	// arrival is when the next request would arrive if all requests came at the rate (TAT, the theoretical arrival time).
	// If it is in the past, the bucket is full.
	arrival atomic.Int64
}

// newBucket returns a full bucket. Each server has a whole number of the burst, rounded down, but at least one request,
// even if there are more servers than the burst has requests.
func newBucket(limit decision.RateLimit, servers uint32, base int64) *bucket {
	b := &bucket{limit: limit, servers: servers, base: base, rate: int64(min(limit.PerSecond, maxLimit))}
	burst := int64(min(limit.Burst, maxLimit))
	if burst == 0 {
		burst = b.rate
	}
	b.burst = max(burst/int64(servers), 1)
	b.interval = int64(time.Second) * int64(servers)
	b.full = b.burst * b.interval
	return b
}

// reaches reports whether an instant, in nanoseconds since the epoch, is near enough to the base.
func (b *bucket) reaches(at int64) bool { return max(at-b.base, b.base-at) <= reach/b.rate }

// ticks returns the ticks at an instant. An instant that is too far from the base counts as one that is less far.
func (b *bucket) ticks(at int64) int64 {
	return min(max(at-b.base, -2*reach/b.rate), 2*reach/b.rate) * b.rate
}

// duration returns the duration of so many ticks, rounded up to a nanosecond.
func (b *bucket) duration(ticks int64) time.Duration {
	return time.Duration((ticks + b.rate - 1) / b.rate)
}

// wait returns after how long a request at an instant would be admitted. open is false if the bucket is no longer used.
func (b *bucket) wait(at int64, now func() int64) (wait time.Duration, open bool) {
	arrival := b.read(at, now)
	if arrival == closed {
		return 0, false
	}
	return b.duration(max(arrival-b.full+b.interval-b.ticks(at), 0)), true
}

// take admits a request at an instant, or returns after how long it would.
func (b *bucket) take(at int64, now func() int64) (wait time.Duration, open bool) {
	for {
		arrival := b.read(at, now)
		if arrival == closed {
			return 0, false
		}
		ticks := b.ticks(at)
		if wait := arrival - b.full + b.interval - ticks; wait > 0 {
			return b.duration(wait), true
		}
		if b.arrival.CompareAndSwap(arrival, max(arrival, ticks)+b.interval) {
			return 0, true
		}
	}
}

// read returns the arrival. No request leaves an arrival that is further ahead of the clock than a full bucket. If it is
// further ahead, the clock was turned back: then the bucket counts as empty from now on, because otherwise no request would
// be admitted until the clock has caught up. read reads the clock again to find that out, since the request may only be
// late.
func (b *bucket) read(at int64, now func() int64) int64 {
	for {
		arrival := b.arrival.Load()
		if arrival == closed || arrival-b.ticks(at) <= b.full {
			return arrival
		}
		furthest := b.ticks(now()) + b.full
		if arrival <= furthest {
			return arrival
		}
		b.arrival.CompareAndSwap(arrival, furthest)
	}
}

// giveBack undoes a take at an instant, less what the time since then has undone: a bucket that became full meanwhile does
// not get more than it would have without the take.
func (b *bucket) giveBack(at, now int64) {
	undone := max(b.interval-max(b.ticks(now)-b.ticks(at), 0), 0)
	for {
		arrival := b.arrival.Load()
		if arrival == closed || b.arrival.CompareAndSwap(arrival, arrival-undone) {
			return
		}
	}
}

// missing returns what a bucket with this arrival lacks of a full one, in ticks.
func (b *bucket) missing(arrival, at int64) int64 { return min(max(arrival-b.ticks(at), 0), b.full) }

// inherit makes the bucket as full, in proportion, as the one that it replaces, whose last arrival is given.
func (b *bucket) inherit(before *bucket, arrival, at int64) {
	b.arrival.Store(b.ticks(at) + scale(before.missing(arrival, at), b.full, before.full))
}

// status returns the status of a bucket at an instant; of a nil bucket it is the zero Status.
func (b *bucket) status(at int64) Status {
	if b == nil {
		return Status{}
	}
	missing := b.missing(b.arrival.Load(), at) // all of it, if it is closed
	status := Status{Limit: b.limit, Left: uint32((b.full - missing) / b.interval), Reset: b.duration(missing)}
	if status.Left == 0 {
		status.Reset = b.duration(missing - b.full + b.interval)
	}
	return status
}

// scale returns part * to / of, rounded up, for a part that is at most of.
func scale(part, to, of int64) int64 {
	high, low := bits.Mul64(uint64(part), uint64(to))
	scaled, rest := bits.Div64(high, low, uint64(of))
	if rest > 0 {
		scaled++
	}
	return int64(scaled)
}
