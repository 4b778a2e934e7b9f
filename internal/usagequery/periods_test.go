package usagequery_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// periods returns the usage of a Group that was used in periods, the latest first.
func periods(schedule quotaledger.Schedule, names ...string) usagequery.Usage {
	status := &v1alpha1.GroupUsageStatus{}
	for i, name := range names {
		status.Months = append(status.Months, v1alpha1.MonthUsage{
			Month: name, UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To(int64(i + 1))},
			TrafficCounts: v1alpha1.TrafficCounts{Refusals: map[string]int64{"rate_limited": int64(10 * (i + 1))}},
		})
	}
	return usagequery.Usage{Group: "acme/acme", Schedule: schedule, Status: status}
}

// TestPeriods: a period ends where the next one begins, also if the schedule has forgotten how it began.
func TestPeriods(t *testing.T) {
	fifteenth := quotaledger.NewSchedule(15)
	for name, c := range map[string]struct {
		usage usagequery.Usage
		spans string
	}{
		"months":                        {periods(quotaledger.Schedule{}, "2026-11", "2026-10"), "2026-11-01/2026-12-01 2026-10-01/2026-11-01"},
		"an anchor day":                 {periods(fifteenth, "2026-11-15", "2026-10-15"), "2026-11-15/2026-12-15 2026-10-15/2026-11-15"},
		"one without use between":       {periods(fifteenth, "2026-11-15", "2026-09-15"), "2026-11-15/2026-12-15 2026-09-15/2026-10-15"},
		"after a change":                {periods(fifteenth, "2026-11-15", "2026-11", "2026-10"), "2026-11-15/2026-12-15 2026-11-01/2026-11-15 2026-10-01/2026-11-01"},
		"a month before a change":       {periods(fifteenth, "2026-08"), "2026-08-01/2026-09-01"},
		"a day that no month begins on": {periods(quotaledger.Schedule{}, "2026-11", "2026-09-15"), "2026-11-01/2026-12-01 2026-09-15/2026-10-15"},
		"the last day of each month":    {periods(quotaledger.Schedule{}, "2026-03-31", "2026-02-28"), "2026-03-31/2026-04-30 2026-02-28/2026-03-31"},
	} {
		spans := []string{}
		for _, p := range c.usage.Periods() {
			spans = append(spans, p.Begin.Format(time.DateOnly)+"/"+p.End.Format(time.DateOnly))
		}
		if got := strings.Join(spans, " "); got != c.spans {
			t.Errorf("%s: %s, want %s", name, got, c.spans)
		}
	}
}

func TestPeriodNamed(t *testing.T) {
	used := periods(quotaledger.NewSchedule(15), "2026-11-15", "2026-08")
	for name, requests := range map[string]int64{"2026-11-15": 1, "2026-10-15": 0, "2026-08": 2} {
		if p, err := used.PeriodNamed(name); err != nil || p.Amounts().Requests != requests || p.Name != name || !p.Begin.Before(p.End) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	// An invoice of nothing would be wrong.
	if _, err := used.PeriodNamed("2026-11"); err == nil || !strings.Contains(err.Error(), "write that of this day: 2026-10-15") {
		t.Error(err)
	}
	if _, err := used.PeriodNamed("November"); err == nil {
		t.Error("it is accepted")
	}
}

// TestAnchoredSeries: a month has the periods that begin in it, and without a range the codes are those of the running period.
func TestAnchoredSeries(t *testing.T) {
	used := periods(quotaledger.NewSchedule(28), "2026-10-28", "2026-09-28") // on November 27, that of October 28 is running
	months := parse(t, "month", "2026-08", "").Series(used)
	names := []string{}
	for _, p := range months.Points {
		names = append(names, p.Month)
	}
	if got := strings.Join(names, " "); got != "2026-08-28 2026-09-28 2026-10-28" || months.Total.Requests != 3 {
		t.Errorf("%s: %+v", got, months)
	}
	codes := parse(t, "code", "", "").Series(used)
	if codes.From != "2026-10-28" || codes.To != "2026-11-27" || codes.Total.Refused != 10 {
		t.Errorf("%+v", codes)
	}
	if codes := parse(t, "code", "2026-09", "2026-09").Series(used); codes.From != "2026-09" || codes.Total.Refused != 20 {
		t.Errorf("%+v", codes)
	}
	if codes := parse(t, "code", "2026-11", "2026-11").Series(used); len(codes.Points) != 0 {
		t.Errorf("no period begins in November until the 27th: %+v", codes)
	}
}

// TestUnknownPeriods: of a period that the Group did not live in, or that is not kept any more, there are no figures, not even 0.
func TestUnknownPeriods(t *testing.T) {
	now, since := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), time.Date(2025, 10, 20, 0, 0, 0, 0, time.UTC)
	var all []string
	for m := range 13 {
		all = append(all, time.Date(2026, 11-time.Month(m), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")) // until 2025-11
	}
	for name, c := range map[string]struct {
		used []string
		says string
	}{
		"2026-11": {all, ""}, "2025-11": {all, ""},
		"2025-10": {all, "from 2025-11 on"}, // the Group may have been used then
		"2025-09": {nil, "was created after this period, on 2025-10-20"},
		"2026-12": {nil, "has not begun"},
		"2026-05": {all[:3], ""}, // it was not used then
	} {
		used := periods(quotaledger.Schedule{}, c.used...)
		p, err := used.PeriodNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := used.Unknown(&p, since, now); !strings.Contains(got, c.says) || (got == "") != (c.says == "") {
			t.Errorf("%s: %q, want %q", name, got, c.says)
		}
	}
}
