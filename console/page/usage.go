package page

import (
	"io"
	"strconv"
	"time"
)

// Usage is what was used of a Group in a month.
type Usage struct {
	Month          string // such as "March 2026"
	Earlier, Later string // paths of the months beside it; empty: there is none
	Days           []Day  // oldest first, at most 31
	Limits         []Limit
	Keys           []Share // most first
	Origins        []Share
	Codes          []Share // of decisions
}

// Day is the requests of one day (UTC).
type Day struct {
	On               time.Time
	Allowed, Refused int64
}

// Limit is how much of a limit was used.
type Limit struct {
	Name     string
	State    State
	Used     int64
	Most     int64 // 0: unlimited
	Bytes    bool  // the numbers are bytes, not a count
	Expected int64 // at the end of the month; 0: too early to say
	Reached  time.Time
	Resets   time.Time // zero: it does not, as a number of keys does not
}

// Share is how much of the requests one of many had.
type Share struct {
	Name, Href string // empty Href: no page is about it
	Requests   int64
}

// Write writes the page.
func (p Usage) Write(to io.Writer, frame Frame) error { return render(to, "usage", frame, p) }

// chart has a bar for each day. Lengths are percentages of its width, heights pixels.
type chart struct {
	Bars             []bar
	Lines            []chartLine
	Allowed, Refused int64
}

type bar struct {
	Day, Short, Anchor    string
	At, Width, Middle     string
	AllowedY, AllowedHigh int
	RefusedY, RefusedHigh int
	Allowed, Refused      int64
	Label                 bool // it has room for its date
}

type chartLine struct {
	Y    int
	Text string
}

const chartTop, chartHigh = 20, 160

// newChart stacks the refused requests of each day on the allowed ones.
func newChart(days []Day) chart {
	var c chart
	most := int64(0)
	for _, d := range days {
		most = max(most, d.Allowed+d.Refused)
	}
	most = roundUp(most)
	for i := range 3 {
		c.Lines = append(c.Lines, chartLine{chartTop + chartHigh*i/2, count(most - most*int64(i)/2)})
	}
	wide := 100 / float64(max(1, len(days)))
	for i, d := range days {
		b := bar{Day: d.On.UTC().Format("2 January 2006"), Short: d.On.UTC().Format("2 Jan"), Allowed: d.Allowed, Refused: d.Refused,
			At: percent(wide*float64(i) + wide*.12), Width: percent(wide * .76), Middle: percent(wide * (float64(i) + .5)), Anchor: "middle"}
		b.AllowedHigh, b.RefusedHigh = pixels(d.Allowed, most), pixels(d.Refused, most)
		b.AllowedY = chartTop + chartHigh - b.AllowedHigh
		b.RefusedY = b.AllowedY - b.RefusedHigh
		b.Label = i%7 == 0
		if i == 0 {
			b.Anchor, b.Middle = "start", b.At
		}
		c.Bars = append(c.Bars, b)
		c.Allowed, c.Refused = c.Allowed+d.Allowed, c.Refused+d.Refused
	}
	return c
}

// pixels are at least one for what there was at all.
func pixels(n, most int64) int {
	if n <= 0 || most <= 0 {
		return 0
	}
	return max(1, int(float64(n)/float64(most)*(chartHigh-2)))
}

// roundUp returns the next number that is 2, 4, 6, 8 or 10 times a power of ten, for at most 10^18.
func roundUp(n int64) int64 {
	power := int64(1)
	for n > 10*power && power < 1e17 {
		power *= 10
	}
	for _, times := range []int64{2, 4, 6, 8} {
		if n <= times*power {
			return times * power
		}
	}
	return 10 * power
}

// meter is a Limit as it is drawn.
type meter struct {
	Limit
	UsedText, MostText, ExpectedText string
	Width, Mark                      string // Mark is what is expected; empty: nothing, or beyond the end
	Share                            string // empty: it is unlimited
}

func newMeter(l Limit) meter {
	amount := count
	if l.Bytes {
		amount = bytesText
	}
	m := meter{Limit: l, UsedText: amount(l.Used), MostText: "unlimited", Width: "0%"}
	if l.Expected > 0 {
		m.ExpectedText = amount(l.Expected)
	}
	if l.Most > 0 {
		used := 100 * float64(max(0, l.Used)) / float64(l.Most)
		m.MostText, m.Width, m.Share = amount(l.Most), percent(min(100, used)), strconv.FormatInt(int64(used), 10)+" %"
		if l.Expected > 0 && l.Expected < l.Most {
			m.Mark = percent(100 * float64(l.Expected) / float64(l.Most))
		}
	}
	return m
}

// bytesText is in decimal units, as limits are.
func bytesText(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= unit.size {
			return strconv.FormatFloat(float64(n)/float64(unit.size), 'f', 1, 64) + " " + unit.name
		}
	}
	return count(n) + " B"
}

// shareRow is a Share as it is drawn.
type shareRow struct {
	Share
	Width string
}

// newShares draws each beside the largest.
func newShares(shares []Share) []shareRow {
	most := int64(1)
	for _, s := range shares {
		most = max(most, s.Requests)
	}
	rows := make([]shareRow, len(shares))
	for i, s := range shares {
		rows[i] = shareRow{s, percent(100 * float64(max(0, s.Requests)) / float64(most))}
	}
	return rows
}

// breakdown is a table of shares.
type breakdown struct {
	ID, Title, Head, None string
	Rows                  []shareRow
}

func newBreakdown(id, title, head, none string, shares []Share) breakdown {
	return breakdown{id, title, head, none, newShares(shares)}
}
