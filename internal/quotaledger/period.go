package quotaledger

import (
	"fmt"
	"time"
)

// Period is the time that a quota is for, named by its first day (UTC). The zero Period is none.
type Period struct{ first day }

// day counts the days since 1970-01-01, UTC.
type day int32

const secondsOfDay = 24 * 60 * 60

func dayOf(at time.Time) day {
	seconds := at.Unix()
	days := seconds / secondsOfDay
	if seconds%secondsOfDay < 0 {
		days--
	}
	return day(days)
}

func (d day) begin() time.Time { return time.Unix(int64(d)*secondsOfDay, 0).UTC() }

// The forms of a period: that of one that begins with a month is the month, as of all periods of a Group without an anchor day.
const (
	wholeMonth = "2006-01"
	fromDay    = time.DateOnly
)

// PeriodFrom returns the period that begins on the day of an instant.
func PeriodFrom(at time.Time) Period { return Period{dayOf(at)} }

// ParsePeriod parses what String returns. Each period has one text only.
func ParsePeriod(text string) (Period, error) {
	at, err := time.Parse(wholeMonth, text)
	if err != nil {
		at, err = time.Parse(fromDay, text)
	}
	if err != nil || PeriodFrom(at).String() != text {
		return Period{}, fmt.Errorf("%q is not a period such as 2026-11 or 2026-11-15", text)
	}
	return PeriodFrom(at), nil
}

// String returns the month, such as 2026-11, of a period that begins with one, and otherwise the first day, such as
// 2026-11-15. The texts are in the order of the periods.
func (p Period) String() string {
	if begin := p.Begin(); begin.Day() != 1 {
		return begin.Format(fromDay)
	}
	return p.Begin().Format(wholeMonth)
}

// Begin returns the first instant of the period.
func (p Period) Begin() time.Time { return p.first.begin() }

// Days returns the days from 1970-01-01 to the first of the period.
func (p Period) Days() int32 { return int32(p.first) }

// PeriodFromDays returns the Period of which Days are so many.
func PeriodFromDays(days int32) Period { return Period{day(days)} }

// MaxPeriod is the longest that a period is.
const MaxPeriod = 31 * 24 * time.Hour

// Period returns the month as a period.
func (m Month) Period() Period { return PeriodFrom(m.Begin()) }
