package ratelimit

import (
	"fmt"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// clock is a clock that stands still.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func (c *clock) step(by time.Duration) { c.now = c.now.Add(by) }

func newLimiter() (*Limiter, *clock) {
	c := &clock{start}
	return New(c.read), c
}

func groupOf(perSecond, burst uint32) *decision.Group {
	return &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{Rate: decision.RateLimit{PerSecond: perSecond, Burst: burst}}}
}

func keyOf(perSecond, burst uint32) *decision.Key {
	return &decision.Key{ID: "k1", Rate: decision.RateLimit{PerSecond: perSecond, Burst: burst}}
}

func peers(group string, servers uint32) *syncv1.Servers {
	return &syncv1.Servers{Groups: []*syncv1.GroupServers{{Group: group, Servers: servers}}}
}

func yes(string) bool { return true }

func no(string) bool { return false }

// admit offers requests at once, and returns how many were admitted and the last verdict.
func (l *Limiter) admitAll(group *decision.Group, key *decision.Key, at time.Time, offered int) (admitted int, last Verdict) {
	for range offered {
		if last = l.Admit(group, key, at); last.Admitted {
			admitted++
		}
	}
	return admitted, last
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name     string
		group    *decision.Group
		key      *decision.Key
		servers  uint32
		admitted int // of 100 at once
		wait     time.Duration
		then     int // of 100 one second later
	}{
		{"no limit", groupOf(0, 0), keyOf(0, 0), 1, 100, 0, 100},
		{"a burst without a rate", groupOf(0, 5), keyOf(0, 5), 1, 100, 0, 100},
		{"a group", groupOf(10, 20), keyOf(0, 0), 1, 20, 100 * time.Millisecond, 10},
		{"a key", groupOf(0, 0), keyOf(10, 5), 1, 5, 100 * time.Millisecond, 5},
		{"no burst is one second's worth", groupOf(7, 0), keyOf(0, 0), 1, 7, 142857143, 7},
		{"both, the group less", groupOf(4, 3), keyOf(10, 20), 1, 3, 250 * time.Millisecond, 3},
		{"both, the key less", groupOf(10, 20), keyOf(4, 3), 1, 3, 250 * time.Millisecond, 3},
		{"two servers", groupOf(10, 20), keyOf(0, 0), 2, 10, 200 * time.Millisecond, 5},
		{"the key's limit is shared, too", groupOf(0, 0), keyOf(10, 20), 2, 10, 200 * time.Millisecond, 5},
		{"more servers than the burst is", groupOf(2, 3), keyOf(0, 0), 4, 1, 2 * time.Second, 0},
		{"as fast as can be", groupOf(1_000_000, 1), keyOf(0, 0), 1, 1, time.Microsecond, 1},
		{"as slow as can be", groupOf(1, 1), keyOf(0, 0), 4_000_000_000, 1, maxLimit * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, clock := newLimiter()
			l.PeersChanged(peers("tenants/acme", c.servers))
			admitted, last := l.admitAll(c.group, c.key, clock.now, 100)
			if admitted != c.admitted || last.Wait != c.wait {
				t.Errorf("%d admitted, wait %s", admitted, last.Wait)
			}
			clock.step(time.Second)
			if then, _ := l.admitAll(c.group, c.key, clock.now, 100); then != c.then {
				t.Errorf("then %d admitted", then)
			}
		})
	}
}

// TestStatuses, which headers are made of.
func TestStatuses(t *testing.T) {
	l, clock := newLimiter()
	l.PeersChanged(peers("tenants/acme", 2))
	group, key := groupOf(10, 20), keyOf(4, 8)
	for i, want := range []Verdict{
		{Admitted: true, Statuses: Statuses{Group: Status{group.Limits.Rate, 9, 200 * time.Millisecond},
			Key: Status{key.Rate, 3, 500 * time.Millisecond}}},
		{Admitted: true, Statuses: Statuses{Group: Status{group.Limits.Rate, 8, 400 * time.Millisecond}, Key: Status{key.Rate, 2, time.Second}}},
		{Admitted: true, Statuses: Statuses{Group: Status{group.Limits.Rate, 7, 600 * time.Millisecond},
			Key: Status{key.Rate, 1, 1500 * time.Millisecond}}},
		{Admitted: true, Statuses: Statuses{Group: Status{group.Limits.Rate, 6, 800 * time.Millisecond},
			Key: Status{key.Rate, 0, 500 * time.Millisecond}}},
		{Wait: 500 * time.Millisecond, Statuses: Statuses{Group: Status{group.Limits.Rate, 6, 800 * time.Millisecond},
			Key: Status{key.Rate, 0, 500 * time.Millisecond}}},
	} {
		if got := l.Admit(group, key, clock.now); got != want {
			t.Errorf("request %d: %+v", i, got)
		}
	}
}

// TestChanges: when a limit or the number of servers changes, the bucket stays as full as it was, in proportion, and also
// when a limit comes back.
func TestChanges(t *testing.T) {
	steps := []struct {
		name     string
		group    *decision.Group
		servers  uint32
		admitted int // of 1000 at once
	}{
		{"at first", groupOf(10, 100), 1, 100},
		{"another server", groupOf(10, 100), 2, 0},
		{"it goes again", groupOf(10, 100), 1, 0},
		{"a lower limit", groupOf(1, 1), 1, 0},
		{"a higher limit", groupOf(1000, 1000), 1, 0},
		{"no burst any more", groupOf(10, 0), 1, 0},
		{"as before", groupOf(10, 100), 1, 0},
	}
	l, clock := newLimiter()
	for _, s := range steps {
		l.PeersChanged(peers("tenants/acme", s.servers))
		if admitted, last := l.admitAll(s.group, keyOf(0, 0), clock.now, 1000); admitted != s.admitted || last.Wait > time.Second {
			t.Errorf("%s: %d admitted, wait %s", s.name, admitted, last.Wait)
		}
	}
	clock.step(5 * time.Second) // half of the burst
	l.PeersChanged(peers("tenants/acme", 2))
	if admitted, _ := l.admitAll(groupOf(10, 100), keyOf(0, 0), clock.now, 1000); admitted != 25 {
		t.Errorf("half full, half of it: %d admitted", admitted)
	}
}

// TestClockTurnedBack: requests are denied for no longer than the interval between two requests, and none is admitted
// because of it.
func TestClockTurnedBack(t *testing.T) {
	group, key := groupOf(10, 20), keyOf(0, 0)
	for _, back := range []time.Duration{time.Millisecond, time.Second, time.Hour, 1000 * time.Hour} {
		l, clock := newLimiter()
		l.admitAll(group, key, clock.now, 100)
		for range 10 {
			clock.step(-back)
			if admitted, last := l.admitAll(group, key, clock.now, 100); admitted != 0 || last.Wait != 100*time.Millisecond {
				t.Errorf("%s back: %d admitted, wait %s", back, admitted, last.Wait)
			}
		}
		clock.step(500 * time.Millisecond)
		if admitted, _ := l.admitAll(group, key, clock.now, 100); admitted != 5 {
			t.Errorf("%s back, and on: %d admitted", back, admitted)
		}
	}
}

// TestLateRequest: a request that read the clock before others did undoes nothing.
func TestLateRequest(t *testing.T) {
	l, clock := newLimiter()
	group, key := groupOf(10, 20), keyOf(0, 0)
	late := clock.now
	clock.step(time.Hour)
	l.admitAll(group, key, clock.now, 20)
	if verdict := l.Admit(group, key, late); verdict.Admitted {
		t.Error("it is admitted")
	}
	if admitted, _ := l.admitAll(group, key, clock.now, 20); admitted != 0 {
		t.Errorf("after it %d are admitted", admitted)
	}
}

// TestForgetting: buckets that have nothing to remember are forgotten, and no others.
func TestForgetting(t *testing.T) {
	l, clock := newLimiter()
	count := func() (n int) {
		each := func(any, any) bool { n++; return true }
		l.groups.Range(each)
		l.keys.Range(each)
		return n
	}
	for i := range 1000 {
		key := keyOf(1, 2)
		key.ID = fmt.Sprint("k", i)
		l.admitAll(groupOf(1, 2000), key, clock.now, 1+i%2)
	}
	clock.step(time.Second)
	l.sweep(yes, yes, nil)
	if n := count(); n != 501 {
		t.Errorf("%d buckets after a second", n)
	}
	if admitted, _ := l.admitAll(groupOf(0, 0), keyOf(1, 2), clock.now, 10); admitted != 1 {
		t.Errorf("%d admitted by a key that is remembered", admitted)
	}
	l.sweep(yes, no, nil)
	if n := count(); n != 1 {
		t.Errorf("%d buckets without keys", n)
	}
	l.PeersChanged(peers("tenants/acme", 3))
	missing := l.sweep(no, no, nil)
	if l.servers("tenants/acme") != 3 || count() != 0 {
		t.Error("a group that is about to arrive is forgotten")
	}
	if l.sweep(no, no, missing); l.servers("tenants/acme") != 1 {
		t.Error("a group that was deleted is remembered")
	}
}

func TestPeersChanged(t *testing.T) {
	l, _ := newLimiter()
	for i, step := range []struct {
		servers  uint32
		settling bool
		want     uint32
	}{{0, false, 1}, {3, false, 3}, {1, true, 3}, {4, true, 4}, {2, false, 2}, {0, true, 2}, {0, false, 1}, {2, true, 2}} {
		message := peers("tenants/acme", step.servers)
		message.StartupGrace = step.settling
		if l.PeersChanged(message); l.servers("tenants/acme") != step.want || l.servers("tenants/other") != 1 {
			t.Errorf("step %d: %d servers", i, l.servers("tenants/acme"))
		}
	}
}

// FuzzScale compares with the definition if that does not overflow.
func FuzzScale(f *testing.F) {
	f.Add(uint32(3), uint32(7), uint32(9))
	f.Fuzz(func(t *testing.T, part, to, of uint32) {
		if of == 0 || part > of {
			return
		}
		got, product := scale(int64(part), int64(to), int64(of)), int64(part)*int64(to)
		if got*int64(of) < product || (got-1)*int64(of) >= product || got > int64(to) {
			t.Errorf("%d * %d / %d = %d", part, to, of, got)
		}
	})
}
