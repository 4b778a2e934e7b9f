package usageseries_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

var start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// TestDaysAddUp: whenever totals are recorded, and wherever periods begin, the days of a period that is kept whole add up to it, the lists are
// sorted, and nothing is too long.
func TestDaysAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status := &v1alpha1.GroupUsageStatus{}
		schedule := quotaledger.NewSchedule(rapid.IntRange(1, 31).Draw(t, "anchor day"))
		totals := map[quotaledger.Span]usageseries.Totals{}
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "later")))
			if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
				schedule = schedule.Change(rapid.IntRange(1, 31).Draw(t, "another day"), now)
			}
			month := schedule.At(now)
			if rapid.Bool().Draw(t, "late") {
				month = schedule.Before(month)
			}
			is := totals[month]
			is.Requests += rapid.Uint64Range(0, 1000).Draw(t, "requests")
			is.Bytes += rapid.Uint64Range(0, 1000).Draw(t, "bytes")
			totals[month] = is
			usageseries.Record(status, now, month, is)
			if got, known := usageseries.Of(status, month.Period); !known || got != is {
				t.Fatalf("%s has %+v, recorded were %+v", month, got, is)
			}
		}
		descending := func(a, b string) int { return -compare(a, b) }
		if len(status.Months) > 13 || len(status.Days) > 62 ||
			!slices.IsSortedFunc(status.Months, func(a, b v1alpha1.MonthUsage) int { return descending(a.Month, b.Month) }) ||
			!slices.IsSortedFunc(status.Days, func(a, b v1alpha1.DayUsage) int { return descending(a.Day, b.Day) }) {
			t.Fatalf("%d months, %d days: %+v", len(status.Months), len(status.Days), status)
		}
		for month, is := range totals {
			ofDays := int64(0)
			for _, day := range status.Days {
				if at, err := time.Parse(time.DateOnly, day.Day); err != nil {
					t.Fatal(err)
				} else if month.Has(at) {
					ofDays += ptr.Deref(day.Requests, 0)
				}
			}
			if now.Sub(month.Begin()) < 61*24*time.Hour && ofDays != int64(is.Requests) {
				t.Fatalf("the days of %s have %d of %d requests", month, ofDays, is.Requests)
			}
		}
	})
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// TestThirteenPeriods: the latest thirteen are kept, wherever they begin.
func TestThirteenPeriods(t *testing.T) {
	for day := 1; day <= 31; day++ {
		schedule, status := quotaledger.NewSchedule(day), &v1alpha1.GroupUsageStatus{}
		span := schedule.At(start)
		for range 20 {
			for _, at := range []time.Time{span.Begin(), span.End().Add(-1)} {
				usageseries.Record(status, at, span, usageseries.Totals{Requests: 1})
			}
			span = schedule.At(span.End())
		}
		if n := len(status.Months); n != 13 {
			t.Errorf("with the anchor day %d, %d are kept", day, n)
		}
	}
}

// TestDayBoundary: what is recorded a moment before midnight (UTC) is of that day, regardless of the local time.
func TestDayBoundary(t *testing.T) {
	status := &v1alpha1.GroupUsageStatus{}
	midnight := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	east := time.FixedZone("east", 10*60*60)
	month := quotaledger.Schedule{}.At(midnight)
	usageseries.Record(status, midnight.Add(-1).In(east), month, usageseries.Totals{Requests: 5})
	usageseries.Record(status, midnight.In(east), month, usageseries.Totals{Requests: 12})
	usageseries.RecordTraffic(status, midnight.Add(-1).In(east), month, usageseries.Traffic{Refusals: map[string]uint64{"rate_limited": 1}})
	if len(status.Days) != 2 || *status.Days[0].Requests != 7 || *status.Days[1].Requests != 5 || status.Days[1].Refusals["rate_limited"] != 1 {
		t.Errorf("%+v", status.Days)
	}
}

// TestOrigins: each number is not too low, and too high by at most a tenth; each origin with more than a tenth is there.
func TestOrigins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status, exact, all := &v1alpha1.GroupUsageStatus{}, map[string]int64{}, int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "reports") {
			seen := usageseries.Traffic{Origins: map[string]uint64{}}
			for range rapid.IntRange(1, 10).Draw(t, "origins") {
				origin := fmt.Sprintf("https://%d.example.com", rapid.IntRange(0, 30).Draw(t, "origin"))
				n := rapid.Uint64Range(1, 100).Draw(t, "requests")
				seen.Origins[origin] += n
				exact[origin] += int64(n)
				all += int64(n)
			}
			usageseries.RecordTraffic(status, start, quotaledger.Schedule{}.At(start), seen)
		}
		shown := map[string]int64{}
		for _, o := range status.Days[0].Origins {
			shown[o.Origin] = *o.Requests
			if *o.Requests < exact[o.Origin] || *o.Requests > exact[o.Origin]+all/10 {
				t.Fatalf("%s has %d, shown are %d of %d", o.Origin, exact[o.Origin], *o.Requests, all)
			}
		}
		for origin, n := range exact {
			if _, known := shown[origin]; !known && n > all/10 {
				t.Fatalf("%s with %d of %d is missing", origin, n, all)
			}
		}
		if len(shown) > 10 {
			t.Fatalf("%d origins", len(shown))
		}
	})
}

// TestRefusals: codes beyond those that have room are other, and no request is lost.
func TestRefusals(t *testing.T) {
	status := &v1alpha1.GroupUsageStatus{}
	sum := func(of map[string]int64) (sum int64) {
		for _, n := range of {
			sum += n
		}
		return sum
	}
	for i := range 40 {
		usageseries.RecordTraffic(status, start, quotaledger.Schedule{}.At(start), usageseries.Traffic{Refusals: map[string]uint64{fmt.Sprint("code", i): uint64(i + 1)}})
	}
	if is := status.Days[0].Refusals; len(is) != 16 || sum(is) != 820 || is["code0"] != 1 || is[usageseries.Other] == 0 {
		t.Errorf("%v", is)
	}
	usageseries.RecordTraffic(status, start.Add(24*time.Hour), quotaledger.Schedule{}.At(start), usageseries.Traffic{Refusals: map[string]uint64{"code0": 1}})
	if is := status.Days[1].Refusals; len(is) != 5 || sum(is) != 820 || is["code14"] == 0 && is["code13"] == 0 {
		t.Errorf("of the day before %v is left", is)
	}
}

// TestKeyDays: the requests of a key by day, for 31 days.
func TestKeyDays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, byDay := start, map[string]int64{}
		var days *v1alpha1.KeyDays
		for range rapid.IntRange(1, 40).Draw(t, "writes") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(50*time.Hour)).Draw(t, "later")))
			n := rapid.Uint64Range(0, 100).Draw(t, "requests")
			byDay[now.Format(time.DateOnly)] += int64(n)
			was := days.DeepCopy()
			next := usageseries.AddToDay(days, now, n)
			if was != nil && (was.Last != days.Last || !slices.Equal(was.Requests, days.Requests)) {
				t.Fatal("what was passed in has changed")
			}
			days = next
		}
		if days.Last != now.Format(time.DateOnly) || len(days.Requests) > 31 {
			t.Fatalf("%+v on %s", days, now)
		}
		for i := range 31 {
			got := int64(0)
			if i < len(days.Requests) {
				got = days.Requests[i]
			}
			if day := now.AddDate(0, 0, -i).Format(time.DateOnly); got != byDay[day] {
				t.Fatalf("%s has %d of %d: %+v", day, got, byDay[day], days)
			}
		}
	})
	back := usageseries.AddToDay(&v1alpha1.KeyDays{Last: "2026-11-28", Requests: []int64{4}}, start, 3)
	if back.Last != "2026-11-28" || back.Requests[0] != 7 {
		t.Errorf("with a clock that was turned back: %+v", back)
	}
	if odd := usageseries.AddToDay(&v1alpha1.KeyDays{Last: "invalid", Requests: []int64{4}}, start, 3); odd.Requests[0] != 3 {
		t.Errorf("%+v", odd)
	}
}
