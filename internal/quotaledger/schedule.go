package quotaledger

import "time"

// Span is a period with its end.
type Span struct {
	Period

	next day
}

// End returns the first instant after the period, when its quota is reset.
func (s Span) End() time.Time { return s.next.begin() }

// Has reports whether an instant is in the period.
func (s Span) Has(at time.Time) bool { return s.first <= dayOf(at) && dayOf(at) < s.next }

// keptStarts is how many periods begin as they did before the anchor day was changed: the last, the running and the next one.
const keptStarts = 3

// Schedule says when the periods of a Group begin. Every instant is in exactly one of them. The zero Schedule has calendar
// months, in UTC.
type Schedule struct {
	// less is the day of the month on which a period begins, less one. In a month that is too short it is the last day.
	less int8
	// kept are days on which a period begins regardless of the day of the month, ascending; the zero Period ends them. No other
	// period begins between the first and the last of them. They are from before the day was changed.
	kept [keptStarts]Period
}

// NewSchedule returns a schedule by the anchor day, 1 to 31, and the days on which periods begin all the same. Days that are
// not in ascending order, or are too many, count as none.
func NewSchedule(anchorDay int, kept ...Period) Schedule {
	const latest = 31
	s := Schedule{less: int8(min(max(anchorDay, 1), latest) - 1)}
	if len(kept) > keptStarts {
		return s
	}
	for i, p := range kept {
		if p == (Period{}) || i > 0 && p.first <= kept[i-1].first {
			return Schedule{less: s.less}
		}
		s.kept[i] = p
	}
	return s
}

// AnchorDay returns the day of the month on which periods begin.
func (s Schedule) AnchorDay() int { return int(s.less) + 1 }

// Kept returns the days on which periods begin regardless of the anchor day.
func (s Schedule) Kept() []Period {
	n := 0
	for n < keptStarts && s.kept[n] != (Period{}) {
		n++
	}
	return s.kept[:n]
}

// At returns the period of an instant.
func (s Schedule) At(at time.Time) Span {
	today := dayOf(at)
	first, next := s.regular(today)
	kept := s.Kept()
	for i, p := range kept {
		switch {
		case today >= p.first:
		case i == 0:
			return Span{Period{first}, min(next, p.first)}
		default:
			return Span{kept[i-1], p.first}
		}
	}
	if len(kept) > 0 {
		first = max(first, kept[len(kept)-1].first)
	}
	return Span{Period{first}, next}
}

// regular returns the first day of the period of a day by the anchor day alone, and that of the next one.
func (s Schedule) regular(today day) (first, next day) {
	date := today.begin()
	anchor := func(months int) day {
		month := time.Date(date.Year(), date.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
		last := month.AddDate(0, 1, -1).Day()
		return dayOf(month.AddDate(0, 0, min(int(s.less), last-1)))
	}
	if this := anchor(0); today < this {
		return anchor(-1), this
	}
	return anchor(0), anchor(1)
}

// Before returns the period before another one.
func (s Schedule) Before(span Span) Span { return s.At(span.Begin().Add(-1)) }

// Accepts reports whether use of a period is counted at an instant: if it is the running one, or the last.
func (s Schedule) Accepts(p Period, at time.Time) bool {
	running := s.At(at)
	return p == running.Period || p == s.Before(running).Period
}

// SpanOf returns a period with its end, which is not that of another period that has begun since: one of a schedule that has
// been forgotten may begin within a period of this one.
func (s Schedule) SpanOf(p Period) Span { return Span{p, s.At(p.Begin()).next} }

// Begins reports whether a period begins on its day.
func (s Schedule) Begins(p Period) bool { return s.At(p.Begin()).Period == p }

// Change returns the schedule with another anchor day, from an instant on. The running period, and the last one, remain as they
// are: so what was used counts for the quota that it was used of, and no quota is given again. The next period begins where the
// running one ends, and lasts until the next anchor day.
func (s Schedule) Change(anchorDay int, at time.Time) Schedule {
	changed := NewSchedule(anchorDay)
	running := s.At(at)
	last := s.Before(running)
	switch {
	case changed.At(at) == running && changed.Before(running) == last:
		return changed
	case s.less == changed.less:
		return s
	}
	return NewSchedule(anchorDay, last.Period, running.Period, Period{running.next})
}
