package page

import "io"

// Projects is what the content of a Group is divided into, and what its capabilities allow.
type Projects struct {
	Projects     []Project
	Capabilities []Capability
}

// Project is a part of the content.
type Project struct {
	Name   string
	Routes []Route // none: only a proxy names the project
	Public string  // paths that need no key; empty: none
	All    bool    // it owns every request
}

// Capability is a permission beyond read.
type Capability struct {
	Name   string
	Routes []Route
	Cost   int64 // how many requests of a quota one counts as
}

// Route is which requests match; each part may be any of what it says.
type Route struct{ Methods, Hosts, Paths, Query string }

// Write writes the page.
func (p Projects) Write(to io.Writer, frame Frame) error { return render(to, "projects", frame, p) }
