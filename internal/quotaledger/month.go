package quotaledger

import (
	"fmt"
	"time"
)

// Month is a calendar month in UTC, such as 2026-11.
type Month struct{ year, month int }

// MonthOf returns the month of an instant.
func MonthOf(at time.Time) Month {
	at = at.UTC()
	return Month{at.Year(), int(at.Month())}
}

// ParseMonth parses what String returns.
func ParseMonth(text string) (Month, error) {
	at, err := time.Parse("2006-01", text)
	if err != nil {
		return Month{}, fmt.Errorf("%q is not a month such as 2026-11", text)
	}
	return MonthOf(at), nil
}

// String returns the month in the form of ISO 8601.
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", m.year, m.month) }

// Begin returns the first instant of the month.
func (m Month) Begin() time.Time {
	return time.Date(m.year, time.Month(m.month), 1, 0, 0, 0, 0, time.UTC)
}

// End returns the first instant after the month, when its quota is reset.
func (m Month) End() time.Time { return m.Next().Begin() }

// Next returns the month after this one.
func (m Month) Next() Month {
	return MonthOf(time.Date(m.year, time.Month(m.month)+1, 1, 0, 0, 0, 0, time.UTC))
}

// Previous returns the month before this one.
func (m Month) Previous() Month {
	return MonthOf(time.Date(m.year, time.Month(m.month)-1, 1, 0, 0, 0, 0, time.UTC))
}
