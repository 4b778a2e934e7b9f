package page

import (
	"io"
	"time"
)

// Request is a request for a key of a Group: a row of Requests, or of OwnRequests.
type Request struct {
	Name, Href            string
	Group                 Link   // that a key is asked of, without Href for who may not see it; empty: that which the page is about
	Namespace, By         string // who asks, and where the key would be
	Projects, Permissions string
	UseCase               string // a part of it in a row
	Lifetime              string
	State                 State
	At                    time.Time // when it was made
}

// Requests is one page of the requests for keys of a Group: those that wait for a decision first.
type Requests struct {
	Requests []Request
	Next     string // path of the next page; empty: this is the last
}

// Write writes the page.
func (p Requests) Write(to io.Writer, frame Frame) error { return render(to, "requests", frame, p) }

// RequestDetail is one request, what was decided about it, and what the person may decide.
type RequestDetail struct {
	Request

	Action, Back string
	Decided      []Decided // oldest first
	// Decides reports whether a request that waits may be approved or refused, and Withdraws whether its approval may be withdrawn, by the person.
	Decides, Withdraws bool
	// Ends is when the key would end if the request were approved now, Shortened whether the key policy of the Group makes that earlier than was
	// asked for, Lacks what the Group does not have yet, so that the key would not be valid, and Unfit why there would be no key. Lacks and Unfit may
	// be empty.
	Ends         time.Time
	Shortened    bool
	Lacks, Unfit string
	Reason       Input  // at most 500 characters
	Problem      string // why the last attempt failed; empty: it did not, or Reason says so
}

// Decided is who decided what.
type Decided struct {
	State      State
	By, Reason string
	At         time.Time
}

// Write writes the page.
func (p RequestDetail) Write(to io.Writer, frame Frame) error { return render(to, "request", frame, p) }
