package page

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// KeyDetail is one key.
type KeyDetail struct {
	// Version changes with what the page shows. Live is the path of the events of other versions; empty: there are none.
	Version, Live        string
	Preview, Description string
	State                State
	Managed              string // what keeps the ApiKey as Git has it, such as Argo CD; empty: nothing does
	Problem              string // what somebody has to do before the key can be used; empty: nothing
	Projects             string
	Permissions          string
	Clients              string // who may present it, and from where
	Creator              string
	LastUse, Expiry      time.Time // zero: never
	Rotation             time.Time // the next; zero: none is planned
	Actions              []Action  // those that the role permits
	Versions             []Version // oldest first, at most 16
	Enforcement          Enforcement
	RefusalsKnown        bool      // false: what was used of the Group, and with it the Refusals, cannot be read, or not by the person
	Refusals             []Refusal // newest first
	Mount                Mount
}

// Write writes the page.
func (p KeyDetail) Write(to io.Writer, frame Frame) error { return render(to, "key", frame, p) }

// Action is something that a person may do.
type Action struct {
	Text, Href string
	Destroys   bool
}

// Version is one credential of a key.
type Version struct {
	ID, Preview string
	State       State
	Minted      time.Time
	Replaced    time.Time // when its successor was delivered; zero: it has none
	Ends        time.Time // the earliest of its ends; zero: never
	LastUse     time.Time // zero: never
}

// Enforcement is how far the last change of a key has come.
type Enforcement struct {
	Acknowledged, Servers int64
	Took                  time.Duration // zero: not all have acknowledged it
	Each                  []Server
}

// Server is a validation server that has the Group.
type Server struct {
	Name  string
	State State
	Since time.Time // of the state
}

// Refusal is requests with the key that were refused with one code.
type Refusal struct {
	Since, Last       time.Time // of these requests
	Code, Cause, Hint string
	Origin            string // of the latest that had one; empty: none had
	Times             int64
}

// Mount is where the key is delivered.
type Mount struct {
	Namespace, Secret string // empty Secret: no Secret has the key
	Item              string // of the data of the Secret
	Address           string // of content that the key reads
	// Unseen reports that the key is not seen by who looks: it is not known whether it still is in the Secret, and valid.
	Unseen bool
}

// snippet is text to copy.
type snippet struct{ ID, Title, Text string }

// snippets say how an application gets the key.
func snippets(m Mount) []snippet {
	path := strings.ReplaceAll(m.Item, ".", `\.`)
	return []snippet{
		{"deployment", "Deployment", "env:\n  - name: API_KEY\n    valueFrom:\n      secretKeyRef:\n        name: " + m.Secret + "\n        key: " + m.Item + "\n"},
		{"shell", "Shell", "export API_KEY=\"$(kubectl get secret " + m.Secret + " -n " + m.Namespace + " -o jsonpath=" +
			shellQuote("{.data."+path+"}") + " | base64 -d)\"\n"},
		{"curl", "curl", "curl -H \"Authorization: Bearer $API_KEY\" " + shellQuote(m.Address) + "\n"},
		{"fetch", "fetch, on a server", "const response = await fetch(" + strconv.Quote(m.Address) + ", {\n" +
			"  headers: { Authorization: `Bearer ${process.env.API_KEY}` },\n});\n"},
	}
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// axis is the life of versions, from left to right. Lengths are percentages of its width, heights pixels.
type axis struct {
	Height, Bottom int
	Now            string
	NowAnchor      string
	Ticks          []tick
	Rows           []axisRow
	Overlaps       bool
}

type tick struct{ At, Anchor, Text, Class string }

type axisRow struct {
	Text, Anchor, TextAt string
	Y, TextY             int
	Tone                 Tone
	At, Width            string // until it is replaced
	EndAt, EndWidth      string // from then on; empty: it is not replaced
}

const (
	axisTop, axisRowHeight = 24, 44
	axisTicks              = 4 // intervals
)

// newAxis draws versions between their first minting and their last end, and at least a day around now.
func newAxis(now time.Time, versions []Version) axis {
	from, to := now.Add(-12*time.Hour), now.Add(12*time.Hour)
	for _, v := range versions {
		if v.Minted.Before(from) {
			from = v.Minted
		}
		if v.Ends.After(to) {
			to = v.Ends
		}
	}
	for _, v := range versions {
		if v.Ends.IsZero() { // leave room to the right of now
			to = later(to, now.Add(now.Sub(from)/2))
		}
	}
	share := func(at time.Time) float64 { return 100 * min(1, max(0, float64(at.Sub(from))/float64(to.Sub(from)))) }
	a := axis{Bottom: axisTop + axisRowHeight*len(versions), Now: percent(share(now)), NowAnchor: anchor(share(now))}
	a.Height = a.Bottom + 20
	for i := range axisTicks + 1 {
		at := from.Add(to.Sub(from) / axisTicks * time.Duration(i))
		layout, class := "2 Jan 2006", "tick"
		if to.Sub(from) < 72*time.Hour {
			layout = "2 Jan, 15:04"
		}
		if i > 0 && i < axisTicks {
			class += " inner"
		}
		a.Ticks = append(a.Ticks, tick{percent(share(at)), anchor(share(at)), at.UTC().Format(layout), class})
	}
	for i, v := range versions {
		start, end := share(v.Minted), 100.0
		if !v.Ends.IsZero() {
			end = max(start, share(v.Ends))
		}
		row := axisRow{Text: "Version " + v.ID + ", " + v.State.Text, TextAt: percent(start), Anchor: side(start), Tone: v.State.Tone,
			TextY: axisTop + axisRowHeight*i + 14, Y: axisTop + axisRowHeight*i + 20, At: percent(start)}
		if replaced := max(start, share(v.Replaced)); !v.Replaced.IsZero() && replaced < end {
			row.EndAt, row.EndWidth = percent(replaced), percent(end-replaced)
			end, a.Overlaps = replaced, true
		}
		row.Width = percent(end - start)
		a.Rows = append(a.Rows, row)
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// anchor keeps text at both ends inside of the drawing.
func anchor(share float64) string {
	switch {
	case share < 25:
		return "start"
	case share > 75:
		return "end"
	}
	return "middle"
}

// side begins text at a place, or ends it there where there is more room to the left.
func side(share float64) string {
	if share < 50 {
		return "start"
	}
	return "end"
}

func percent(share float64) string { return fmt.Sprintf("%.2f%%", share) }
