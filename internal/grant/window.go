package grant

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // images have no files of time zones

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Window is when a key may rotate by its schedule: from a time of day to another, on some days, in a time zone.
//
// A window of a day is an interval in which clocks of the zone show times of the window. In the night in which an hour is
// skipped, a window in that hour does not open. In the night in which an hour is repeated, a window that covers the hour is an
// hour longer, and one that begins or ends in it is open the first time only.
type Window struct {
	days     [7]bool
	from, to time.Duration // from the beginning of the day; to may be on the next day
	zone     *time.Location
}

// An interval is one opening of a window.
type interval struct{ opens, closes time.Time }

const (
	dayLength = 24 * time.Hour
	// maxDays is how many days are searched for a window: a weekly one that does not open in the night in which an hour is
	// skipped opens again after 14 days.
	maxDays = 15
)

var weekdays = []v1alpha1.Weekday{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// parseWindow reads a declared window. The schema has checked the forms; the names of time zones it cannot know.
func parseWindow(spec *v1alpha1.RotationWindow) (*Window, *Problem) {
	w := &Window{}
	for i, day := range weekdays {
		w.days[i] = len(spec.Days) == 0 || slices.Contains(spec.Days, day)
	}
	if !slices.Contains(w.days[:], true) {
		return nil, rotationProblem("window.days", v1alpha1.Duration(fmt.Sprint(spec.Days)), "no such days; write for instance Sat, Sun")
	}
	var err error
	for _, of := range []struct {
		name, text, usual string
		value             *time.Duration
	}{{"from", spec.From, "00:00", &w.from}, {"to", spec.To, "24:00", &w.to}} {
		if of.text == "" {
			of.text = of.usual
		}
		if *of.value, err = timeOfDay(of.text); err != nil {
			return nil, rotationProblem("window."+of.name, v1alpha1.Duration(of.text), err.Error())
		}
	}
	if w.to == w.from {
		return nil, rotationProblem("window.to", v1alpha1.Duration(spec.To), "the window has no length; for whole days, remove from and to")
	}
	if w.to < w.from {
		w.to += dayLength
	}
	if w.zone, err = timeZone(spec.TimeZone); err != nil {
		return nil, rotationProblem("window.timeZone", v1alpha1.Duration(spec.TimeZone), err.Error())
	}
	return w, nil
}

func timeOfDay(text string) (time.Duration, error) {
	if text == "24:00" {
		return dayLength, nil
	}
	at, err := time.Parse("15:04", text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time of day; write for instance 02:00 or 24:00", text)
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, nil
}

// zones are the time zones that were read. There are as many as the database of zones has.
var zones sync.Map

// timeZone returns the zone of an IANA name; UTC for none.
func timeZone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil //nolint:forcetypeassert // nothing else is stored
	}
	zone, err := time.LoadLocation(name)
	if err != nil || zone == time.Local || isLocalFile(name) {
		return nil, fmt.Errorf("%q is no IANA time zone; write for instance Europe/Berlin, or UTC", name)
	}
	zones.Store(name, zone)
	return zone, nil
}

// isLocalFile reports whether a name is that of a file which some machines have beside the zones: the zone of the machine, and
// other forms of the database. An image does not have them, so that a key would rotate at another time there, or not at all.
func isLocalFile(name string) bool {
	lower := strings.ToLower(name)
	return slices.Contains([]string{"local", "localtime", "posixrules", "factory"}, lower) ||
		strings.HasPrefix(lower, "posix/") || strings.HasPrefix(lower, "right/")
}

// longestPause is the most days from one opening to the next.
func (w *Window) longestPause() int {
	longest, last := 0, -1
	for i := range 14 {
		if !w.days[i%7] {
			continue
		}
		if last >= 0 {
			longest = max(longest, i-last)
		}
		last = i
	}
	return longest
}

// on returns the opening that begins on the day of the date, which is any instant of the day in UTC; false if there is none.
func (w *Window) on(date time.Time) (interval, bool) {
	if !w.days[date.Weekday()] {
		return interval{}, false
	}
	midnight := time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, time.UTC)
	from, to := midnight.Add(w.from), midnight.Add(w.to)
	shown := func(at time.Time) time.Time { // what a clock of the zone shows, as if it were UTC
		_, offset := at.In(w.zone).Zone()
		return at.Add(time.Duration(offset) * time.Second)
	}
	// No zone is as far from UTC. Of each period between two changes of the clock, the offset is the same.
	at, opened := from.Add(-dayLength), interval{}
	for {
		_, ends := at.In(w.zone).ZoneBounds()
		if opened.opens.IsZero() {
			if opens := at.Add(max(0, from.Sub(shown(at)))); ends.IsZero() || opens.Before(ends) {
				if !shown(opens).Before(to) {
					return interval{}, false // it is skipped
				}
				opened.opens, at = opens, opens
			}
		}
		if !opened.opens.IsZero() {
			if closes := at.Add(to.Sub(shown(at))); ends.IsZero() || closes.Before(ends) {
				opened.closes = closes.UTC()
				break
			}
			if next := shown(ends); next.Before(from) || !next.Before(to) {
				opened.closes = ends.UTC()
				break
			}
		}
		at = ends
	}
	opened.opens = opened.opens.UTC()
	return opened, true
}

// day is the date that a clock of the zone shows at an instant, moved by some days, at noon UTC.
func (w *Window) day(at time.Time, moved int) time.Time {
	local := at.In(w.zone)
	return time.Date(local.Year(), local.Month(), local.Day()+moved, 12, 0, 0, 0, time.UTC)
}

// At returns the opening that contains the instant; false if there is none.
func (w *Window) At(at time.Time) (opens, closes time.Time, open bool) {
	for moved := range 2 {
		if i, ok := w.on(w.day(at, -moved)); ok && !at.Before(i.opens) && at.Before(i.closes) {
			return i.opens, i.closes, true
		}
	}
	return time.Time{}, time.Time{}, false
}

// place is the instant in an opening at which a key rotates that has this share of it: whole seconds.
func (i interval) place(share float64) time.Time {
	return i.opens.Add(time.Duration(share * float64(i.closes.Sub(i.opens)-time.Second))).Truncate(time.Second)
}

// last returns the latest place that is not after the instant; false if it would not be after the earliest.
func (w *Window) last(earliest, at time.Time, share float64) (time.Time, bool) {
	for moved := range maxDays {
		if i, ok := w.on(w.day(at, -moved)); ok && !i.place(share).After(at) {
			return i.place(share), i.place(share).After(earliest)
		}
	}
	return time.Time{}, false
}

// next returns the first place after the instant.
func (w *Window) next(at time.Time, share float64) (time.Time, bool) {
	for moved := range maxDays + 1 {
		if i, ok := w.on(w.day(at, moved-1)); ok && i.place(share).After(at) {
			return i.place(share), true
		}
	}
	return time.Time{}, false
}
