package usage

import "time"

// month is a calendar month (UTC), counted from that of the Unix epoch. It has monthBits.
type month uint16

const monthBits = 16 - flagBits

// period is the format of a month, such as 2026-11.
const period = "2006-01"

func monthOf(at time.Time) month {
	return month(min(max(0, (at.Year()-1970)*12+int(at.Month()-time.January)), 1<<monthBits-1))
}

func parseMonth(text string) (month, error) {
	at, err := time.Parse(period, text)
	return monthOf(at), err
}

func (m month) begin() time.Time {
	return time.Date(1970, time.January+time.Month(m), 1, 0, 0, 0, 0, time.UTC)
}

func (m month) String() string { return m.begin().Format(period) }

// calendar finds the months of instants that are mostly in the same month.
type calendar struct {
	month        month
	begins, ends int64 // Unix milliseconds
}

func (c *calendar) of(millis int64) month {
	if millis < c.begins || c.ends <= millis {
		at := time.UnixMilli(millis).UTC()
		begin := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		*c = calendar{monthOf(at), begin.UnixMilli(), begin.AddDate(0, 1, 0).UnixMilli()}
	}
	return c.month
}
