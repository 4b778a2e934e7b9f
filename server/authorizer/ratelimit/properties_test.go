package ratelimit

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/server/decision"
)

func drawLimit(t *rapid.T, name string) decision.RateLimit {
	one := func(most uint32) *rapid.Generator[uint32] {
		return rapid.OneOf(rapid.Uint32Range(1, 20), rapid.Uint32Range(1, most))
	}
	return decision.RateLimit{PerSecond: one(1_000_000).Draw(t, name), Burst: one(1_000_000).Draw(t, name+"'s burst")}
}

// span is a duration that matters to a limit: some of its intervals, or a part of one.
func span(t *rapid.T, limit decision.RateLimit) time.Duration {
	return time.Duration(rapid.Float64Range(0, 4).Draw(t, "intervals") * float64(time.Second) / float64(limit.PerSecond))
}

// allowed is how many requests may be admitted in a window, by definition.
func allowed(limit decision.RateLimit, window time.Duration) float64 {
	return float64(limit.Burst) + float64(limit.PerSecond)*window.Seconds() + 1e-6
}

// windows fails if more requests were admitted in any window than may be.
func windows(t *rapid.T, who string, limit decision.RateLimit, admitted []time.Duration) {
	slices.Sort(admitted)
	for i := range admitted {
		for j := i; j < len(admitted); j++ {
			if n, window := j-i+1, admitted[j]-admitted[i]; float64(n) > allowed(limit, window) {
				t.Fatalf("%s: %d admitted within %s by %+v", who, n, window, limit)
			}
		}
	}
}

// TestNoWindowHasMore offers requests to a group with keys, at any times, and from clocks that are a little behind: in no
// window more requests are admitted than the rate and the burst allow.
func TestNoWindowHasMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, clock := newLimiter()
		group := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{Rate: drawLimit(t, "group")}}
		keys := []*decision.Key{{ID: "k1", Rate: drawLimit(t, "k1")}, {ID: "k2", Rate: drawLimit(t, "k2")}, {ID: "k3"}}
		var ofGroup []time.Duration
		ofKeys := make([][]time.Duration, len(keys))
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			clock.step(span(t, rapid.SampledFrom([]decision.RateLimit{group.Limits.Rate, keys[0].Rate, keys[1].Rate}).Draw(t, "of")))
			at := clock.now
			if rapid.Bool().Draw(t, "late") {
				at = at.Add(-span(t, group.Limits.Rate))
			}
			if rapid.IntRange(0, 9).Draw(t, "sweep") == 0 {
				l.sweep(yes, yes, nil)
			}
			k := rapid.IntRange(0, len(keys)-1).Draw(t, "key")
			for range rapid.IntRange(1, 8).Draw(t, "at once") {
				if l.Admit(group, keys[k], at).Admitted {
					ofGroup = append(ofGroup, at.Sub(start))
					ofKeys[k] = append(ofKeys[k], at.Sub(start))
				}
			}
		}
		windows(t, "the group", group.Limits.Rate, ofGroup)
		for k := range keys[:2] {
			windows(t, keys[k].ID, keys[k].Rate, ofKeys[k])
		}
	})
}

// TestSteadyClientIsNeverDenied, not even with a burst of one, and after any other requests. Its requests come at the rate,
// each at the next whole nanosecond.
func TestSteadyClientIsNeverDenied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, clock := newLimiter()
		group, key := groupOf(0, 0), &decision.Key{ID: "k1", Rate: drawLimit(t, "rate")}
		_, last := l.admitAll(group, key, clock.now, rapid.IntRange(1, 30).Draw(t, "before"))
		clock.step(last.Wait + time.Second/time.Duration(key.Rate.PerSecond) + 1)
		begin := clock.now
		for i := range int64(1000) { // those of a long time, though all are at a whole nanosecond
			i *= rapid.SampledFrom([]int64{1, 1, 1000}).Draw(t, "skip")
			rate := int64(key.Rate.PerSecond)
			due := begin.Add(time.Duration((i*int64(time.Second) + rate - 1) / rate))
			if key.Rate.Burst == 1 { // then it must not even be less than a nanosecond early
				due = begin.Add(time.Duration(i * ((int64(time.Second) + rate - 1) / rate)))
			}
			if due.Before(clock.now) {
				continue
			}
			clock.now = due
			if verdict := l.Admit(group, key, clock.now); !verdict.Admitted {
				t.Fatalf("request %d of %d a second is refused for %s", i, key.Rate.PerSecond, verdict.Wait)
			}
		}
	})
}

// TestWaitIsExact: one nanosecond earlier, the request would be denied.
func TestWaitIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, clock := newLimiter()
		limits := [2]decision.RateLimit{drawLimit(t, "group"), drawLimit(t, "key")}
		for i := range limits {
			limits[i].Burst = min(limits[i].Burst, 50)
		}
		group, key := groupOf(limits[0].PerSecond, limits[0].Burst), keyOf(limits[1].PerSecond, limits[1].Burst)
		for range 5 {
			_, last := l.admitAll(group, key, clock.now, 60)
			if last.Admitted {
				t.Skip("it never waits")
			}
			if l.Admit(group, key, clock.now.Add(last.Wait-1)).Admitted {
				t.Fatal("admitted too early")
			}
			if clock.step(last.Wait); !l.Admit(group, key, clock.now).Admitted {
				t.Fatalf("refused after %s", last.Wait)
			}
		}
	})
}

// TestBothOrNone compares two limits of one request with a limiter for each: a request that one denies, the other does not count.
func TestBothOrNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, clock := newLimiter()
		alone, _ := newLimiter()
		group, key := groupOf(rapid.Uint32Range(1, 20).Draw(t, "group"), 0), keyOf(rapid.Uint32Range(1, 20).Draw(t, "key"), 0)
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			clock.step(time.Duration(rapid.Int64Range(0, int64(100*time.Millisecond)).Draw(t, "step")))
			verdict := l.Admit(group, key, clock.now)
			if verdict.Admitted {
				alone.Admit(group, keyOf(0, 0), clock.now)
				alone.Admit(groupOf(0, 0), key, clock.now)
			}
			at := int64(clock.now.Sub(start))
			ofGroup := alone.bucket(&alone.groups, group.Identity, group.Limits.Rate, 1, at).status(at)
			ofKey := alone.bucket(&alone.keys, key.ID, key.Rate, 1, at).status(at)
			if verdict.Group != ofGroup || verdict.Key != ofKey {
				t.Fatalf("%+v, and by themselves %+v and %+v", verdict, ofGroup, ofKey)
			}
		}
	})
}

// TestServersTogether: all servers together, each with its part, admit no more than the limit, except for one request each
// if there are more servers than the burst has requests.
func TestServersTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := drawLimit(t, "limit")
		n := rapid.Uint32Range(1, 40).Draw(t, "servers")
		rate, burst := 0.0, uint32(0)
		for range n {
			b := newBucket(limit, n, 0)
			rate += float64(b.rate) * float64(time.Second) / float64(b.interval)
			burst += uint32(b.burst)
		}
		if math.Abs(rate/float64(limit.PerSecond)-1) > 1e-12 || burst > max(limit.Burst, n) || burst+n <= limit.Burst {
			t.Fatalf("%d servers admit %f a second, %d at once, of %+v", n, rate, burst, limit)
		}
	})
}

// TestGivingBack never leaves more than if nothing had been taken.
func TestGivingBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := decision.RateLimit{PerSecond: rapid.Uint32Range(1, 20).Draw(t, "rate"), Burst: rapid.Uint32Range(1, 20).Draw(t, "burst")}
		with, without := newBucket(limit, 1, 0), newBucket(limit, 1, 0)
		at := int64(0)
		now := func() int64 { return at }
		step := func() { at += int64(span(t, limit)) }
		for range rapid.IntRange(0, 20).Draw(t, "before") {
			step()
			_, _ = with.take(at, now)
			_, _ = without.take(at, now)
		}
		taken := at
		if wait, _ := with.take(at, now); wait > 0 {
			return
		}
		for range rapid.IntRange(0, 5).Draw(t, "meanwhile") {
			step()
			if wait, _ := with.take(at, now); wait == 0 {
				if wait, _ = without.take(at, now); wait > 0 {
					t.Fatal("with one more taken, more requests are admitted")
				}
			}
		}
		if with.giveBack(taken, at); with.arrival.Load() < without.arrival.Load() {
			t.Fatalf("%s too much is given back", time.Duration(without.arrival.Load()-with.arrival.Load()))
		}
	})
}

// TestRace admits by two snapshots at once, between which the rate has changed and the burst has not, and sweeps meanwhile.
// The clock stands still: as many requests are admitted as the burst has, although each change replaces the bucket.
func TestRace(t *testing.T) {
	for range 20 {
		l, clock := newLimiter()
		var all sync.WaitGroup
		admitted := make([]int, 4)
		for i := range admitted {
			all.Go(func() {
				for j := range 2000 {
					if l.Admit(groupOf(uint32(1000+1000*(j%2)), 3000), keyOf(0, 0), clock.now).Admitted {
						admitted[i]++
					}
				}
			})
		}
		all.Go(func() {
			for range 500 {
				l.sweep(yes, yes, nil)
			}
		})
		all.Wait()
		if total := admitted[0] + admitted[1] + admitted[2] + admitted[3]; total != 3000 {
			t.Errorf("%d admitted of 3000", total)
		}
	}
}

// TestRaceOfPeers changes how many servers share a limit while requests come: while this server has half of the limit, each
// request counts for two.
func TestRaceOfPeers(t *testing.T) {
	l, clock := newLimiter()
	group, key := groupOf(1000, 4000), keyOf(1000, 3000)
	admitted := make([]int, 4)
	var all sync.WaitGroup
	for i := range admitted {
		all.Go(func() { admitted[i], _ = l.admitAll(group, key, clock.now, 2000) })
	}
	all.Go(func() {
		for i := range uint32(501) {
			l.PeersChanged(peers("tenants/acme", 2-i%2))
		}
	})
	all.Wait()
	l.PeersChanged(peers("tenants/acme", 1))
	more, _ := l.admitAll(group, key, clock.now, 10_000)
	total := more
	for _, n := range admitted {
		total += n
	}
	if total > 3000 || total < 3000/2-1 { // of which one may be rounded away
		t.Errorf("%d admitted of 1500 to 3000", total)
	}
}

// TestRaceOfTwoLimits: of requests that come at once, exactly as many are admitted as the group allows, and the keys have
// counted only those.
func TestRaceOfTwoLimits(t *testing.T) {
	for range 3000 { // the moment to catch is when the group has one left
		l, clock := newLimiter()
		group := groupOf(1, 6)
		keys := []*decision.Key{{ID: "k1", Rate: decision.RateLimit{PerSecond: 1, Burst: 800}},
			{ID: "k2", Rate: decision.RateLimit{PerSecond: 1, Burst: 800}}}
		var all sync.WaitGroup
		admitted := make([]int, 4)
		begin := make(chan struct{})
		for i := range admitted {
			all.Go(func() {
				<-begin
				admitted[i], _ = l.admitAll(group, keys[i%2], clock.now, 3)
			})
		}
		close(begin)
		all.Wait()
		total := 0
		for i := range admitted {
			total += admitted[i]
		}
		for i, key := range keys {
			at := int64(clock.now.Sub(start))
			if left := l.bucket(&l.keys, key.ID, key.Rate, 1, at).status(at).Left; int(left) != 800-admitted[i]-admitted[i+2] {
				t.Errorf("%s has %d left of 800, after %d and %d", key.ID, left, admitted[i], admitted[i+2])
			}
		}
		if total != 6 {
			t.Errorf("%d admitted of 6", total)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, c := range []struct {
		name  string
		group *decision.Group
		key   *decision.Key
	}{
		{"none", groupOf(0, 0), keyOf(0, 0)},
		{"group", groupOf(1_000_000, 1_000_000), keyOf(0, 0)},
		{"key", groupOf(0, 0), keyOf(1_000_000, 1_000_000)},
		{"both", groupOf(1_000_000, 1_000_000), keyOf(1_000_000, 1_000_000)},
		{"both, refused", groupOf(1_000_000, 1_000_000), keyOf(1, 1)},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := New(time.Now)
			now := time.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				l.Admit(c.group, c.key, now.Add(time.Duration(i)*time.Microsecond))
			}
		})
	}
	b.Run("both, in parallel", func(b *testing.B) {
		l := New(time.Now)
		group, key := groupOf(1_000_000, 1_000_000), keyOf(1_000_000, 1_000_000)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.Admit(group, key, time.Now())
			}
		})
	})
}
