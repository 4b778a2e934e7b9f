package window_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing/window"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var begin = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func outbox() *v1alpha1.BillingOutboxSpec {
	return &v1alpha1.BillingOutboxSpec{
		Group: "acme/acme", GroupUID: "6c6b1a5e-1111-4222-8333-944455556666", Billing: v1alpha1.BillingReference{Customer: "cus_1"},
	}
}

func used(at time.Time, schedule quotaledger.Schedule, requests int64) window.Used {
	span := schedule.At(at)
	return window.Used{
		Period: span.String(), Begin: span.Begin(), End: span.End(), Amounts: v1alpha1.BillingAmounts{TotalRequests: requests},
	}
}

// TestClose: windows close at full hours, once, and late reports are in the next one, with an instant in their own period.
func TestClose(t *testing.T) {
	o, months := outbox(), quotaledger.Schedule{}
	november := func(n int64) window.Used { return used(begin, months, n) }
	end := november(0).End
	december := func(n int64) window.Used { return used(end, months, n) }
	for _, step := range []struct {
		at      time.Time
		used    []window.Used
		windows int
	}{
		{begin.Add(30 * time.Minute), []window.Used{november(5)}, 0}, // the hour is not over
		{begin.Add(65 * time.Minute), []window.Used{november(7)}, 1},
		{begin.Add(70 * time.Minute), []window.Used{november(9)}, 1}, // closed once
		{begin.Add(130 * time.Minute), []window.Used{november(9)}, 2},
		{begin.Add(4 * time.Hour), []window.Used{november(9)}, 2}, // nothing was used
		{end.Add(5 * time.Minute), []window.Used{november(20), december(3)}, 3},
		{end.Add(65 * time.Minute), []window.Used{november(21), december(4)}, 5}, // one request was reported late
		{end.Add(66 * time.Minute), []window.Used{november(21), december(4)}, 5},
		{end.Add(125 * time.Minute), []window.Used{november(23), december(4)}, 6},
	} {
		if window.Close(o, step.used, step.at) || len(o.Windows) != step.windows {
			t.Fatalf("at %s: %d windows, want %d: %+v", step.at, len(o.Windows), step.windows, o.Windows)
		}
	}
	for i, want := range []struct {
		instant           time.Time
		cumulative, delta int64
	}{
		{begin.Add(time.Hour), 7, 7},
		{begin.Add(2 * time.Hour), 9, 2},
		{end.Add(-15 * time.Minute), 20, 11},
		{end.Add(-15*time.Minute + time.Second), 21, 1},
		{end.Add(time.Hour), 4, 4}, // a new period begins at 0
		{end.Add(-15*time.Minute + 2*time.Second), 23, 2},
	} {
		w := o.Windows[i]
		if !w.Instant.Time.Equal(want.instant) || w.Cumulative.TotalRequests != want.cumulative || w.Delta.TotalRequests != want.delta {
			t.Errorf("%d: %+v", i, w)
		}
	}
	event := window.Events(o, &o.Windows[0])[0]
	if event.ID != "6c6b1a5e-1111-4222-8333-944455556666/2026-11/2026-11-01T00:00:00Z/total_requests" {
		t.Error(event.ID)
	}
}

// TestBegin: what was used in periods before the outbox is not billed by it, and the running period is as a whole.
func TestBegin(t *testing.T) {
	o, months := outbox(), quotaledger.Schedule{}
	now := begin.AddDate(0, 1, 3).Add(time.Hour)
	window.Close(o, []window.Used{used(begin, months, 100), used(now, months, 10)}, now)
	window.Close(o, []window.Used{used(begin, months, 101), used(now, months, 10)}, now.Add(time.Hour))
	if len(o.Windows) != 1 || o.Windows[0].Delta.TotalRequests != 10 {
		t.Errorf("%+v", o.Windows)
	}
}

// TestOverage: overage falls when a quota is raised. Its events have the latest value.
func TestOverage(t *testing.T) {
	o := outbox()
	for i, overage := range []int64{7, 3} {
		u := used(begin, quotaledger.Schedule{}, 10)
		u.Amounts.OverageRequests = overage
		window.Close(o, []window.Used{u}, begin.Add(time.Duration(i+1)*time.Hour))
	}
	events := window.Events(o, &o.Windows[1])
	if len(events) != 1 || events[0].Data.Value != 3 || events[0].Data.Delta != -4 || events[0].Data.Aggregation != window.Latest {
		t.Errorf("%+v", events)
	}
}

// TestFull: no window is closed while too many wait, and the next one has everything since.
func TestFull(t *testing.T) {
	o := outbox()
	hours := int64(window.MaxPending)
	for hour := range hours + 20 {
		full := window.Close(o, []window.Used{used(begin, quotaledger.Schedule{}, hour+1)}, begin.Add(time.Duration(hour+1)*time.Hour))
		if bool(full) != (hour >= hours) {
			t.Fatalf("hour %d: %t", hour, full)
		}
	}
	if len(o.Windows) < 3*24 || len(o.Windows) != window.MaxPending {
		t.Fatalf("%d windows wait", len(o.Windows))
	}
	text, err := json.Marshal(o)
	if err != nil || len(text) > 64<<10 {
		t.Errorf("an outbox has %d bytes, %v", len(text), err)
	}
	window.Acknowledge(o, []string{"a"}, map[string]int64{"a": 1})
	window.Close(o, []window.Used{used(begin, quotaledger.Schedule{}, hours+20)}, begin.Add(time.Duration(hours+20)*time.Hour))
	last := o.Windows[len(o.Windows)-1]
	if last.Delta.TotalRequests != 20 || last.End.Sub(last.Start.Time) != 20*time.Hour {
		t.Errorf("%+v", last)
	}
	window.CloseFinally(o, []window.Used{used(begin, quotaledger.Schedule{}, hours+21)}, begin.Add(time.Duration(hours+20)*time.Hour))
	if last := o.Windows[len(o.Windows)-1]; last.Cumulative.TotalRequests != hours+21 {
		t.Errorf("%+v", last)
	}
}

// TestLost: a ledger that was lost takes nothing back.
func TestLost(t *testing.T) {
	o := outbox()
	for i, requests := range []int64{10, 4, 12} {
		window.Close(o, []window.Used{used(begin, quotaledger.Schedule{}, requests)}, begin.Add(time.Duration(i+1)*time.Hour))
	}
	if len(o.Windows) != 2 || o.Windows[1].Delta.TotalRequests != 2 {
		t.Errorf("%+v", o.Windows)
	}
}

// receiver keeps each event once, as receivers do that drop what they have.
type receiver map[string]window.Event

func (r receiver) take(t *rapid.T, e window.Event) {
	if was, has := r[e.ID]; has && was != e {
		t.Fatalf("the event %s was %+v and is %+v", e.ID, was, e)
	}
	r[e.ID] = e
}

// TestProcessDies: regardless of what is lost with a process, receivers end with what the ledger says, and events are the same whenever they are
// sent.
func TestProcessDies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schedule := quotaledger.NewSchedule(rapid.IntRange(1, 31).Draw(t, "anchor"))
		now := begin.Add(time.Duration(rapid.IntRange(0, 60*24).Draw(t, "start")) * time.Hour)
		names := []string{"a", "b"}
		receivers := map[string]receiver{"a": {}, "b": {}}
		memory := outbox()
		window.Close(memory, []window.Used{used(now, schedule, 0)}, now)
		persisted := copyOf(t, memory)
		ledger := map[string]*window.Used{}
		order := []string{}
		addTo := func(at time.Time) {
			u := used(at, schedule, 0)
			if ledger[u.Period] == nil {
				ledger[u.Period] = &u
				order = append(order, u.Period)
			}
			a := &ledger[u.Period].Amounts
			a.TotalRequests += rapid.Int64Range(0, 100).Draw(t, "requests")
			a.TotalBytes += rapid.Int64Range(0, 1e6).Draw(t, "bytes")
			a.OverageRequests = rapid.Int64Range(0, a.TotalRequests).Draw(t, "overage")
		}
		addTo(now)
		all := func() []window.Used {
			var us []window.Used
			for _, name := range order[max(len(order)-2, 0):] {
				us = append(us, *ledger[name])
			}
			return us
		}
		restart := func() { memory = copyOf(t, persisted) }
		send := func(name string, most int) {
			sent := int64(0)
			for i := range persisted.Windows { // nothing is sent that is not persisted
				w := persisted.Windows[i]
				for n, e := range window.Events(persisted, &w) {
					if most == 0 {
						break
					}
					most--
					receivers[name].take(t, e)
					sent = w.First + int64(n)
				}
			}
			if rapid.Bool().Draw(t, "acknowledged") && sent > 0 {
				next := copyOf(t, persisted)
				window.Acknowledge(next, names, map[string]int64{name: sent})
				persisted = next
			}
			restart()
		}
		t.Repeat(map[string]func(*rapid.T){
			"use": func(*rapid.T) { addTo(now) },
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 50*60).Draw(t, "minutes")) * time.Minute)
				addTo(now)
			},
			"late": func(*rapid.T) {
				if len(order) > 1 {
					before, _ := quotaledger.ParsePeriod(order[len(order)-2])
					addTo(before.Begin())
				}
			},
			"close":           func(*rapid.T) { window.Close(memory, all(), now); persisted = copyOf(t, memory) },
			"die before then": func(*rapid.T) { window.Close(memory, all(), now); restart() },
			"send":            func(t *rapid.T) { send(rapid.SampledFrom(names).Draw(t, "to"), rapid.IntRange(1, 20).Draw(t, "most")) },
		})
		// The last process lives on.
		for range 4 {
			now = now.Add(time.Hour)
			window.Close(memory, all(), now)
			persisted = copyOf(t, memory)
			for _, name := range names {
				send(name, -1)
			}
		}
		for _, name := range names {
			for _, u := range all() {
				compare(t, receivers[name], &u)
			}
		}
	})
}

// compare compares what a receiver makes of its events with the ledger.
func compare(t *rapid.T, r receiver, u *window.Used) {
	sums, latest, instants := map[string]int64{}, map[string]int64{}, map[string]time.Time{}
	for _, e := range r {
		if e.Data.Period != u.Period {
			continue
		}
		sums[e.Data.Meter] += e.Data.Delta
		at := e.Time.Time
		if at.Before(u.Begin) || !at.Before(u.End) || at.Equal(instants[e.Data.Meter]) {
			t.Fatalf("the instant %s of an event is not in %s to %s, or that of another one", at, u.Begin, u.End)
		}
		if at.After(instants[e.Data.Meter]) {
			instants[e.Data.Meter], latest[e.Data.Meter] = at, e.Data.Cumulative
		}
	}
	for meter, want := range map[string]int64{
		window.TotalRequests: u.Amounts.TotalRequests, window.TotalBytes: u.Amounts.TotalBytes, "overage_requests": u.Amounts.OverageRequests,
	} {
		if sums[meter] != want || latest[meter] != want {
			t.Fatalf("%s in %s: the sum is %d, the latest %d, and the ledger has %d", meter, u.Period, sums[meter], latest[meter], want)
		}
	}
}

func copyOf(t *rapid.T, o *v1alpha1.BillingOutboxSpec) *v1alpha1.BillingOutboxSpec {
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	into := &v1alpha1.BillingOutboxSpec{}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
	return into
}
