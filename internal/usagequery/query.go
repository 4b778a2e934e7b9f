package usagequery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// DefaultDays is how many days are returned if nothing else is asked for.
	DefaultDays = 30

	day = 24 * time.Hour
)

// By has what can be asked for, the default first.
var By = []string{adminv1.ByDay, adminv1.ByMonth, adminv1.ByCode, adminv1.ByOrigin}

// Query is what is asked of the usage of a Group: the points of a range of days, or of a range of months, which have the periods that begin
// in them.
type Query struct {
	by string
	// Days from first to last; or, if months is set, the months from that of first to that of last.
	months bool
	// running is set if nothing but the running period was asked for.
	running     bool
	first, last time.Time
	today       time.Time
}

// Errors of Parse. They name the parameter, and what to write.
var (
	errForms = errors.New("from, to: write both as days, such as 2026-11-01, or both as months, such as 2026-11")
	errOrder = errors.New("from, to: from is after to: write the earlier one as from")
	errNext  = errors.New("from: it has not begun yet: write today or an earlier day")
)

// Parse reads the parameters of a query. Any may be empty: then it is about the last 30 days, all months that are kept, or the codes
// or origins of the running period.
func Parse(by, from, to string, now time.Time) (Query, error) {
	q := Query{by: by}
	if by == "" {
		q.by = adminv1.ByDay
	}
	if !slices.Contains(By, q.by) {
		return Query{}, fmt.Errorf("by: write one of %s", strings.Join(By, ", "))
	}
	first, firstIsMonth, err := parseBound(adminv1.UsageSeriesFrom, from)
	if err != nil {
		return Query{}, err
	}
	last, lastIsMonth, err := parseBound(adminv1.UsageSeriesTo, to)
	if err != nil {
		return Query{}, err
	}
	switch {
	case from != "" && to != "" && firstIsMonth != lastIsMonth:
		return Query{}, errForms
	case from == "" && to == "":
		q.months = q.by != adminv1.ByDay
		q.running = q.months && q.by != adminv1.ByMonth
	default:
		q.months = firstIsMonth || lastIsMonth
	}
	if q.by == adminv1.ByMonth && !q.months {
		return Query{}, errors.New("from, to: by=month takes months, such as 2026-11")
	}
	return q.bounded(first, last, now.UTC().Truncate(day))
}

// bounded returns the query with its range, of which the ends may be missing, within what is kept.
func (q Query) bounded(first, last, today time.Time) (Query, error) {
	if last.IsZero() {
		last = today
	} else if q.months {
		last = quotaledger.MonthOf(last).End().Add(-day)
	}
	last = earlier(last, today)
	switch {
	case !first.IsZero():
	case !q.months:
		first = last.AddDate(0, 0, 1-DefaultDays)
	case q.by == adminv1.ByMonth:
		first = oldestMonth(today)
	default:
		first = quotaledger.MonthOf(last).Begin()
	}
	switch {
	case first.After(today):
		return Query{}, errNext
	case first.After(last):
		return Query{}, errOrder
	}
	oldest, kept := today.AddDate(0, 0, 1-usageseries.MaxDays), fmt.Sprintf("the last %d days are", usageseries.MaxDays)
	if q.months && q.by != adminv1.ByDay {
		oldest, kept = oldestMonth(today), fmt.Sprintf("the last %d months are", usageseries.MaxMonths)
	}
	if last.Before(oldest) {
		return Query{}, fmt.Errorf("to: only %s kept; the earliest is %s", kept, oldest.Format(time.DateOnly))
	}
	q.first, q.last, q.today = later(first, oldest), last, today
	if q.by == adminv1.ByDay {
		q.months = false
	}
	return q, nil
}

func oldestMonth(today time.Time) time.Time {
	return time.Date(today.Year(), today.Month()-(usageseries.MaxMonths-1), 1, 0, 0, 0, 0, time.UTC)
}

// parseBound reads a day or a month, and returns its first day; the zero time if there is none.
func parseBound(name, text string) (at time.Time, isMonth bool, err error) {
	switch len(text) {
	case 0:
		return time.Time{}, false, nil
	case len("2026-11"):
		var month quotaledger.Month
		if month, err = quotaledger.ParseMonth(text); err == nil {
			return month.Begin(), true, nil
		}
	case len(time.DateOnly):
		if at, err = time.Parse(time.DateOnly, text); err == nil {
			return at, false, nil
		}
	}
	return time.Time{}, false, fmt.Errorf("%s: write a day such as 2026-11-27, or a month such as 2026-11", name)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
