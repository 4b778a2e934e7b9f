package groupevent

import (
	"slices"
	"strings"
	"time"
)

// Filter selects events of a log. What is empty selects all.
type Filter struct {
	// Types are types, such as key.rotated or in full, or what the short names of types begin with before a dot, such as key.
	Types []string
	// Kind and Object are of the subject, and Actor is the user.
	Kind, Object, Actor string
	// From is the first instant, and Before the first that is too late; the zero time has no bound.
	From, Before time.Time
}

// Selects reports whether the filter selects an event.
func (f *Filter) Selects(e *Event) bool {
	return !e.Time.Before(f.From) && (f.Before.IsZero() || e.Time.Before(f.Before)) && (f.Actor == "" || e.Actor.User == f.Actor) &&
		(f.Kind == "" || e.Subject.Kind == f.Kind) && (f.Object == "" || e.Subject.Name == f.Object) &&
		(len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(kind string) bool { return e.Type.Matches(kind) }))
}

// Matches reports whether a type has this short or full name, or a short one that begins so before a dot.
func (t Type) Matches(name string) bool {
	short := t.Short()
	return short == name || string(t) == name || strings.HasPrefix(short, name+".")
}

// AnyMatches reports whether a type in the catalogue has such a name, or begins so. Filters of others would find nothing, for ever.
func AnyMatches(name string) bool {
	return slices.ContainsFunc(catalogue, func(entry Entry) bool { return entry.Type.Matches(name) })
}

// Lines returns the events of a segment of a log, each as it is encoded.
func Lines(segment string) []string { return strings.Split(strings.TrimSuffix(segment, "\n"), "\n") }
