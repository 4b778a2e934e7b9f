package page

import (
	"io"
	"time"
)

// Log is one page of the log of a Group, newest first.
type Log struct {
	Action  string // the path that the filter is sent to
	Types   Choices
	Object  Input // name of a key or another object, at most 253 characters
	Actor   Input // who did it, at most 1,024 characters
	From    Input // first day (UTC), such as 2026-03-01
	Through Input // last day (UTC)
	Entries []Entry
	Clear   string // path without a filter; empty: nothing is filtered
	Next    string // path of earlier entries; empty: these are the earliest
}

// Entry is an event in the log.
type Entry struct {
	At         time.Time
	What       string
	Tone       Tone
	Object     Link // empty Href: it no longer exists, or has no page
	Actor      string
	Detail     string
	Impersonal bool // Keyward did it automatically
}

// Write writes the page.
func (p Log) Write(to io.Writer, frame Frame) error { return render(to, "log", frame, p) }
