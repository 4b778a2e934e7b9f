package quota_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	serverquota "github.com/keyward-dev/keyward/server/authorizer/quota"
	"github.com/keyward-dev/keyward/server/decision"
)

func november(text string) store.Key {
	period, _ := quotaledger.ParsePeriod(text)
	return store.Key{Group: acme, Period: period}
}

// TestBadInput: a wrong report is refused and changes nothing; a right report in the same message is accepted.
func TestBadInput(t *testing.T) {
	good := func(change func(*syncv1.GroupUse)) *syncv1.GroupUse {
		use := &syncv1.GroupUse{Group: acme, Period: "2026-11", Requests: 20, Spent: 5, Leased: 10, Sequence: 1, Bytes: 100}
		change(use)
		return use
	}
	for _, c := range []struct {
		name, want string
		use        *syncv1.GroupUse
	}{
		{"overflow", "out of range", good(func(u *syncv1.GroupUse) { u.Requests = math.MaxUint64 })},
		{"overflowing bytes", "out of range", good(func(u *syncv1.GroupUse) { u.Bytes = math.MaxInt64 })},
		{"negative, as unsigned", "out of range", good(func(u *syncv1.GroupUse) { u.Spent = math.MaxUint64 })},
		{"decreasing requests", "less than what was reported", good(func(u *syncv1.GroupUse) { u.Requests = 19 })},
		{"decreasing bytes", "less than what was reported", good(func(u *syncv1.GroupUse) { u.Bytes = 99 })},
		{"more spent than leased", "contradict", good(func(u *syncv1.GroupUse) { u.Spent = 11 })},
		{"more spent than allowed", "contradict", good(func(u *syncv1.GroupUse) { u.UnconfirmedRequests = 16 })},
		{"an allowance that was not given", "not the one that was given", good(func(u *syncv1.GroupUse) { u.Leased = 1000 })},
		{"a group of others", "may not serve", good(func(u *syncv1.GroupUse) { u.Group = "tenants/other" })},
		{"a clock from last year", "neither the running one nor the last", good(func(u *syncv1.GroupUse) { u.Period = "2025-11" })},
		{"a month that has not begun", "neither the running one nor the last", good(func(u *syncv1.GroupUse) { u.Period = "2026-12" })},
		{"no month", "not a period", good(func(u *syncv1.GroupUse) { u.Period = "November" })},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, 1000)
			s := connect(n.leaders[0], "server", "life", func(group string) (bool, bool) { return group == acme, true })
			say := func(use *syncv1.GroupUse) *syncv1.Allowances {
				s.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{use}})
				n.leaders[0].PersistAll(t.Context())
				return s.Take()
			}
			say(&syncv1.GroupUse{Group: acme, Period: "2026-11", Wants: 10})
			say(good(func(*syncv1.GroupUse) {}))
			before := n.store.entries[november("2026-11")].Ledger.Clone()
			answer := say(c.use).GetGroups()
			if len(answer) != 1 || !strings.Contains(answer[0].GetRefused(), c.want) {
				t.Errorf("answered %v", answer)
			}
			if after := n.store.entries[november("2026-11")].Ledger; !after.Equal(before) {
				t.Errorf("was %+v, is %+v", before, after)
			}
			answer = say(good(func(u *syncv1.GroupUse) { u.Requests = 21 })).GetGroups()
			if len(answer) == 0 || answer[0].GetRecorded().GetRequests() != 21 {
				t.Errorf("what is right is answered %v", answer)
			}
		})
	}
}

// TestIncarnations: an earlier stream of the same incarnation is ignored.
func TestIncarnations(t *testing.T) {
	n := newNetwork(t, 1000)
	all := func(string) (bool, bool) { return true, true }
	first := connect(n.leaders[0], "server", "one", all)
	second := connect(n.leaders[0], "server", "one", all)
	for i, s := range []connection{second, first} {
		use := &syncv1.GroupUse{Group: acme, Period: "2026-11", Requests: uint64(5 + i)}
		s.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{use}})
	}
	n.leaders[0].PersistAll(t.Context())
	if n.store.requests != 5 {
		t.Errorf("%d counted", n.store.requests)
	}
}

// TestStoreFailure: nothing is acknowledged or leased before it is persisted, and nothing is lost.
func TestStoreFailure(t *testing.T) {
	n := newNetwork(t, 1000)
	n.add()
	s := n.servers[0]
	n.connect(s, 0)
	n.request(s)
	n.store.before = true
	n.report(s, true)
	for len(s.stream.up) > 0 {
		s.stream.deliverUp(t, false)
	}
	n.leaders[0].PersistAll(t.Context())
	if said := s.stream.session.Take(); len(said.GetGroups()) != 0 {
		t.Errorf("said %v", said)
	}
	n.clock.Step(2 * time.Second) // until it is tried again
	eventually(t, func() bool {
		n.leaders[0].PersistAll(t.Context())
		return n.store.writes == 1
	})
	s.tracker.Allow(s.stream.session.Take(), n.clock.Now())
	if n.request(s) != decision.Allowed {
		t.Error("no allowance")
	}
}

// TestMonthEnds: a late report of the last month counts for that month, and its allowances are not carried over.
func TestMonthEnds(t *testing.T) {
	for _, end := range []string{"2026-12-01", "2027-01-01", "2027-03-01", "2028-03-01", "2017-01-01"} {
		at, err := time.Parse(time.DateOnly, end)
		if err != nil {
			t.Fatal(err)
		}
		n := newNetwork(t, 10)
		n.clock.SetTime(at.Add(-2 * time.Second))
		skewed := func(by time.Duration) time.Time { return n.clock.Now().Add(by) }
		skews := []time.Duration{-5 * time.Second, 5 * time.Second}
		for range skews {
			n.add()
		}
		spend := func() (allowed int) {
			for i, s := range n.servers {
				for range 20 {
					if code, _ := s.tracker.Spend(t.Context(), n.group, "", 1, skewed(skews[i])); code == decision.Allowed {
						allowed++
					}
				}
			}
			return allowed
		}
		roundTrips := func() {
			for range 20 {
				for i, s := range n.servers {
					if s.stream == nil {
						n.connect(s, 0)
						s.stream.up = nil
					}
					s.stream.session.Report(&syncv1.QuotaReport{Groups: s.tracker.Due(skewed(skews[i]), true)})
				}
				n.leaders[0].PersistAll(t.Context())
				for i, s := range n.servers {
					s.tracker.Allow(s.stream.session.Take(), skewed(skews[i]))
				}
			}
		}
		use := func() (allowed int) {
			for range 20 {
				roundTrips()
				allowed += spend()
			}
			return allowed
		}
		roundTrips()
		first := use()
		n.clock.SetTime(at.Add(-time.Millisecond))
		first += spend()
		n.clock.SetTime(at)
		second := use()
		roundTrips()
		last := quotaledger.PeriodFrom(at.AddDate(0, -1, 0))
		counted := n.store.entries[store.Key{Group: acme, Period: last}].Ledger.Total().Requests
		next := n.store.entries[store.Key{Group: acme, Period: quotaledger.PeriodFrom(at)}].Ledger.Total().Requests
		if first != 10 || second != 10 || counted != 10 || next != 10 {
			t.Errorf("%s: %d and %d admitted, %d and %d counted", end, first, second, counted, next)
		}
	}
}

// TestLimits: a byte quota that is used up, a raised quota and a lowered quota.
func TestLimits(t *testing.T) {
	n := newNetwork(t, 100)
	n.add()
	s := n.servers[0]
	n.pump()
	for range 20 {
		n.pump()
		for n.request(s) == decision.Allowed {
		}
	}
	if n.admitted != 100 || n.request(s) != decision.QuotaExceeded {
		t.Fatalf("%d admitted", n.admitted)
	}
	n.setQuota(103)
	n.pump()
	if code := n.request(s); code != decision.Allowed {
		t.Errorf("after the quota was raised: %v", code)
	}
	n.setQuota(50)
	n.pump()
	n.request(s)
	n.pump()
	if code := n.request(s); code != decision.QuotaExceeded {
		t.Errorf("after the quota was lowered: %v", code)
	}
}

// TestOverage: overage is the use beyond a metered quota.
func TestOverage(t *testing.T) {
	five := uint64(5)
	n := newNetwork(t, 5)
	n.group.Limits = decision.Limits{RequestQuota: true, Metered: true}
	n.leaders[0].SetLimits(acme, quota.Limits{Requests: &five, Bytes: &five, Metered: true})
	n.add()
	for range 8 {
		n.request(n.servers[0])
	}
	n.servers[0].tracker.Sent(acme, 12, n.clock.Now())
	n.pump()
	if want := (store.Totals{Requests: 8, OverageRequests: 3, Bytes: 12, OverageBytes: 7}); n.store.totals != want {
		t.Errorf("%+v", n.store.totals)
	}
}

// TestCostlyOverage: overage is metered by what requests cost.
func TestCostlyOverage(t *testing.T) {
	ten := uint64(10)
	n := newNetwork(t, ten)
	n.group.Limits = decision.Limits{RequestQuota: true, Metered: true}
	n.leaders[0].SetLimits(acme, quota.Limits{Requests: &ten, Metered: true})
	n.add()
	for _, cost := range []uint64{7, 0, 5, 1} {
		if code := n.ask(n.servers[0], cost); code != decision.Allowed {
			t.Errorf("%d: %v", cost, code)
		}
	}
	n.pump()
	if want := (store.Totals{Requests: 13, OverageRequests: 3}); n.store.totals != want {
		t.Errorf("%+v", n.store.totals)
	}
}

// TestGoodbye: what a server has not spent when it says goodbye is free for others.
func TestGoodbye(t *testing.T) {
	n := newNetwork(t, 16)
	n.add()
	leaving := n.servers[0]
	n.pump()
	n.request(leaving)
	n.pump()
	leaving.tracker.Close()
	n.pump()
	if !leaving.tracker.Reported() {
		t.Error("it does not know that all is persisted")
	}
	n.servers = []*server{{name: "other", tracker: serverquota.New(prometheus.NewRegistry())}}
	for range 40 {
		n.pump()
		for n.request(n.servers[0]) == decision.Allowed {
		}
	}
	if n.admitted != 16 {
		t.Errorf("%d admitted", n.admitted)
	}
}

// eventually waits for a condition that timers bring about in the background.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not come to hold")
		}
	}
}
