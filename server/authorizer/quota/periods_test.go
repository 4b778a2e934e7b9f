package quota

import (
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestPeriods: the counters of a group follow its anchor day, also of bytes, of which only the name of the group is known. A change
// of the day leaves those of the running period where they are.
func TestPeriods(t *testing.T) {
	b := newTracker()
	group := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{Schedule: quotaledger.NewSchedule(15)}}
	b.Follow(func(string) quotaledger.Schedule { return group.Limits.Schedule })
	at := time.Date(2026, 11, 14, 23, 59, 59, 0, time.UTC)
	count := func(at time.Time) {
		t.Helper()
		b.Sent(group.Identity, 10, at)
		if code, _ := b.Spend(t.Context(), group, "", 1, at); code != decision.Allowed {
			t.Fatal(code)
		}
		b.Sent(group.Identity, 10, at)
		b.Count([]Amount{{Group: group.Identity, Requests: 1}}, at)
	}
	count(at)
	at = at.Add(time.Second)
	count(at)
	changed := *group
	changed.Limits.Schedule = group.Limits.Schedule.Change(20, at)
	group = &changed
	count(at)
	count(time.Date(2026, 12, 14, 23, 59, 59, 0, time.UTC))
	count(time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC))
	count(time.Date(2026, 12, 19, 23, 59, 59, 0, time.UTC))
	count(time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC))
	want := map[string]uint64{"2026-10-15": 2, "2026-11-15": 6, "2026-12-15": 4, "2026-12-20": 2}
	got := map[string]uint64{}
	b.each(func(m *month) {
		got[m.period] = m.use().requests
		if bytes := m.bytes.Load(); bytes != 10*got[m.period] {
			t.Errorf("%s has %d bytes", m.period, bytes)
		}
	})
	for period, requests := range want {
		if got[period] != requests || len(got) != len(want) {
			t.Errorf("%s has %d requests: %v", period, got[period], got)
		}
	}
	b.Due(time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC), false)
	kept := 0
	b.each(func(*month) { kept++ })
	if kept != 2 {
		t.Errorf("%d periods are kept", kept)
	}
}

// TestResetIsThatOfThePeriod: who has used up a quota learns when its period ends.
func TestResetIsThatOfThePeriod(t *testing.T) {
	b := newTracker()
	group := limited(true)
	group.Limits.Schedule = quotaledger.NewSchedule(22)
	b.Spend(t.Context(), group, "", 1, now)
	b.lease(0, 1, exhausted, func(a *syncv1.Allowance) { a.Period = "2026-10-22" })
	if code, wait := b.Spend(t.Context(), group, "", 1, now); code != decision.QuotaExceeded || wait != 12*time.Hour {
		t.Errorf("%v for %v", code, wait)
	}
}
