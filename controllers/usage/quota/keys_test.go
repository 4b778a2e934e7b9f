package quota_test

import (
	"context"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestReportsOfKeys: what is reported of a key without a quota waits until keys are read, and is refused then. Neither takes memory or
// writes, regardless of how many keys a server names.
func TestReportsOfKeys(t *testing.T) {
	n := newNetwork(t, 100)
	a := n.newAggregator()
	session := connect(a, "server", "life", func(string) (bool, bool) { return true, true })
	report := func(use *syncv1.GroupUse) (answers []*syncv1.Allowance) {
		use.Group, use.Period = acme, "2026-11"
		session.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{use}})
		a.PersistAll(context.Background())
		return session.Take().GetGroups()
	}
	ofKey := func(wants uint64) *syncv1.GroupUse { return &syncv1.GroupUse{Key: limitedKey, Wants: wants} }
	if got := report(ofKey(5)); len(got) > 0 {
		t.Errorf("before anything is read: %v", got)
	}
	a.SetLimits(acme, n.limits())
	if got := report(ofKey(5)); len(got) > 0 {
		t.Errorf("before keys are read: %v", got)
	}
	a.KeysRead()
	if got := report(ofKey(5)); len(got) != 1 || got[0].GetKey() != limitedKey || got[0].GetRefused() == "" {
		t.Errorf("after keys are read: %v", got)
	}
	if got := report(&syncv1.GroupUse{Key: strings.Repeat("k", 256), Wants: 1}); len(got) > 0 {
		t.Errorf("of a key that is too long: %v", got)
	}
	five := uint64(5)
	a.SetKeyLimit(acme, limitedKey, &five)
	if got := report(&syncv1.GroupUse{Key: limitedKey, Bytes: 1}); len(got) != 1 || got[0].GetRefused() == "" {
		t.Errorf("of bytes: %v", got)
	}
	if n.store.writes > 0 {
		t.Errorf("%d writes", n.store.writes)
	}
	got := report(ofKey(50))
	if len(got) != 1 || got[0].GetKey() != limitedKey || got[0].GetLeased() == 0 || got[0].GetLeased() > 5 {
		t.Errorf("of a key with a quota: %v", got)
	}
	if _, is := n.store.entries[store.Key{Group: acme, Period: quotaledger.PeriodFrom(start.AddDate(0, 0, 1-start.Day()))}]; is {
		t.Error("it is taken for the group's")
	}

	leased, sequence := got[0].GetLeased(), got[0].GetSequence()
	a.SetKeyLimit(acme, limitedKey, nil)
	spent := &syncv1.GroupUse{Key: limitedKey, Leased: leased, Sequence: sequence, Spent: 1, Requests: 1}
	if got := report(spent); len(got) != 1 || got[0].GetRecorded().GetSpent() != 1 {
		t.Errorf("a late report of a key whose quota was removed: %v", got)
	}
	a.ForgetKey(acme, limitedKey)
	if got := report(spent); len(got) != 1 || got[0].GetRefused() == "" {
		t.Errorf("of a key that was deleted: %v", got)
	}
}

// TestKeyFollowsPeriods: the quota of a key is for the periods of its group, also after these have changed.
func TestKeyFollowsPeriods(t *testing.T) {
	n := newNetwork(t, 100)
	n.setKeyQuota(5)
	session := connect(n.leaders[0], "server", "life", func(string) (bool, bool) { return true, true })
	report := func(period string) (last *syncv1.Allowance) {
		session.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{{Group: acme, Key: limitedKey, Period: period, Wants: 5}}})
		n.leaders[0].PersistAll(context.Background())
		for _, answer := range session.Take().GetGroups() {
			last = answer
		}
		return last
	}
	if got := report("2026-11"); got.GetResetsAtMs() != time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("in a month: %v", got)
	}
	n.leaders[0].SetLimits(acme, quota.Limits{Requests: &n.quota, Schedule: quotaledger.NewSchedule(15)})
	if got := report("2026-11"); got.GetRefused() == "" {
		t.Errorf("of what is no period any more: %v", got)
	}
	if got := report("2026-11-15"); got.GetResetsAtMs() != time.Date(2026, 12, 15, 0, 0, 0, 0, time.UTC).UnixMilli() || got.GetLeased() == 0 {
		t.Errorf("in another period: %v", got)
	}
}

// TestKeyBoard: a status shows the latest, and seldom.
func TestKeyBoard(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(start)
	b, this := quota.NewKeyBoard(clock), quotaledger.MonthOf(start).Period()
	check := func(when string, want uint64, wantDue bool) {
		t.Helper()
		ids := b.Due(time.Minute, 10)
		used, _, due := b.Of(limitedKey, this, time.Minute)
		if used != want || due != wantDue || (len(ids) == 1) != wantDue {
			t.Errorf("%s: %d, due %v; due are %v", when, used, due, ids)
		}
	}
	check("nothing is known", 0, false)
	b.Set(limitedKey, this, 3)
	check("for the first time", 3, true)
	b.Shown(limitedKey, this, 2)
	check("something earlier is shown", 3, true)
	b.Shown(limitedKey, this, 3)
	check("it is shown", 3, false)
	b.Set(limitedKey, this, 4)
	check("more is used", 4, false)
	clock.SetTime(start.Add(time.Minute))
	check("more is used, and a minute is over", 4, true)
	b.Set(limitedKey, quotaledger.MonthOf(start.AddDate(0, -1, 0)).Period(), 9)
	check("a late report of the last month", 4, true)
	if _, known, _ := b.Of(limitedKey, quotaledger.MonthOf(start.AddDate(0, 1, 0)).Period(), time.Minute); known || len(b.Due(time.Minute, 10)) > 0 {
		t.Error("the next month begins with what was used in this one")
	}
	b.Forget(limitedKey)
	check("it is forgotten", 0, false)
}
