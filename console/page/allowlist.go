package page

import (
	"io"
	"slices"
)

// Allowlists lists those that apply to a Group.
type Allowlists struct {
	Lists  []Link
	Within string // the namespace that they are in, if those of others are not shown; empty: all are
}

// Write writes the page.
func (p Allowlists) Write(to io.Writer, frame Frame) error { return render(to, "allowlists", frame, p) }

// Allowlist is the editor of the origins that may present the keys of projects.
type Allowlist struct {
	Action, Back string
	ReadOnly     bool     // the person may look, and check sites
	Managed      string   // what keeps it as Git has it, such as Flux: it is changed there, with the YAML; empty: nothing does
	Problem      string   // why the last attempt failed; empty: it did not, or its fields say so
	Domains      Input    // at most 256 patterns, one a line
	Warnings     []string // of sites that are accepted, and may be more than was meant, as the API server says it when it is saved
	Projects     Choices  // at most 64; none: all
	Localhost    bool     // origins on localhost are allowed
	Missing      Choices  // what happens to requests without an origin
	Site         Input    // to check, at most 272 characters
	Verdict      *Verdict
	Version      string // of what the editor shows, to be sent with it
	YAML         string // what will be applied; empty: it was not asked for
}

// Verdict is what the patterns as they are in the editor say of a site.
type Verdict struct {
	Passes bool
	Origin string // as a browser sends it
	Why    string
}

// Write writes the page. Its warnings are among those of the frame, each once.
func (p Allowlist) Write(to io.Writer, frame Frame) error {
	frame.Warnings = slices.Clone(frame.Warnings)
	for _, text := range p.Warnings {
		if !slices.Contains(frame.Warnings, text) {
			frame.Warnings = append(frame.Warnings, text)
		}
	}
	return render(to, "allowlist", frame, p)
}
