package quota

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func limited(deny bool) *decision.Group {
	return &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{RequestQuota: true, DenyUnknown: deny}}
}

func newTracker() *Tracker { return New(prometheus.NewRegistry()) }

func (b *Tracker) lease(leased, sequence uint64, change ...func(*syncv1.Allowance)) {
	allowance := &syncv1.Allowance{Group: "tenants/acme", Period: "2026-11", Leased: leased, Sequence: sequence,
		State: syncv1.QuotaState_QUOTA_STATE_OPEN}
	for _, f := range change {
		f(allowance)
	}
	b.Allow(&syncv1.Allowances{NowMs: now.UnixMilli(), Groups: []*syncv1.Allowance{allowance}}, now)
}

func recall(a *syncv1.Allowance) { a.Recall = true }

func exhausted(a *syncv1.Allowance) { a.State = syncv1.QuotaState_QUOTA_STATE_EXHAUSTED }

// TestVerdicts with and without an allowance, a quota and the manager.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name  string
		group *decision.Group
		given func(b *Tracker)
		code  decision.Code
		wait  time.Duration
		want  use // after one request
	}{
		{"no quota", &decision.Group{Identity: "tenants/acme"}, nil, decision.Allowed, 0, use{requests: 1}},
		{"metered", &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{RequestQuota: true, Metered: true}}, nil,
			decision.Allowed, 0, use{requests: 1}},
		{"an allowance", limited(true), func(b *Tracker) { b.lease(5, 1) }, decision.Allowed, 0,
			use{leased: 5, sequence: 1, spent: 1, requests: 1}},
		{"unknown, deny", limited(true), nil, decision.QuotaUnavailable, time.Second, use{}},
		{"unknown, allow", limited(false), nil, decision.Allowed, 0, use{requests: 1, unconfirmed: 1}},
		{"exhausted", limited(false), func(b *Tracker) { b.lease(0, 1, exhausted) }, decision.QuotaExceeded, 228 * time.Hour, use{sequence: 1}},
		{"exhausted, but there was one left", limited(false), func(b *Tracker) { b.lease(1, 1, exhausted) }, decision.Allowed, 0,
			use{leased: 1, sequence: 1, spent: 1, requests: 1}},
		{"recalled", limited(true), func(b *Tracker) { b.lease(5, 1); b.lease(5, 1, recall) }, decision.QuotaUnavailable, time.Second,
			use{sequence: 1}},
		{"bytes", &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{ByteQuota: true}}, nil, decision.Allowed, 0,
			use{requests: 1}},
		{"no bytes", &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{ByteQuota: true}},
			func(b *Tracker) { b.lease(0, 0, exhausted) }, decision.QuotaExceeded, 228 * time.Hour, use{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTracker()
			b.Sent("tenants/acme", 0, now)
			if c.given != nil {
				c.given(b)
			}
			code, wait := b.Spend(t.Context(), c.group, "", 1, now)
			m := b.month("tenants/acme", now)
			if got := m.use(); code != c.code || wait != c.wait || got != c.want {
				t.Errorf("%v for %v, then %+v", code, wait, got)
			}
		})
	}
}

// TestWaiting: a request waits for the manager while it is connected, and for a bounded time. After the manager did not respond,
// other requests do not wait until it does.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTracker()
		b.SetConnected(true)
		spend := func(deny bool) (decision.Code, time.Duration) {
			begin := time.Now()
			code, _ := b.Spend(t.Context(), limited(deny), "", 1, now)
			return code, time.Since(begin)
		}
		if code, took := spend(true); code != decision.QuotaUnavailable || took != allowanceTimeout {
			t.Errorf("%v after %v", code, took)
		}
		if code, took := spend(false); code != decision.Allowed || took != 0 {
			t.Errorf("%v after %v", code, took)
		}
		b.lease(0, 1)
		go func() {
			time.Sleep(allowanceTimeout / 2)
			b.lease(1, 2)
		}()
		if code, took := spend(true); code != decision.Allowed || took != allowanceTimeout/2 {
			t.Errorf("%v after %v", code, took)
		}
		if wants := b.Urgent(now); len(wants) != 1 || wants[0].GetSpent() != 1 {
			t.Errorf("reported %v", wants)
		}
	})
}

// TestRecallIsAtomic spends and recalls at the same time: what was spent is reported as spent.
func TestRecallIsAtomic(t *testing.T) {
	b := newTracker()
	b.Sent("tenants/acme", 0, now)
	var admitted atomic.Uint64
	var spending sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		spending.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, _ := b.Spend(t.Context(), limited(true), "", 1, now); code == decision.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	m := b.month("tenants/acme", now)
	leased, sequence := uint64(0), uint64(0)
	for range 30_000 { // to hit the moment of the recall
		leased += 20
		sequence++
		b.lease(leased, sequence)
		b.lease(leased, sequence, recall)
		m.mu.Lock()
		leased = m.use().leased
		m.mu.Unlock()
	}
	close(stop)
	spending.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if is := m.use(); is.spent != admitted.Load() || is.spent > is.leased {
		t.Errorf("%d admitted, %+v", admitted.Load(), is)
	}
}

// TestMonths: the month is the one of the manager's clock, not of the server's. Nothing of an allowance is carried over, and the
// old month is reported until it is persisted.
func TestMonths(t *testing.T) {
	for _, end := range []time.Time{
		time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC), // after a leap second
		time.Date(2015, 7, 1, 0, 0, 0, 0, time.UTC),
	} {
		for _, skew := range []time.Duration{-5 * time.Second, 0, 5 * time.Second} {
			b := newTracker()
			clock := func(manager time.Time) time.Time { return manager.Add(skew) }
			before := end.Add(-time.Millisecond)
			b.Allow(&syncv1.Allowances{NowMs: before.Add(-time.Minute).UnixMilli()}, clock(before.Add(-time.Minute)))
			b.Sent("tenants/acme", 7, clock(before))
			period := before.Format("2006-01")
			b.Allow(&syncv1.Allowances{NowMs: before.UnixMilli(),
				Groups: []*syncv1.Allowance{{Group: "tenants/acme", Period: period, Leased: 10, Sequence: 1}}}, clock(before))
			if code, _ := b.Spend(t.Context(), limited(true), "", 1, clock(before)); code != decision.Allowed {
				t.Errorf("%s by %s: %v in the last millisecond", end, skew, code)
			}
			if code, _ := b.Spend(t.Context(), limited(true), "", 1, clock(end)); code != decision.QuotaUnavailable {
				t.Errorf("%s by %s: %v with the allowance of the month before", end, skew, code)
			}
			b.Sent("tenants/acme", 8, clock(end))
			uses := b.Due(clock(end), false)
			if len(uses) != 2 || uses[0].GetPeriod() != period || uses[0].GetRequests() != 1 || uses[0].GetBytes() != 7 ||
				uses[1].GetBytes() != 8 || uses[1].GetRequests() != 0 {
				t.Errorf("%s by %s: %v", end, skew, uses)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	b := newTracker()
	b.Spend(t.Context(), limited(false), "", 1, now)
	b.Spend(t.Context(), limited(true), "", 1, now)
	if got := testutil.ToFloat64(b.metrics.unconfirmed) + 10*testutil.ToFloat64(b.metrics.unavailable); got != 11 {
		t.Errorf("counted %v", got)
	}
}

// TestRefused: a report that the manager refuses is kept, sent again after a while, and does not keep the server from stopping.
func TestRefused(t *testing.T) {
	b := newTracker()
	b.Sent("tenants/acme", 7, now)
	b.lease(0, 0, func(a *syncv1.Allowance) { a.Refused = "no such Group" })
	if uses := b.Due(now.Add(refusedPause-1), false); len(uses) != 0 || !b.Reported() {
		t.Errorf("reported again at once: %v", uses)
	}
	if uses := b.Due(now.Add(refusedPause), false); len(uses) != 1 || uses[0].GetBytes() != 7 {
		t.Errorf("reported %v", uses)
	}
}
