// Package usageseries keeps what was used of a Group by period of its quotas, as a rule a month, and by day (UTC). It is pure.
// Its size is bounded, regardless of what is reported: see docs/design/0030-group-usage.md.
package usageseries

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// MaxMonths is how many periods are kept, the current one included.
	MaxMonths = 13
	// MaxDays is the same for days.
	MaxDays = 62

	dayFormat = time.DateOnly
)

// Totals are the sums of a ledger that are shown to people.
type Totals struct {
	Requests, Bytes               uint64
	OverageRequests, OverageBytes uint64
	Unconfirmed                   uint64
}

// Traffic is what was seen since it was last recorded.
type Traffic struct {
	// Refusals counts refused requests by decision code, and Origins allowed requests by scheme://host.
	Refusals, Origins map[string]uint64
	// Public counts requests that were allowed without a key.
	Public uint64
	// Keys has the refused requests by key and code. They are among Refusals, as far as those are reported. See RecordRefusedKeys.
	Keys map[KeyCode]KeyRefusals
}

// IsEmpty reports whether nothing was seen.
func (t Traffic) IsEmpty() bool { return !t.counts() && len(t.Keys) == 0 }

func (t Traffic) counts() bool { return len(t.Refusals) > 0 || len(t.Origins) > 0 || t.Public > 0 }

// Record records the totals of a period, as of an instant. What they have grown by is of the day of the instant, or of the last day
// of the period, if that is over.
func Record(status *v1alpha1.GroupUsageStatus, at time.Time, period quotaledger.Span, totals Totals) {
	prune(status, at)
	m := monthOf(status, period.String())
	if m == nil {
		return // too long ago
	}
	requests, bytes := grown(m.Requests, totals.Requests), grown(m.Bytes, totals.Bytes)
	m.UsageCounts = Counts(totals)
	if requests == 0 && bytes == 0 {
		return
	}
	if d := dayOf(status, dayIn(period, at)); d != nil {
		d.Requests, d.Bytes = plus(d.Requests, requests), plus(d.Bytes, bytes)
	}
}

// Begin records the totals of a period of which it is not known on which days they came up.
func Begin(status *v1alpha1.GroupUsageStatus, at time.Time, period quotaledger.Span, totals Totals) {
	prune(status, at)
	if m := monthOf(status, period.String()); m != nil {
		m.UsageCounts = Counts(totals)
	}
}

// Counts returns totals as they are shown.
func Counts(totals Totals) v1alpha1.UsageCounts {
	return v1alpha1.UsageCounts{
		Requests: ptr.To(int64(totals.Requests)), Bytes: ptr.To(int64(totals.Bytes)),
		OverageRequests: unlessZero(totals.OverageRequests), OverageBytes: unlessZero(totals.OverageBytes),
		UnconfirmedRequests: unlessZero(totals.Unconfirmed),
	}
}

// TotalsOf returns the totals that counts show.
func TotalsOf(counts v1alpha1.UsageCounts) Totals {
	n := func(n *int64) uint64 { return uint64(max(0, ptr.Deref(n, 0))) }
	return Totals{
		Requests: n(counts.Requests), Bytes: n(counts.Bytes),
		OverageRequests: n(counts.OverageRequests), OverageBytes: n(counts.OverageBytes), Unconfirmed: n(counts.UnconfirmedRequests),
	}
}

// RecordTraffic adds what was seen, but for the keys, to the day of the instant and to the running period.
func RecordTraffic(status *v1alpha1.GroupUsageStatus, at time.Time, running quotaledger.Span, seen Traffic) {
	if !seen.counts() {
		return
	}
	prune(status, at)
	if m := monthOf(status, running.String()); m != nil {
		add(&m.TrafficCounts, seen)
	}
	if d := dayOf(status, at.UTC().Format(dayFormat)); d != nil {
		add(&d.TrafficCounts, seen)
	}
	bound(status)
}

// Of returns the totals of a period that a status has.
func Of(status *v1alpha1.GroupUsageStatus, period quotaledger.Period) (totals Totals, known bool) {
	for i := range status.Months {
		if status.Months[i].Month == period.String() {
			return TotalsOf(status.Months[i].UsageCounts), true
		}
	}
	return Totals{}, false
}

// Touch records when a status was written.
func Touch(status *v1alpha1.GroupUsageStatus, at time.Time) {
	status.UpdatedAt = ptr.To(metav1.NewTime(at.Truncate(time.Second)))
}

// prune drops periods and days that are too long ago.
func prune(status *v1alpha1.GroupUsageStatus, at time.Time) {
	at = at.UTC()
	// A period that began as many months ago, or earlier, is not one of the latest. Each month has a day 28.
	past := time.Date(at.Year(), at.Month()-MaxMonths, min(at.Day(), 28), 0, 0, 0, 0, time.UTC).Format(dayFormat)
	firstDay := at.AddDate(0, 0, -(MaxDays - 1)).Format(dayFormat)
	status.Months = slices.DeleteFunc(status.Months, func(m v1alpha1.MonthUsage) bool { return m.Month <= past })
	status.Days = slices.DeleteFunc(status.Days, func(d v1alpha1.DayUsage) bool { return d.Day < firstDay })
}

// monthOf returns the entry of a period, which it makes if it is missing; nil if there is no room for one that long ago.
func monthOf(status *v1alpha1.GroupUsageStatus, month string) *v1alpha1.MonthUsage {
	at, found := slices.BinarySearchFunc(status.Months, month, func(m v1alpha1.MonthUsage, month string) int {
		return strings.Compare(month, m.Month) // the latest is first
	})
	if !found {
		status.Months = slices.Insert(status.Months, at, v1alpha1.MonthUsage{Month: month})
		status.Months = status.Months[:min(len(status.Months), MaxMonths)]
	}
	if at >= len(status.Months) {
		return nil
	}
	return &status.Months[at]
}

// dayOf is monthOf for a day.
func dayOf(status *v1alpha1.GroupUsageStatus, day string) *v1alpha1.DayUsage {
	at, found := slices.BinarySearchFunc(status.Days, day, func(d v1alpha1.DayUsage, day string) int {
		return strings.Compare(day, d.Day)
	})
	if !found {
		status.Days = slices.Insert(status.Days, at, v1alpha1.DayUsage{Day: day})
		status.Days = status.Days[:min(len(status.Days), MaxDays)]
		shorten(status)
	}
	if at >= len(status.Days) {
		return nil
	}
	return &status.Days[at]
}

// dayIn returns the day of an instant, or the nearest one in the period.
func dayIn(period quotaledger.Span, at time.Time) string {
	if end := period.End(); !at.Before(end) {
		at = end.Add(-time.Nanosecond)
	}
	if begin := period.Begin(); at.Before(begin) {
		at = begin
	}
	return at.UTC().Format(dayFormat)
}

func grown(was *int64, is uint64) int64 { return max(0, int64(is)-ptr.Deref(was, 0)) }

func plus(n *int64, more int64) *int64 { return ptr.To(ptr.Deref(n, 0) + more) }

func unlessZero(n uint64) *int64 {
	if n == 0 {
		return nil
	}
	return ptr.To(int64(n))
}
