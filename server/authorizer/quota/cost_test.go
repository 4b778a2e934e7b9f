package quota

import (
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestCosts: requests count as many as they cost, whichever way they are counted, or are refused as a whole.
func TestCosts(t *testing.T) {
	refuseFrom := func(cost uint64) func(*syncv1.Allowance) {
		return func(a *syncv1.Allowance) { a.RefuseFrom = cost }
	}
	unlimited, metered, bytes := limited(true), limited(true), limited(true)
	unlimited.Limits.RequestQuota, metered.Limits.Metered, bytes.Limits.ByteQuota = false, true, true
	for _, c := range []struct {
		name  string
		group *decision.Group
		cost  uint64
		given func(b *Tracker)
		code  decision.Code
		want  use
	}{
		{"no quota", unlimited, 5, nil, decision.Allowed, use{requests: 5}},
		{"metered", metered, 5, nil, decision.Allowed, use{requests: 5}},
		{"all that is left", limited(true), 5, func(b *Tracker) { b.lease(5, 1) }, decision.Allowed,
			use{leased: 5, sequence: 1, spent: 5, requests: 5}},
		{"more than is left here", limited(true), 6, func(b *Tracker) { b.lease(5, 1) }, decision.QuotaUnavailable, use{leased: 5, sequence: 1}},
		{"more than is left here, allow", limited(false), 6, func(b *Tracker) { b.lease(5, 1) }, decision.Allowed,
			use{leased: 5, sequence: 1, requests: 6, unconfirmed: 6}},
		{"more than is left of the quota", limited(false), 6, func(b *Tracker) { b.lease(5, 1, refuseFrom(6)) }, decision.QuotaExceeded,
			use{leased: 5, sequence: 1}},
		{"not more than is left of the quota", limited(true), 6, func(b *Tracker) { b.lease(5, 1, refuseFrom(7)) },
			decision.QuotaUnavailable, use{leased: 5, sequence: 1}},
		{"what is known of the quota changes", limited(true), 6, func(b *Tracker) { b.lease(5, 1, refuseFrom(6)); b.lease(5, 1) },
			decision.QuotaUnavailable, use{leased: 5, sequence: 1}},
		{"free, though exhausted", limited(true), 0, func(b *Tracker) { b.lease(0, 1, exhausted) }, decision.Allowed, use{sequence: 1}},
		{"free, but it has bytes", bytes, 0, func(b *Tracker) { b.lease(0, 1, exhausted) }, decision.QuotaExceeded, use{sequence: 1}},
		{"free, and bytes are left", bytes, 0, func(b *Tracker) { b.lease(0, 1) }, decision.Allowed, use{sequence: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTracker()
			b.Sent("tenants/acme", 0, now)
			if c.given != nil {
				c.given(b)
			}
			code, _ := b.Spend(t.Context(), c.group, "", c.cost, now)
			if got := b.month("tenants/acme", now).use(); code != c.code || got != c.want {
				t.Errorf("%v, then %+v", code, got)
			}
		})
	}
}

// TestNeedsAreReported: a request that waits is reported with what it costs, together with what the server asks for, and goes on
// once it has that. Cheap requests go on meanwhile.
func TestNeedsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTracker()
		b.SetConnected(true)
		b.Sent("tenants/acme", 0, now)
		b.lease(30, 1)
		waiting := make(chan decision.Code)
		go func() {
			code, _ := b.Spend(t.Context(), limited(true), "", 100, now)
			waiting <- code
		}()
		synctest.Wait()
		if said := b.Urgent(now); len(said) != 1 || said[0].GetNeeds() != 100 || said[0].GetWants() < 70 || said[0].GetSpent() != 0 {
			t.Fatalf("reported %v", said)
		}
		if code, _ := b.Spend(t.Context(), limited(true), "", 2, now); code != decision.Allowed {
			t.Errorf("a cheap request: %v", code)
		}
		b.lease(101, 2)
		synctest.Wait()
		if said := b.Urgent(now); len(said) != 1 || said[0].GetNeeds() != 100 || said[0].GetWants() < 1 {
			t.Fatalf("with one too few, it reports %v", said)
		}
		b.lease(102, 3)
		if code := <-waiting; code != decision.Allowed {
			t.Error(code)
		}
		if is := b.month("tenants/acme", now).use(); is.spent != 102 {
			t.Errorf("%+v", is)
		}
		time.Sleep(time.Second)
	})
}

// TestLowIsNoticed also where a request skips the very number.
func TestLowIsNoticed(t *testing.T) {
	b := newTracker()
	b.Sent("tenants/acme", 0, now)
	b.lease(10, 1)
	for i, want := range []bool{false, true, false} {
		b.Urgent(now)
		b.Spend(t.Context(), limited(true), "", 3, now)
		if got := len(b.Urgent(now)) > 0; got != want {
			t.Errorf("after %d requests it is reported: %t", i+1, got)
		}
	}
}
