package throttle

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(after time.Duration) time.Time { return begin.Add(after) }

func address(n int) netip.Addr {
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], uint32(n))
	return netip.AddrFrom4(bytes)
}

func TestFailuresPerMinute(t *testing.T) {
	throttle := New(Config{Failures: 60, IPv6Prefix: 64})
	client, neighbour := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 60 {
		if wait := throttle.Fail(client, at(time.Duration(i)*time.Second/2)); wait != 0 {
			t.Fatalf("failure %d has to wait %v", i+1, wait)
		}
	}
	if wait := throttle.Fail(client, at(30*time.Second)); wait != 30*time.Second {
		t.Errorf("failure 61 has to wait %v", wait)
	}
	if wait := throttle.Fail(client, at(Window-time.Millisecond)); wait != time.Millisecond {
		t.Errorf("in the last moment of the minute it has to wait %v", wait)
	}
	if wait := throttle.Fail(neighbour, at(30*time.Second)); wait != 0 {
		t.Errorf("its neighbour has to wait %v", wait)
	}
	if wait := throttle.Fail(client, at(Window)); wait != 0 {
		t.Errorf("after a minute it has to wait %v", wait)
	}
}

func TestClientIdentity(t *testing.T) {
	for _, c := range []struct {
		first, second string
		prefix        int
		same          bool
	}{
		{"192.0.2.1", "192.0.2.1", 64, true},
		{"192.0.2.1", "192.0.2.2", 64, false},
		{"192.0.2.1", "::ffff:192.0.2.1", 64, true},
		{"2001:db8::1", "2001:db8::ffff:1", 64, true},
		{"2001:db8::1", "2001:db8:0:1::1", 64, false},
		{"2001:db8::1", "2001:db8:0:1::1", 56, true},
		{"2001:db8::1", "2001:db8::2", 128, false},
		{"fe80::1%eth0", "fe80::1%eth1", 128, true},
		{"::192.0.2.1", "192.0.2.1", 128, false},
	} {
		throttle := New(Config{Failures: 1, IPv6Prefix: c.prefix})
		throttle.Fail(netip.MustParseAddr(c.first), begin)
		if same := throttle.Fail(netip.MustParseAddr(c.second), begin) != 0; same != c.same {
			t.Errorf("%s and %s by /%d: same %v", c.first, c.second, c.prefix, same)
		}
	}
}

func TestOffAndUnknown(t *testing.T) {
	off, on := New(Config{Failures: 0, IPv6Prefix: 64}), New(Config{Failures: 1, IPv6Prefix: 64})
	for range 3 {
		if wait := off.Fail(address(1), begin); wait != 0 {
			t.Errorf("a throttle that is off makes clients wait %v", wait)
		}
		if wait := on.Fail(netip.Addr{}, begin); wait != 0 {
			t.Errorf("an unknown client has to wait %v", wait)
		}
	}
}

func TestClockTurnedBack(t *testing.T) {
	throttle := New(Config{Failures: 1, IPv6Prefix: 64})
	throttle.Fail(address(1), at(time.Hour))
	if wait := throttle.Fail(address(1), begin); wait != 0 {
		t.Errorf("it has to wait %v", wait)
	}
}

// TestAgainstAModel compares with a map that forgets nothing, for so few clients that the table forgets nothing either.
func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type window struct {
			end      time.Time
			failures int
		}
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		throttle, model, now := New(Config{Failures: limit, IPv6Prefix: 64}), map[int]window{}, begin
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "pause")) * time.Millisecond)
			client := rapid.IntRange(1, setSize).Draw(t, "client")
			w := model[client]
			if !now.Before(w.end) {
				w = window{end: now.Add(Window)}
			}
			var want time.Duration
			if w.failures == limit {
				want = w.end.Sub(now)
			} else {
				w.failures++
			}
			model[client] = w
			if got := throttle.Fail(address(client), now); got != want {
				t.Fatalf("client %d waits %v, want %v", client, got, want)
			}
		}
	})
}

// TestFloodOfAddresses makes a million clients fail, and checks the memory and a client that had failed too often before.
func TestFloodOfAddresses(t *testing.T) {
	const clients, limit = 1_000_000, 64 << 20
	before := heap()
	throttle := New(Config{Failures: 60, IPv6Prefix: 64})
	offender := netip.MustParseAddr("2001:db8::1")
	for range 60 {
		throttle.Fail(offender, begin)
	}
	for i := range clients {
		throttle.Fail(address(i), at(time.Second))
	}
	used := heap() - before
	t.Logf("%d clients in %.1f MiB", clients, float64(used)/(1<<20))
	if used > limit {
		t.Errorf("%d bytes", used)
	}
	if throttle.Fail(offender, at(2*time.Second)) == 0 {
		t.Error("the flood evicted the client that failed most")
	}
	runtime.KeepAlive(throttle)
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestConcurrentFailures(t *testing.T) {
	const workers, attempts, limit = 8, 100, 250
	throttle := New(Config{Failures: limit, IPv6Prefix: 64})
	var group sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range workers {
		group.Go(func() {
			for range attempts {
				if throttle.Fail(address(1), begin) == 0 {
					mu.Lock()
					passed++
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	if passed != limit {
		t.Errorf("%d of %d failures passed", passed, limit)
	}
}

func BenchmarkFail(b *testing.B) {
	for name, clients := range map[string]int{"OneClient": 1, "MillionClients": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			throttle := New(Config{Failures: 60, IPv6Prefix: 64})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				throttle.Fail(address(i%clients), begin)
			}
		})
	}
}

// TestWindow: a window may be longer than a minute, and ends when it is over.
func TestWindow(t *testing.T) {
	throttle := New(Config{Failures: 2, Window: 15 * time.Minute, IPv6Prefix: 64})
	throttle.FailTogether("jane", at(0))
	throttle.FailTogether("jane", at(10*time.Minute))
	if wait := throttle.FailTogether("jane", at(14*time.Minute)); wait != time.Minute {
		t.Errorf("the third has to wait %v", wait)
	}
	if wait := throttle.FailTogether("jane", at(15*time.Minute)); wait != 0 {
		t.Errorf("after the window it has to wait %v", wait)
	}
}
