package accesslog

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

// TestReceiptsMatchAModel: each counts once, memory is bounded, and a Group with less than an equal share of it loses
// nothing.
func TestReceiptsMatchAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 24).Draw(t, "limit")
		r := newReceipts(limit, time.Now, prometheus.NewRegistry())
		held := map[string][]string{} // by Group, as long as they must be there
		groups := rapid.SampledFrom([]string{"a/a", "a/b", "b/a", "b/b"})
		t.Repeat(map[string]func(*rapid.T){
			"issue": func(t *rapid.T) {
				group := groups.Draw(t, "group")
				before := testutil.ToFloat64(r.dropped)
				counts := map[string]int{}
				for name, h := range r.groups {
					counts[name] = h.count
				}
				text := r.Issue(group, "k-"+group)
				if testutil.ToFloat64(r.dropped) > before {
					loser := ""
					for name, receipts := range held {
						now := 0
						if h := r.groups[name]; h != nil {
							now = h.count
						}
						if name == group {
							now--
						}
						if now < len(receipts) {
							loser = name
						}
					}
					if all := max(len(counts), 1); counts[loser] < limit/(all+1) || loser == "" {
						t.Fatalf("%q lost one of its %d; all have %v", loser, counts[loser], counts)
					}
					held[loser] = held[loser][1:]
				}
				held[group] = append(held[group], text)
			},
			"redeem": func(t *rapid.T) {
				group := groups.Draw(t, "group")
				if len(held[group]) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(held[group])-1).Draw(t, "which")
				text := held[group][i]
				held[group] = append(held[group][:i:i], held[group][i+1:]...)
				if response, known := r.redeem(text, 7); !known || response != (Response{Group: group, KeyID: "k-" + group, BodyBytes: 7}) {
					t.Fatalf("%+v, %v", response, known)
				}
				if _, known := r.redeem(text, 7); known {
					t.Fatal("it counts twice")
				}
			},
			"": func(t *rapid.T) {
				all := 0
				for group, receipts := range held {
					all += len(receipts)
					if h := r.groups[group]; len(receipts) == 0 && h != nil || len(receipts) > 0 && (h == nil || h.count != len(receipts)) {
						t.Fatalf("%s has %+v of %d", group, h, len(receipts))
					}
				}
				if all != r.count() || all > limit {
					t.Fatalf("%d of %d, at most %d", r.count(), all, limit)
				}
			},
		})
	})
}

// TestReceiptFloodIsBounded, in memory, and affects only the Group that causes it.
func TestReceiptFloodIsBounded(t *testing.T) {
	r := NewReceipts(time.Now, prometheus.NewRegistry())
	quiet := r.Issue("tenants/quiet", "k1")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 8 * maxReceipts {
		r.Issue(fmt.Sprintf("tenants/loud-%d", i%7), "k2")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 40 << 20 // also with the race detector
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > most {
		t.Errorf("a flood takes %d bytes", grown)
	} else {
		t.Logf("%d receipts take %d bytes", r.count(), grown)
	}
	if _, known := r.redeem(quiet, 1); !known {
		t.Error("the flood cost another Group its receipt")
	}
}

// TestReportedBytesArePlausible: a client with a key can claim no more bytes than could have been sent in the meantime.
func TestReportedBytesArePlausible(t *testing.T) {
	start := time.Now()
	for name, c := range map[string]struct {
		after       time.Duration
		bytes, want uint64
	}{
		"small, at once":    {0, 5000, 5000},
		"forged, at once":   {0, 1 << 40, 1 << 20},
		"within a second":   {time.Second, 10 << 30, 10 << 30},
		"forged, a second":  {time.Second, 1 << 63, 1<<20 + 12_500_000_000},
		"a day":             {24 * time.Hour, 1<<64 - 1, 1 << 40},
		"the clock is back": {-time.Hour, 1 << 40, 1 << 20},
	} {
		now := start
		r := newReceipts(1, func() time.Time { return now }, prometheus.NewRegistry())
		text := r.Issue("tenants/acme", "k1")
		now = start.Add(c.after)
		if response, _ := r.redeem(text, c.bytes); response.BodyBytes != c.want {
			t.Errorf("%s: %d bytes, not %d", name, response.BodyBytes, c.want)
		}
	}
}

// TestConcurrentReceipts are issued and redeemed at once.
func TestConcurrentReceipts(t *testing.T) {
	r := newReceipts(64, time.Now, prometheus.NewRegistry())
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 1000 {
				r.redeem(r.Issue(fmt.Sprintf("tenants/%d", i%3), "k1"), 1)
			}
		})
	}
	all.Wait()
	if r.count() != 0 || len(r.groups) != 0 {
		t.Errorf("%d receipts of %d Groups are left", r.count(), len(r.groups))
	}
}
