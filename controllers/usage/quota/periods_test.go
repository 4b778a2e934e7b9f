package quota_test

import (
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/server/decision"
)

// setSchedule sets when periods begin, as servers and leaders learn of it.
func (n *network) setSchedule(s quotaledger.Schedule) {
	n.schedule = s
	group := *n.group
	group.Limits.Schedule = s
	n.group = &group
	for _, leader := range n.leaders {
		leader.SetLimits(acme, n.limits())
	}
}

// useUp admits all that is left of the running period, and returns how much that was.
func (n *network) useUp() (admitted uint64) {
	before := n.admitted
	for range 40 {
		n.pump()
		for _, s := range n.servers {
			for n.request(s) == decision.Allowed {
			}
		}
	}
	n.pump()
	return n.admitted - before
}

func (n *network) counted(period string) uint64 {
	entry, ok := n.store.entries[november(period)]
	if !ok {
		return 0
	}
	return entry.Ledger.Total().Requests
}

// TestPeriods: each period has its whole quota, wherever it begins, and to the millisecond. When the anchor day is changed in the
// middle, what is left of the running period is neither lost nor granted again, also under another leader.
func TestPeriods(t *testing.T) {
	n := newNetwork(t, 10)
	n.setSchedule(quotaledger.NewSchedule(31))
	n.add()
	n.add()
	for _, s := range n.servers {
		s.tracker.Follow(func(string) quotaledger.Schedule { return n.schedule })
	}
	expect := func(period string, want uint64) {
		t.Helper()
		if got := n.useUp(); got != want {
			t.Errorf("%s, in %s: %d admitted, want %d", n.clock.Now(), period, got, want)
		}
		if got := n.counted(period); got != 10 {
			t.Errorf("%s counts %d", period, got)
		}
	}
	at := func(month time.Month, day int, before time.Duration) {
		n.clock.SetTime(time.Date(2027, month, day, 0, 0, 0, 0, time.UTC).Add(-before))
		n.pump() // servers learn the time
	}
	at(2, 28, time.Millisecond)
	expect("2027-01-31", 10)
	at(2, 28, 0)
	for n.admitted < 14 {
		n.pump()
		n.request(n.servers[0])
	}
	n.pump()
	n.setSchedule(n.schedule.Change(10, n.clock.Now()))
	n.replace(false)
	n.pump()
	n.clock.Step(10 * time.Second)
	expect("2027-02-28", 6)
	at(3, 10, 0)
	expect("2027-02-28", 0)
	at(3, 31, time.Millisecond)
	expect("2027-02-28", 0)
	at(3, 31, 0)
	expect("2027-03-31", 10)
	n.setSchedule(n.schedule.Change(10, n.clock.Now()))
	at(4, 10, time.Millisecond)
	expect("2027-03-31", 0)
	at(4, 10, 0)
	expect("2027-04-10", 10)
	at(5, 10, 0)
	expect("2027-05-10", 10)
	if limits := (quota.Limits{}); limits.Schedule != (quotaledger.Schedule{}) {
		t.Error("the default is not the calendar month")
	}
}

// TestNoPeriod: what is no period of the group is refused, also if it was reported before the limits were known.
func TestNoPeriod(t *testing.T) {
	n := newNetwork(t, 10)
	n.add()
	n.pump()
	n.setSchedule(quotaledger.NewSchedule(15))
	n.clock.SetTime(time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC))
	unaware := n.newAggregator() // it does not know the limits yet
	s := connect(unaware, "server", "life", func(group string) (bool, bool) { return group == acme, true })
	for _, c := range []struct{ period, refused string }{
		{"2026-12", "no period of the group"}, {"2026-12-15", ""}, {"2026-11-15", ""},
	} {
		s.Report(reportOf(c.period, 3))
		unaware.PersistAll(t.Context())
		unaware.SetLimits(acme, n.limits())
		n.clock.Step(2 * time.Second) // until it is tried again
		var answer []*syncv1.Allowance
		eventually(t, func() bool {
			unaware.PersistAll(t.Context())
			answer = s.Take().GetGroups()
			return len(answer) > 0
		})
		if len(answer) != 1 || (answer[0].GetRefused() == "") != (c.refused == "") {
			t.Errorf("%s is answered %v", c.period, answer)
		}
		unaware.Forget(acme)
	}
	unaware.SetLimits(acme, n.limits())
	s.Report(reportOf("2026-12", 3))
	if answer := s.Take().GetGroups(); len(answer) != 1 || answer[0].GetRefused() == "" {
		t.Errorf("with limits that are known: %v", answer)
	}
}
