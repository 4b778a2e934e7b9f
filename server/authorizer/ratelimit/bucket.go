package ratelimit

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// most is the most that a limit has of anything; see the API.
	most = 1_000_000
	// reach keeps times in range: it is how far from its base a bucket is used, in its ticks.
	reach = 1 << 61

	// closed is the arrival in a bucket that is no longer used.
	closed = math.MaxInt64
)

// bucket is this server's part of one limit. Its times are ticks from a base. There are as many
// of them in a nanosecond as the limit has requests in a second, so that the interval between
// two requests is a whole number of them, and nothing is ever rounded.
type bucket struct {
	limit   decision.RateLimit
	servers uint32

	base     int64 // nanoseconds since the epoch
	rate     int64 // ticks in a nanosecond
	burst    int64 // this server's part of it
	interval int64 // ticks between two requests at this server's part of the rate
	full     int64 // ticks of a burst

	// arrival is when the next request would arrive if all of them came at the rate (TAT, the
	// theoretical arrival time). One that is in the past is a full bucket.
	arrival atomic.Int64
}

// newBucket returns a full one. Of the burst each server has a whole number, rounded down; but
// one request it lets through at once, even where there are more servers than the burst is.
func newBucket(limit decision.RateLimit, servers uint32, base int64) *bucket {
	b := &bucket{limit: limit, servers: servers, base: base, rate: int64(min(limit.PerSecond, most))}
	burst := int64(min(limit.Burst, most))
	if burst == 0 {
		burst = b.rate
	}
	b.burst = max(burst/int64(servers), 1)
	b.interval = int64(time.Second) * int64(servers)
	b.full = b.burst * b.interval
	return b
}

// reaches is whether an instant, in nanoseconds since the epoch, is near enough to the base.
func (b *bucket) reaches(at int64) bool { return max(at-b.base, b.base-at) <= reach/b.rate }

// ticks are those at an instant; of one that is far away, those of one that is not quite as far.
func (b *bucket) ticks(at int64) int64 {
	return min(max(at-b.base, -2*reach/b.rate), 2*reach/b.rate) * b.rate
}

// duration is that of so many ticks, rounded up to a nanosecond.
func (b *bucket) duration(ticks int64) time.Duration {
	return time.Duration((ticks + b.rate - 1) / b.rate)
}

// wait is after how long a request at an instant would be let through. Open is false where the
// bucket is no longer used.
func (b *bucket) wait(at int64, now func() int64) (wait time.Duration, open bool) {
	arrival := b.read(at, now)
	if arrival == closed {
		return 0, false
	}
	return b.duration(max(arrival-b.full+b.interval-b.ticks(at), 0)), true
}

// take lets a request at an instant through, or says after how long it would.
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

// read returns the arrival. No request leaves one behind that is further ahead of the clock
// than a full bucket. One that is, is from before the clock went back: then the bucket is
// empty as of now, lest nobody be let through until the clock is there again. The clock is
// asked again for that, since a request may just be late.
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

// giveBack undoes a take at an instant, as far as the time since has not done so: a bucket that
// became full meanwhile does not get what would not have gone into it.
func (b *bucket) giveBack(at, now int64) {
	undone := max(b.interval-max(b.ticks(now)-b.ticks(at), 0), 0)
	for {
		arrival := b.arrival.Load()
		if arrival == closed || b.arrival.CompareAndSwap(arrival, arrival-undone) {
			return
		}
	}
}

// missing is what a bucket lacks of a full one, in ticks. It is for a known arrival.
func (b *bucket) missing(arrival, at int64) int64 { return min(max(arrival-b.ticks(at), 0), b.full) }

// inherit makes the bucket as full as the one before it, of which arrival is the last, in
// proportion.
func (b *bucket) inherit(before *bucket, arrival, at int64) {
	b.arrival.Store(b.ticks(at) + scale(before.missing(arrival, at), b.full, before.full))
}

// standing is how a bucket stands at an instant; that of none is the zero one.
func (b *bucket) status(at int64) Status {
	if b == nil {
		return Status{}
	}
	missing := b.missing(b.arrival.Load(), at) // all, where it is closed
	status := Status{Limit: b.limit, Left: uint32((b.full - missing) / b.interval), Reset: b.duration(missing)}
	if status.Left == 0 {
		status.Reset = b.duration(missing - b.full + b.interval)
	}
	return status
}

// scale is part * to / of, rounded up, for a part that is at most of.
func scale(part, to, of int64) int64 {
	high, low := bits.Mul64(uint64(part), uint64(to))
	scaled, rest := bits.Div64(high, low, uint64(of))
	if rest > 0 {
		scaled++
	}
	return int64(scaled)
}
