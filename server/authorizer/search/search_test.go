package search

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

// work is the most of one search: a hundredth of what one client may spend at once.
const work = int(burst / clientUnitTime / 100)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func budget(atOnce int) *Budget {
	return New(Config{AtOnce: atOnce, IPv6Prefix: 64, Work: work}, prometheus.NewRegistry())
}

// searches counts how many of n searches are made.
func searches(t *testing.T, b *Budget, n int, client string, now time.Time, spent int) (made int) {
	t.Helper()
	address := netip.Addr{}
	if client != "" {
		address = netip.MustParseAddr(client)
	}
	for range n {
		if b.Begin(t.Context(), address, now) {
			b.End(address, spent)
			made++
		}
	}
	return made
}

// TestBudgets: how much one client may spend, how much all may, and that the budget is restored over time.
func TestBudgets(t *testing.T) {
	b := budget(1)
	now := noon
	for i, step := range []struct {
		after  time.Duration
		client string
		spent  int // per mille of the most
		made   int // of 2000
	}{
		{0, "192.0.2.1", 1000, 100},
		{0, "192.0.2.1", 0, 0},
		{0, "2001:db8::1", 1000, 100},
		{0, "2001:db8::2", 1000, 0},          // the same client
		{0, "192.0.2.2", 500, 199},           // the last one could have taken more than there is
		{0, "", 1000, 500},                   // an unknown client may have all that is left
		{0, "192.0.2.3", 1000, 0},            // and has taken it
		{burst / 100, "192.0.2.1", 1000, 1},  // a hundredth of its own came back
		{0, "192.0.2.4", 1000, 7},            // and of all
		{burst, "192.0.2.1", 1000, 100},      // as much as there was, and no more
		{10 * burst, "192.0.2.1", 1000, 100}, // also after a longer time
		{-time.Second, "192.0.2.1", 1000, 0}, // readings of the clock overtake each other
		{-time.Hour, "192.0.2.1", 1000, 100}, // it was turned back
	} {
		now = now.Add(step.after)
		if got := searches(t, b, 2000, step.client, now, step.spent*work/1000); got != step.made {
			t.Errorf("step %d: %d searches were made, want %d", i, got, step.made)
		}
	}
}

// TestSkippedSearchesAreCounted by what was used up.
func TestSkippedSearchesAreCounted(t *testing.T) {
	b := budget(1)
	searches(t, b, 101, "192.0.2.1", noon, work)
	searches(t, b, 703, "", noon, work)
	disconnected, cancel := context.WithCancel(t.Context())
	cancel()
	b.slots <- struct{}{} // a search is being made
	if later := noon.Add(time.Second); b.Begin(disconnected, netip.Addr{}, later) {
		t.Error("a search is made for a client that has disconnected")
	}
	for want, counter := range map[float64]prometheus.Counter{1: b.ofClient, 3: b.ofAll} {
		if got := testutil.ToFloat64(counter); got != want {
			t.Errorf("%v are counted, want %v", got, want)
		}
	}
	if got := testutil.ToFloat64(b.ofNone); got != 1 {
		t.Errorf("%v are counted of clients that have disconnected", got)
	}
}

// TestSearchesAtOnce: there are never more than allowed, and those that wait come next.
func TestSearchesAtOnce(t *testing.T) {
	const atOnce, all = 2, 40
	b := budget(atOnce)
	var making, most, made atomic.Int64
	var searching sync.WaitGroup
	for range all {
		searching.Go(func() {
			if !b.Begin(t.Context(), netip.Addr{}, noon) {
				return
			}
			if n := making.Add(1); n > most.Load() {
				most.Store(n)
			}
			runtime.Gosched()
			making.Add(-1)
			made.Add(1)
			b.End(netip.Addr{}, work)
		})
	}
	searching.Wait()
	if most.Load() > atOnce || made.Load() != all {
		t.Errorf("%d searches at once, and %d in all", most.Load(), made.Load())
	}
}

// TestClientsSpendNoMoreThanTheirShare of the time, however much and whenever they spend.
func TestClientsSpendNoMoreThanTheirShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := budget(1)
		now, total, own := noon, time.Duration(0), map[int]time.Duration{}
		for range rapid.IntRange(1, 300).Draw(t, "searches") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(burst/10)).Draw(t, "pause")))
			client := rapid.IntRange(0, 9).Draw(t, "client")
			address := netip.AddrFrom4([4]byte{192, 0, 2, byte(client)})
			if !b.Begin(context.Background(), address, now) {
				continue
			}
			spent := rapid.IntRange(0, work).Draw(t, "spent")
			b.End(address, spent)
			total += time.Duration(spent) * unitTime
			own[client] += time.Duration(spent) * clientUnitTime
			if most := burst + now.Sub(noon); total > most || own[client] > most {
				t.Fatalf("after %v all have spent %v, and client %d %v", now.Sub(noon), total, client, own[client])
			}
		}
	})
}

// TestSearchAllocatesNothing, for any client.
func TestSearchAllocatesNothing(t *testing.T) {
	b, now := budget(1), noon
	for _, client := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")} {
		if n := testing.AllocsPerRun(100, func() {
			now = now.Add(time.Second)
			if !b.Begin(t.Context(), client, now) {
				t.Error("no search")
			}
			b.End(client, work)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	var none *Budget
	if !none.Begin(t.Context(), netip.Addr{}, noon) {
		t.Error("without a budget there is no search")
	}
	none.End(netip.Addr{}, work)
}

func BenchmarkSearch(b *testing.B) {
	budget, now, client := budget(1), noon, netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		now = now.Add(time.Second)
		if budget.Begin(b.Context(), client, now) {
			budget.End(client, 0)
		}
	}
}
