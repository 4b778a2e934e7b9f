package usage

import (
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// counts returns what is reported to the manager, by key and month.
func counts(uses []*syncv1.KeyUse) map[string][2]uint64 {
	all := map[string][2]uint64{}
	for _, use := range uses {
		all[use.GetGroup()+" "+use.GetKey()+" "+use.GetPeriod()] = [2]uint64{use.GetRequests(), use.GetRecorded()}
	}
	return all
}

// recorded returns the confirmation that the manager has persisted a count.
func recorded(now time.Time, id, period string, n uint64) *syncv1.KeysRecorded {
	return &syncv1.KeysRecorded{NowMs: now.UnixMilli(), Keys: []*syncv1.KeyUse{{Key: id, Period: period, Recorded: n}}}
}

// TestKeys: requests are counted by key, with any of its versions. A count that the manager has persisted is not reported
// any more, and one that was reported on the stream is not reported again.
func TestKeys(t *testing.T) {
	r := New()
	r.used("k1", one, start, false, home)
	r.used("k1", keyformat.DigestOf("its successor"), start.Add(time.Minute), false, home)
	r.used("k2", keyformat.DigestOf("another"), start, false, home)
	const k1, k2 = "tenants/acme k1 2026-11", "tenants/acme k2 2026-11"
	want := func(when string, whole bool, want map[string][2]uint64) {
		t.Helper()
		got := counts(slices.Collect(r.Keys(whole)))
		if len(got) != len(want) {
			t.Errorf("%s: reported %v", when, got)
		}
		for name, n := range want {
			if got[name] != n {
				t.Errorf("%s: reported %v, want %v", when, got, want)
			}
		}
	}
	want("at first", true, map[string][2]uint64{k1: {2, 0}, k2: {1, 0}})
	want("on the same stream", false, nil)
	want("on another", true, map[string][2]uint64{k1: {2, 0}, k2: {1, 0}})
	r.Recorded(recorded(start, "k1", "2026-11", 1), start)
	r.Recorded(recorded(start, "k1", "2026-10", 7), start)
	r.Recorded(recorded(start, "k9", "2026-11", 7), start)
	r.used("k1", one, start, false, home)
	want("after more", false, map[string][2]uint64{k1: {3, 1}})
	r.Recorded(recorded(start, "k1", "2026-11", 3), start)
	r.Recorded(recorded(start, "k1", "2026-11", 2), start) // late
	r.Recorded(recorded(start, "k2", "2026-11", 99), start)
	want("when all is persisted", true, nil)
}

// TestMonths: requests count in the month of the manager's clock, and those of the last month are reported until they are
// persisted.
func TestMonths(t *testing.T) {
	r := New()
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	r.Recorded(&syncv1.KeysRecorded{NowMs: end.Add(-time.Second).UnixMilli()}, end.Add(4*time.Second)) // we are ahead by 5 s
	r.used("k1", one, end.Add(4999*time.Millisecond), false, home)
	r.used("k1", one, end.Add(5*time.Second), false, home)
	r.used("k1", one, end.Add(time.Second), false, home) // the clock was turned back: the month stays
	got := counts(slices.Collect(r.Keys(true)))
	if len(got) != 2 || got["tenants/acme k1 2026-11"][0] != 1 || got["tenants/acme k1 2026-12"][0] != 2 {
		t.Errorf("reported %v", got)
	}
	r.Recorded(recorded(end, "k1", "2026-11", 1), end)
	if got := counts(slices.Collect(r.Keys(true))); len(got) != 1 {
		t.Errorf("reported %v", got)
	}
}

// TestPastMonths: months before the last one are not reported any more.
func TestPastMonths(t *testing.T) {
	r := New()
	for month, persisted := range []uint64{0, 1, 0} {
		at := start.AddDate(0, month, 0)
		r.used("k1", one, at, false, home)
		r.Recorded(recorded(at, "k1", at.Format("2006-01"), persisted), at)
	}
	if got := counts(slices.Collect(r.Keys(true))); len(got) != 1 || got["tenants/acme k1 2027-01"][0] != 1 {
		t.Errorf("reported %v", got)
	}
}

// TestForget: a count that is persisted is forgotten after two days, and one that is not when its month is over.
func TestForget(t *testing.T) {
	r := New()
	r.used("k1", one, start, false, home, "https://acme.com")
	r.used("k2", keyformat.DigestOf("two"), start, false, home, "https://acme.com")
	r.Recorded(recorded(start, "k1", "2026-11", 1), start)
	for _, step := range []struct {
		after time.Duration
		keys  int
	}{{time.Hour, 2}, {25 * time.Hour, 2}, {25*time.Hour + keepRecorded, 1}, {25*time.Hour + keepUnrecorded, 0}} {
		_ = slices.Collect(r.Since(start, start.Add(step.after)))
		if _, all := r.Report(func(string, string) bool { return true }, 10); all != step.keys || r.origins.Load() != int64(step.keys) {
			t.Errorf("after %s: %d keys, %d with origins", step.after, all, r.origins.Load())
		}
	}
	r.used("k1", one, start, false, home)
	if got := counts(slices.Collect(r.Keys(false))); len(got) != 1 {
		t.Errorf("used again: %v", got)
	}
}

// TestCountedOnce: however many messages between a server and its manager are lost, and however often streams begin again,
// a manager that adds up what is beyond recorded has counted each request once.
func TestCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, used, persisted, taken := New(), uint64(0), uint64(0), uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"use": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					r.used("k1", one, start, false, home)
					used++
				}
			},
			"report": func(t *rapid.T) {
				uses := slices.Collect(r.Keys(rapid.Bool().Draw(t, "whole")))
				if len(uses) > 0 && rapid.Bool().Draw(t, "arrives") {
					taken = uses[0].GetRequests()
				}
			},
			"persist": func(t *rapid.T) {
				persisted = taken
				if rapid.Bool().Draw(t, "arrives") {
					r.Recorded(recorded(start, "k1", "2026-11", persisted), start)
				}
			},
			"new leader": func(*rapid.T) {
				taken = persisted
				for use := range r.Keys(true) {
					if use.GetRecorded() > persisted {
						t.Fatalf("reported as persisted: %d, which are %d", use.GetRecorded(), persisted)
					}
					taken = use.GetRequests()
				}
				if taken != used {
					t.Fatalf("reported %d of %d", taken, used)
				}
			},
		})
	})
}

// TestConcurrentKeys counts while months change and others read.
func TestConcurrentKeys(t *testing.T) {
	r := New()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 2000 {
				at := start.Add(time.Duration(n) * time.Minute * 20)
				r.used("k1", one, at, false, home, "https://"+string(rune('a'+(n+i)%12))+".acme.com")
				if n%100 == 0 {
					_ = slices.Collect(r.Keys(n%200 == 0))
					r.Report(func(string, string) bool { return true }, 1)
				}
			}
		})
	}
	all.Wait()
	keys, _ := r.Report(func(string, string) bool { return true }, 1)
	if len(keys) != 1 || len(keys[0].Origins) != monitored || keys[0].Requests == 0 {
		t.Errorf("%+v", keys)
	}
}
