package usagequery_test

import (
	"math"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

func TestForecast(t *testing.T) {
	day := func(month time.Month, day, hour int) time.Time {
		return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
	}
	for name, c := range map[string]struct {
		used   int64
		quota  *int64
		now    time.Time
		total  int64
		usedUp time.Time
	}{
		"half of the month, half of the quota": {50, ptr.To[int64](100), day(11, 16, 0), 100, time.Time{}},
		"a little more":                        {60, ptr.To[int64](100), day(11, 16, 0), 120, day(11, 26, 0)},
		"no quota":                             {60, nil, day(11, 16, 0), 120, time.Time{}},
		"used up":                              {100, ptr.To[int64](100), day(11, 16, 0), 200, time.Time{}},
		"beyond":                               {150, ptr.To[int64](100), day(11, 16, 0), 300, time.Time{}},
		"a quota of nothing":                   {0, ptr.To[int64](0), day(11, 16, 0), 0, time.Time{}},
		"nothing used":                         {0, ptr.To[int64](100), day(11, 16, 0), 0, time.Time{}},
		"the first hour":                       {50, ptr.To[int64](100), day(11, 1, 1).Add(-1), 0, time.Time{}},
		"the second":                           {50, ptr.To[int64](100), day(11, 1, 1), 50 * 720, day(11, 1, 2)},
		"the last instant":                     {99, ptr.To[int64](100), day(12, 1, 0).Add(-1), 99, time.Time{}},
		"the month is over":                    {99, ptr.To[int64](100), day(12, 1, 0), 0, time.Time{}},
		"before the month":                     {99, ptr.To[int64](100), day(10, 31, 23), 0, time.Time{}},
		"what does not fit":                    {math.MaxInt64, nil, day(11, 2, 0), 1 << 62, time.Time{}},
	} {
		total, usedUp := usagequery.Forecast(c.used, c.quota, day(11, 1, 0), day(12, 1, 0), c.now)
		if total != c.total || !usedUp.Equal(c.usedUp) {
			t.Errorf("%s: %d, %v", name, total, usedUp)
		}
	}
}

// TestForecastIsInTheMonth: it is never less than what is used, and never names a day that is over or in another month.
func TestForecastIsInTheMonth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1.7e9, 2e9).Draw(t, "now"), 0)
		span := usagequery.Running(quotaledger.NewSchedule(rapid.IntRange(1, 31).Draw(t, "anchor day")), "", at)
		begin, end := span.Begin(), span.End()
		used, quota := rapid.Int64Range(0, 1e15).Draw(t, "used"), rapid.Int64Range(0, 1e15).Draw(t, "quota")
		total, usedUp := usagequery.Forecast(used, &quota, begin, end, at)
		if total != 0 && total < used-used/1e12-1 {
			t.Fatalf("%d of %d", total, used)
		}
		if !usedUp.IsZero() && (usedUp.Before(at) || usedUp.After(end)) {
			t.Fatalf("%s: used up at %s", at, usedUp)
		}
	})
}

func TestPeriodOf(t *testing.T) {
	zone := time.FixedZone("", 5*60*60)
	for _, c := range []struct {
		period string
		now    time.Time
		name   string
		days   int
		anchor int
	}{
		{"2026-11", time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), "2026-11", 30, 1},
		{"", time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), "2028-02", 29, 1},
		{"2026-11", time.Date(2026, 12, 1, 4, 59, 59, 0, zone), "2026-11", 30, 1},
		{"2026-11", time.Date(2026, 12, 1, 5, 0, 0, 0, zone), "2026-12", 31, 1},
		{"2026-12", time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC), "2026-12", 31, 1}, // our clock is behind
		{"gibberish", time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), "2027-02", 28, 1},
		{"2026-11", time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), "2026-11-15", 30, 15},
		{"2026-12-15", time.Date(2026, 12, 14, 23, 59, 59, 0, time.UTC), "2026-12-15", 31, 15}, // our clock is behind
	} {
		got := usagequery.Running(quotaledger.NewSchedule(c.anchor), c.period, c.now)
		if got.String() != c.name || got.End().Sub(got.Begin()) != time.Duration(c.days)*24*time.Hour {
			t.Errorf("%+v: %s, %s to %s", c, got, got.Begin(), got.End())
		}
	}
}
