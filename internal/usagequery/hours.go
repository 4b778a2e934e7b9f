package usagequery

import (
	"errors"
	"fmt"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// DefaultHours is how many hours are returned if nothing else is asked for.
	DefaultHours = 24

	// hourFormat is ISO 8601: an hour is written as its begin, in UTC.
	hourFormat = "2006-01-02T15:00Z"

	hoursPerDay = 24
)

// HourQuery is what is asked of the hours of a Group: those from first to last.
type HourQuery struct{ first, last usageseries.Hour }

// Errors of ParseHours.
var (
	errHourForms = errors.New("from, to: write both as hours, such as 2026-11-27T13:00Z, or both as days, such as 2026-11-27")
	errNextHour  = errors.New("from: it has not begun yet: write this hour or an earlier one")
)

// ParseHours reads the parameters of a query by hour. Either may be empty: then it is about the last 24 hours, the hours until now, or the 24
// that end with the last. Its errors name the parameter, and what to write.
func ParseHours(from, to string, now time.Time) (HourQuery, error) {
	first, firstIsDay, err := parseHour(adminv1.UsageSeriesFrom, from)
	if err != nil {
		return HourQuery{}, err
	}
	last, lastIsDay, err := parseHour(adminv1.UsageSeriesTo, to)
	if err != nil {
		return HourQuery{}, err
	}
	running := usageseries.HourOf(now)
	oldest := running - usageseries.MaxHours + 1
	switch {
	case to == "":
		last = running
	case lastIsDay:
		last += hoursPerDay - 1
	}
	last = min(last, running)
	if from == "" {
		first = last - DefaultHours + 1
	}
	switch {
	case from != "" && to != "" && firstIsDay != lastIsDay:
		return HourQuery{}, errHourForms
	case first > running:
		return HourQuery{}, errNextHour
	case first > last:
		return HourQuery{}, errOrder
	case last < oldest:
		return HourQuery{}, fmt.Errorf("to: only the last %d hours are kept; the earliest is %s", usageseries.MaxHours, hourText(oldest))
	}
	return HourQuery{max(first, oldest), last}, nil
}

// parseHour reads an hour or a day, and returns the day's first hour; 0 if there is none.
func parseHour(name, text string) (hour usageseries.Hour, isDay bool, err error) {
	var at time.Time
	switch len(text) {
	case 0:
		return 0, false, nil
	case len(hourFormat):
		if at, err = time.Parse(hourFormat, text); err == nil {
			return usageseries.HourOf(at), false, nil
		}
	case len(time.DateOnly):
		if at, err = time.Parse(time.DateOnly, text); err == nil {
			return usageseries.HourOf(at), true, nil
		}
	}
	return 0, false, fmt.Errorf("%s: write an hour such as 2026-11-27T13:00Z, or a day such as 2026-11-27", name)
}

func hourText(hour usageseries.Hour) string { return hour.Begin().Format(hourFormat) }

// Series answers the query from the hours of a Group, namespace/name, with a point for each hour. What is from before the hour in which the
// Group was created is of an earlier one with its name.
func (q HourQuery) Series(group string, created time.Time, used map[usageseries.Hour]usageseries.HourUse) adminv1.UsageSeries {
	s := adminv1.UsageSeries{
		Group: group, By: adminv1.ByHour, From: hourText(q.first), To: hourText(q.last), Points: make([]adminv1.UsagePoint, 0, q.last-q.first+1),
	}
	for hour, own := q.first, usageseries.HourOf(created); hour <= q.last; hour++ {
		point := adminv1.UsagePoint{Hour: hourText(hour)}
		if use := used[hour]; hour >= own {
			point.Requests, point.Bytes = amount(use.Requests), amount(use.Bytes)
		}
		s.Points = append(s.Points, point)
	}
	s.Total = total(s.Points)
	return s
}

// amount returns a number that can be added up for as many hours as there are.
func amount(n uint64) int64 { return int64(min(n, 2*quotaledger.Max)) } //nolint:gosec // it is at most that
