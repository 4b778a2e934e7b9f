package quotaledger_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// instants are of the years in which somebody may be billed, and the moments around midnight.
var instants = rapid.Custom(func(t *rapid.T) time.Time {
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 36_000).Draw(t, "day"))
	at = at.Add(time.Duration(rapid.Int64Range(-1, int64(24*time.Hour)).Draw(t, "time")))
	return at.In(time.FixedZone("", 3600*rapid.IntRange(-12, 14).Draw(t, "zone")))
})

// schedules have been changed several times.
var schedules = rapid.Custom(func(t *rapid.T) quotaledger.Schedule {
	anchor := rapid.IntRange(1, 31)
	s, at := quotaledger.NewSchedule(anchor.Draw(t, "anchor day")), instants.Draw(t, "since")
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		at = at.Add(time.Duration(rapid.Int64Range(0, int64(100*24*time.Hour)).Draw(t, "later")))
		s = s.Change(anchor.Draw(t, "anchor day"), at)
	}
	return s
})

// TestEveryInstantIsInOnePeriod: periods follow each other without a gap, regardless of what was changed, and none is too long.
func TestEveryInstantIsInOnePeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, at := schedules.Draw(t, "schedule"), instants.Draw(t, "instant")
		if kept := s.Kept(); len(kept) > 0 && rapid.Bool().Draw(t, "where it was changed") {
			at = rapid.SampledFrom(kept).Draw(t, "kept").Begin().Add(time.Duration(rapid.IntRange(-40, 40).Draw(t, "days")) * 24 * time.Hour)
		}
		span := s.At(at)
		if !span.Has(at) || at.Before(span.Begin()) || !at.Before(span.End()) {
			t.Fatalf("%s is not from %s to %s", at, span.Begin(), span.End())
		}
		if span.End().Sub(span.Begin()) > quotaledger.MaxPeriod {
			t.Fatalf("%s lasts until %s", span, span.End())
		}
		first, last, after := s.At(span.Begin()), s.At(span.End().Add(-1)), s.At(span.End())
		if first != span || last != span || after.Begin() != span.End() || s.Before(after) != span || span.Has(span.End()) {
			t.Fatalf("%s until %s: its ends are in %s and %s, after it comes %s", span, span.End(), first, last, after)
		}
		if !s.Begins(span.Period) || !s.Accepts(span.Period, at) || !s.Accepts(span.Period, span.End()) || s.Accepts(span.Period, after.End()) {
			t.Fatalf("%s is not accepted as it should be", span)
		}
		if got, err := quotaledger.ParsePeriod(span.String()); err != nil || got != span.Period {
			t.Fatalf("%s is read as %s, %v", span, got, err)
		}
		if span.String() >= after.String() {
			t.Fatalf("%s is not before %s", span, after)
		}
		if quotaledger.NewSchedule(s.AnchorDay(), s.Kept()...) != s || quotaledger.PeriodFromDays(span.Days()) != span.Period {
			t.Fatal("it cannot be written down")
		}
	})
}

// TestChangeGrantsNothingTwice: the running period and the last remain what they were, regardless of what the anchor day is changed to, and
// how often. Then comes one that may be shorter, and after that each begins on the anchor day.
func TestChangeGrantsNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, at := schedules.Draw(t, "schedule"), instants.Draw(t, "instant")
		if kept := before.Kept(); len(kept) > 0 && at.Before(kept[1].Begin()) {
			at = kept[1].Begin() // it was changed in this period, and is not changed before
		}
		running := before.At(at)
		after := before
		for range rapid.IntRange(1, 3).Draw(t, "changes in one period") {
			after = after.Change(rapid.IntRange(1, 31).Draw(t, "anchor day"), at)
		}
		if after.At(at) != running || after.Before(running) != before.Before(running) {
			t.Fatalf("%s until %s was running, and now %s until %s", running, running.End(), after.At(at), after.At(at).End())
		}
		if back := after.Change(before.AnchorDay(), at); back.At(running.End()) != before.At(running.End()) {
			t.Fatalf("changed back, %s follows, and not %s", back.At(running.End()), before.At(running.End()))
		}
		next := after.At(running.End())
		if next.Begin() != running.End() {
			t.Fatalf("%s follows %s", next, running)
		}
		plain := quotaledger.NewSchedule(after.AnchorDay())
		for at := next.End(); at.Before(next.End().AddDate(2, 0, 0)); at = after.At(at).End() {
			if after.At(at) != plain.At(at) {
				t.Fatalf("%s is not the period by the anchor day, %s", after.At(at), plain.At(at))
			}
		}
		// What is past is forgotten.
		if later := next.End().AddDate(0, 2, 0); after.Change(after.AnchorDay(), later) != plain {
			t.Fatalf("later it is still %+v", after.Change(after.AnchorDay(), later))
		}
	})
}

// TestAnchorDays: the last day of a short month stands for a day that it does not have.
func TestAnchorDays(t *testing.T) {
	for _, c := range []struct {
		anchor int
		from   string
		starts []string
	}{
		{1, "2026-11-27", []string{"2026-11", "2026-12", "2027-01", "2027-02"}},
		{15, "2026-11-14", []string{"2026-10-15", "2026-11-15", "2026-12-15", "2027-01-15"}},
		{31, "2027-01-31", []string{"2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"}},
		{30, "2028-01-30", []string{"2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30"}},
		{29, "2100-02-01", []string{"2100-01-29", "2100-02-28", "2100-03-29"}},
		{31, "2027-12-30", []string{"2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"}},
	} {
		at, err := time.Parse(time.DateOnly, c.from)
		if err != nil {
			t.Fatal(err)
		}
		s := quotaledger.NewSchedule(c.anchor)
		var got []string
		for range c.starts {
			got = append(got, s.At(at).String())
			at = s.At(at).End()
		}
		if !slices.Equal(got, c.starts) {
			t.Errorf("on the %d.: %q, want %q", c.anchor, got, c.starts)
		}
	}
}

// TestZeroSchedule: without an anchor day, periods are calendar months, with the names that they always had.
func TestZeroSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := instants.Draw(t, "instant")
		span, month := quotaledger.Schedule{}.At(at), quotaledger.MonthOf(at)
		if span.String() != month.String() || span.Begin() != month.Begin() || span.End() != month.End() || month.Period() != span.Period {
			t.Fatalf("%s until %s is not %s", span, span.End(), month)
		}
	})
}

// TestChange shows what a change does, as the documentation says.
func TestChange(t *testing.T) {
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	s := quotaledger.Schedule{}.Change(15, at)
	var got []string
	for range 4 {
		got = append(got, s.At(at).String())
		at = s.At(at).End()
	}
	if want := []string{"2026-11", "2026-12", "2026-12-15", "2027-01-15"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestKeptStartsAreChecked: what cannot be from a change is ignored.
func TestKeptStartsAreChecked(t *testing.T) {
	p := func(text string) quotaledger.Period {
		p, err := quotaledger.ParsePeriod(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, kept := range [][]quotaledger.Period{
		{p("2026-12"), p("2026-11")}, {p("2026-12"), p("2026-12")}, {{}},
		{p("2026-09"), p("2026-10"), p("2026-11"), p("2026-12")},
	} {
		if s := quotaledger.NewSchedule(40, kept...); s != quotaledger.NewSchedule(31) {
			t.Errorf("%v: %+v", kept, s)
		}
	}
}

// TestParsePeriod: each period has one name.
func TestParsePeriod(t *testing.T) {
	for _, text := range []string{"", "2026", "2026-13", "2026-1", "2026-00", "2026-11-01", "2026-02-30", "-001-01", "2026-11-5", "2026-11-15T", "0000-00"} {
		if p, err := quotaledger.ParsePeriod(text); err == nil {
			t.Errorf("%q is %s", text, p)
		}
	}
}
