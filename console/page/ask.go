package page

import "io"

// Pick is a field with values to choose from, or one in which they are written, one a line, where they are not known.
type Pick struct {
	Of           []Choice // empty: they are not known
	Value, Error string   // Value is what was written
}

// Choices is the field as one to choose from.
func (p Pick) Choices() Choices { return Choices{p.Of, p.Error} }

// Input is the field as one to write into.
func (p Pick) Input() Input { return Input{p.Value, p.Error} }

// Ask is the form that asks for a key.
type Ask struct {
	Action, Back string
	Problem      string // why the last attempt failed; empty: it did not, or its fields say so
	Note         string // what is known to keep a request from being accepted; empty: nothing
	Namespace    Input  // where the key is to be, at most 63 characters
	Name         Input  // at most 253 characters
	Group        Input  // a name, or a namespace, '/' and a name
	Projects     Pick
	Permissions  Pick
	UseCase      Input // at most 500 characters
	Lifetime     Pick
	// YAML is the object that the form makes, as far as it is filled in; empty: it was not asked for.
	YAML string
}

// Write writes the page.
func (p Ask) Write(to io.Writer, frame Frame) error { return render(to, "ask", frame, p) }

// OwnRequests is one page of the requests for keys that a person may see where the keys are to be.
type OwnRequests struct {
	Requests []Request
	Search   Input  // part of a name, or a namespace, '/' and part of a name
	Action   string // the path that Search is sent to
	Within   string // the namespace that was searched, where no name was
	Named    bool   // the person may not list the requests of all namespaces, so that some may have to be named
	Ask      string // path of the form; empty: the person may not ask in the namespace that was searched for
	Next     string // path of the next page; empty: this is the last
}

// Write writes the page.
func (p OwnRequests) Write(to io.Writer, frame Frame) error {
	return render(to, "ownrequests", frame, p)
}

// OwnRequest is one request where its key is to be: what became of it.
type OwnRequest struct {
	Request

	Problem string    // what keeps it from its key; empty: nothing, or Decided says so
	Managed string    // what keeps the KeyRequest as Git has it, such as Argo CD; empty: nothing does
	Decided []Decided // oldest first
	Key     Link      // that came of it, without Href for who may not see it; empty: none
	KeyNow  State     // of Key; empty for who may not see it
	Mount   Mount     // of Key
	Delete  string    // path of the page that deletes it; empty: the person may not
	Back    string
}

// Write writes the page.
func (p OwnRequest) Write(to io.Writer, frame Frame) error { return render(to, "ownrequest", frame, p) }

// DeleteRequest asks before a request is deleted.
type DeleteRequest struct {
	Name, Action, Back string
	Managed            string // what creates it again, as Git has it, such as Argo CD; empty: nothing does
	// Key is the name of the key that is deleted with it, which has to be typed; empty: there is none.
	Key string
	// Soon reports that the key is created at any moment, if it is not there yet.
	Soon         bool
	Typed, Error string // of an attempt that was not accepted
}

// Write writes the page.
func (p DeleteRequest) Write(to io.Writer, frame Frame) error {
	return render(to, "deleterequest", frame, p)
}
