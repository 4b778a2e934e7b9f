package page

import (
	"io"
	"time"
)

// Rotate asks how a key is replaced by a new version.
type Rotate struct {
	Name, Action, Back string
	Preview            string    // of the version that is replaced
	LastUse            time.Time // zero: never
	Once               bool      // somebody has to claim the new version
	Overlaps           []Overlap
	Cannot             string // why it cannot be done, and is not offered; empty: it can be
	Error              string // of an attempt that was not accepted
}

// Overlap is how long both versions are accepted, and what happens when.
type Overlap struct {
	Choice
	Steps []Step
}

// Step is something that happens.
type Step struct{ When, What string }

// Write writes the page.
func (p Rotate) Write(to io.Writer, frame Frame) error { return render(to, "rotate", frame, p) }

// Use is what a key is used for at present, as far as the cluster knows it.
type Use struct {
	Last    time.Time // zero: never
	Today   int64     // requests with the key that were allowed today (UTC)
	Week    int64     // those of the last 7 days, today included
	Origins []string  // of the Group in this period, those with the most requests first: they are not known by key
}

// shownUse is Use as a page shows it.
type shownUse struct {
	Last        instant
	Today, Week int64
	Origins     []string
}

func newUse(now time.Time, of Use) shownUse {
	return shownUse{newInstant(now, of.Last, "never"), of.Today, of.Week, of.Origins}
}

// Suspend asks whether a key is to be refused until it is resumed.
type Suspend struct {
	Name, Action, Back string
	Use                Use
	Cannot             string // why it cannot be done, and is not offered; empty: it can be
	Error              string // of an attempt that was not accepted
}

// Write writes the page.
func (p Suspend) Write(to io.Writer, frame Frame) error { return render(to, "suspend", frame, p) }

// Resume asks whether a suspended key is to be accepted again.
type Resume struct {
	Name, Action, Back string
	Since              time.Time // of the suspension
	By                 string    // who suspended it; empty: not known
	Cannot             string    // why it cannot be done, and is not offered; empty: it can be
	Remains            string    // why the key is refused all the same, such as a frozen Group; empty: it is accepted
	Error              string    // of an attempt that was not accepted
}

// Write writes the page.
func (p Resume) Write(to io.Writer, frame Frame) error { return render(to, "resume", frame, p) }
