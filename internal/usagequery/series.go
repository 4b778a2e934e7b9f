package usagequery

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// Series answers a query from what was used of a Group.
func (q Query) Series(of Usage) adminv1.UsageSeries {
	s := adminv1.UsageSeries{Group: of.Group, By: q.by, Points: []adminv1.UsagePoint{}, Approximate: q.by == adminv1.ByOrigin}
	status := of.Status
	s.From, s.To = q.Range()
	if running := of.Schedule.At(q.today); q.running && running.Begin().Day() != 1 {
		q.first = running.Begin()
		s.From, s.To = q.first.Format(time.DateOnly), q.today.Format(time.DateOnly)
	}
	if status.UpdatedAt != nil {
		s.UpdatedAt = ptr.To(status.UpdatedAt.UTC())
	}
	switch q.by {
	case adminv1.ByDay:
		s.Points = q.days(status)
	case adminv1.ByMonth:
		s.Points = q.eachPeriod(of)
	case adminv1.ByCode:
		s.Points = q.sums(of, func(counts *v1alpha1.TrafficCounts, sum func(name string, n int64)) {
			for code, n := range counts.Refusals {
				sum(code, n)
			}
		}, func(name string, n int64) adminv1.UsagePoint {
			return adminv1.UsagePoint{Code: name, UsageAmounts: adminv1.UsageAmounts{Refused: n}}
		})
	case adminv1.ByOrigin:
		s.Points = q.sums(of, func(counts *v1alpha1.TrafficCounts, sum func(name string, n int64)) {
			for _, origin := range counts.Origins {
				sum(origin.Origin, count(origin.Requests))
			}
		}, func(name string, n int64) adminv1.UsagePoint {
			return adminv1.UsagePoint{Origin: name, UsageAmounts: adminv1.UsageAmounts{Requests: n}}
		})
	}
	s.Total = total(s.Points)
	return s
}

// IsByDay reports whether the points are days, as those of a key have to be.
func (q Query) IsByDay() bool { return q.by == adminv1.ByDay }

// KeySeries answers a query by day about one key of a Group. There are no points if all days are longer ago than is kept.
func (q Query) KeySeries(group string, key *v1alpha1.ApiKey) adminv1.UsageSeries {
	s := adminv1.UsageSeries{Group: group, Key: key.Status.KeyID, By: adminv1.ByDay, Points: []adminv1.UsagePoint{}}
	days := KeyDays(key)
	if oldest := q.oldestOf(key); !q.last.Before(oldest) {
		q.first = later(q.first, oldest)
		q.eachDay(func(day string) {
			s.Points = append(s.Points, adminv1.UsagePoint{Day: day, UsageAmounts: adminv1.UsageAmounts{Requests: days[day]}})
		})
	}
	s.From, s.To = q.Range()
	s.Total = total(s.Points)
	return s
}

// KeyRequests returns how many requests were allowed with a key in the range of the query, as far as is kept: 31 days, and the latest month in
// which it was used. whole reports whether all of the range is kept.
func (q Query) KeyRequests(key *v1alpha1.ApiKey) (requests int64, whole bool) {
	usage := ptr.Deref(key.Status.Usage, v1alpha1.KeyRequests{})
	month := quotaledger.MonthOf(q.first)
	if ends := quotaledger.MonthOf(q.last); q.months && month == ends && usage.Period == month.String() {
		return count(usage.Requests), true
	}
	days := KeyDays(key)
	q.eachDay(func(day string) { requests += days[day] })
	return requests, !q.first.Before(q.oldestOf(key))
}

// oldestOf returns the earliest day that is kept of a key: the list begins with the day on which it was used last.
func (q Query) oldestOf(key *v1alpha1.ApiKey) time.Time {
	last := q.today
	if usage := key.Status.Usage; usage != nil && usage.Days != nil {
		if at, err := time.Parse(time.DateOnly, usage.Days.Last); err == nil {
			last = earlier(at, last)
		}
	}
	return last.AddDate(0, 0, 1-usageseries.MaxKeyDays)
}

// KeyDays returns the requests of a key by day.
func KeyDays(key *v1alpha1.ApiKey) map[string]int64 {
	byDay := map[string]int64{}
	if key.Status.Usage == nil || key.Status.Usage.Days == nil {
		return byDay
	}
	days := key.Status.Usage.Days
	last, err := time.Parse(time.DateOnly, days.Last)
	if err != nil {
		return byDay
	}
	for i, n := range days.Requests {
		byDay[last.AddDate(0, 0, -i).Format(time.DateOnly)] = max(0, n)
	}
	return byDay
}

// Range returns the first and the last day or month.
func (q Query) Range() (from, to string) {
	if q.months {
		return quotaledger.MonthOf(q.first).String(), quotaledger.MonthOf(q.last).String()
	}
	return q.first.Format(time.DateOnly), q.last.Format(time.DateOnly)
}

func (q Query) eachDay(visit func(day string)) {
	for at := q.first; !at.After(q.last); at = at.AddDate(0, 0, 1) {
		visit(at.Format(time.DateOnly))
	}
}

// days returns a point for each day, also for those on which nothing was used.
func (q Query) days(status *v1alpha1.GroupUsageStatus) (points []adminv1.UsagePoint) {
	known := map[string]*v1alpha1.DayUsage{}
	for i := range status.Days {
		known[status.Days[i].Day] = &status.Days[i]
	}
	q.eachDay(func(day string) {
		point := adminv1.UsagePoint{Day: day}
		if d := known[day]; d != nil {
			point.UsageAmounts = adminv1.UsageAmounts{
				Requests: count(d.Requests), Bytes: count(d.Bytes), Refused: refused(d.Refusals), PublicRequests: count(d.PublicRequests),
			}
		}
		points = append(points, point)
	})
	return points
}

// eachPeriod is days for periods: those that begin in each month of the range, and that have begun.
func (q Query) eachPeriod(of Usage) (points []adminv1.UsagePoint) {
	periods := of.Periods()
	slices.Reverse(periods)
	for month, last := quotaledger.MonthOf(q.first), quotaledger.MonthOf(q.last); month.String() <= last.String(); month = month.Next() {
		begun := len(points)
		for i := range periods {
			if p := &periods[i]; quotaledger.MonthOf(p.Begin) == month {
				points = append(points, adminv1.UsagePoint{Month: p.Name, UsageAmounts: p.Amounts()})
			}
		}
		regular := of.Schedule.At(month.End().Add(-1))
		if len(points) == begun && quotaledger.MonthOf(regular.Begin()) == month && !regular.Begin().After(q.today) {
			points = append(points, adminv1.UsagePoint{Month: regular.String()})
		}
	}
	return points
}

// isOf reports whether a period begins in a month of the range.
func (q Query) isOf(p *Period) bool {
	return !p.Begin.Before(q.first) && !p.Begin.After(q.last)
}

// sums adds up what the days, or the months, of the range have by name, and returns the points, the one with the most first.
func (q Query) sums(of Usage, each func(*v1alpha1.TrafficCounts, func(name string, n int64)),
	point func(name string, n int64) adminv1.UsagePoint,
) []adminv1.UsagePoint {
	sums := map[string]int64{}
	add := func(name string, n int64) { sums[name] += max(0, n) }
	if q.months {
		periods := of.Periods()
		for i := range periods {
			if q.isOf(&periods[i]) {
				each(&periods[i].TrafficCounts, add)
			}
		}
	} else {
		from, to := q.Range()
		for i := range of.Status.Days {
			if d := &of.Status.Days[i]; d.Day >= from && d.Day <= to {
				each(&d.TrafficCounts, add)
			}
		}
	}
	points := make([]adminv1.UsagePoint, 0, len(sums))
	for name, n := range sums {
		points = append(points, point(name, n))
	}
	slices.SortFunc(points, func(a, b adminv1.UsagePoint) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.Refused, a.Refused),
			strings.Compare(a.Code+a.Origin, b.Code+b.Origin))
	})
	return points
}

func total(points []adminv1.UsagePoint) (sum adminv1.UsageAmounts) {
	for i := range points {
		p := &points[i]
		sum.Requests += p.Requests
		sum.Bytes += p.Bytes
		sum.Refused += p.Refused
		sum.OverageRequests += p.OverageRequests
		sum.OverageBytes += p.OverageBytes
		sum.UnconfirmedRequests += p.UnconfirmedRequests
		sum.PublicRequests += p.PublicRequests
	}
	return sum
}
