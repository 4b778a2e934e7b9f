package page

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Frame is what surrounds every page.
type Frame struct {
	Title  string
	Person string // empty: nobody has signed in
	// SignOut offers to end the session; false where there is none.
	SignOut bool
	// Token is sent with every form, against forms of other sites.
	Token  string
	Crumbs []Link
	// Tabs lead to the pages beside this one; none: there are none.
	Tabs []Tab
	// Warnings are what the API server said of what was just done, though it did it.
	Warnings []string
	// Now is what relative times are relative to.
	Now time.Time
}

// Link leads to another page.
type Link struct{ Text, Href string }

// Tab is one of several pages about the same.
type Tab struct {
	Link
	Current bool
}

// Tone says how a state looks, beside its text.
type Tone string

// The tones of states.
const (
	Good Tone = "good"
	Warn Tone = "warn"
	Bad  Tone = "bad"
	Off  Tone = "off"
)

// State is a word, and the shape and colour beside it.
type State struct {
	Text string
	Tone Tone
}

// SignIn asks who somebody is.
type SignIn struct {
	Problem  string // why the last attempt failed
	Provider string // the name of the OIDC provider; empty: there is none
	Next     string // the path to return to
	// ServiceAccounts says that tokens of ServiceAccounts are accepted.
	ServiceAccounts bool
}

// Write writes the page.
func (p SignIn) Write(to io.Writer, frame Frame) error { return render(to, "signin", frame, p) }

// Leaving is on its way to the provider.
type Leaving struct{ Provider, Href string }

// Write writes the page.
func (p Leaving) Write(to io.Writer, frame Frame) error { return render(to, "leaving", frame, p) }

// Field is a value of a form that was not accepted. Secrets are never kept.
type Field struct {
	Name, Label, Value, Error string
	Hidden                    bool // it is sent again, and not shown
}

// Lines reports whether the value has several lines, which a field of one line would lose.
func (f Field) Lines() bool { return strings.ContainsAny(f.Value, "\r\n") }

// kept is the place of a Field among others, and its error.
type kept struct {
	At    int
	Error string
}

func newKept(at int, err string) kept { return kept{at, err} }

// Failure says why something was not done, and keeps what was entered.
type Failure struct {
	Reason string
	Hint   string // what to do before it is tried again; empty: it can be tried again
	Action string // the path that Kept is sent to again; empty: that would not help, and Kept is shown to be copied
	Kept   []Field
	// SignIn is the path to sign in at, in another tab; empty: that would not help.
	SignIn string
}

// Write writes the page.
func (p Failure) Write(to io.Writer, frame Frame) error { return render(to, "failure", frame, p) }

// Group is a row of Groups.
type Group struct {
	Name, Href, Tier string
	State            State
	Keys, Requests   int64 // Requests are those of this month
}

// Groups lists the Groups that a person may see.
type Groups struct {
	Groups []Group
	Search Input  // part of a name, or a namespace, '/' and part of a name
	Action string // the path that Search is sent to; empty: it is not offered
	Named  bool   // the person may not list the Groups of all namespaces, so that some may have to be named
	Next   string // path of the next page; empty: this is the last
	// Asked is the path of the requests for keys that the person may see in other namespaces; empty: it is not offered.
	Asked string
	// Platform is the path of the page that says how Keyward itself is; empty: the person may not see it.
	Platform string
}

// Write writes the page.
func (p Groups) Write(to io.Writer, frame Frame) error { return render(to, "groups", frame, p) }

// searchHelp says what to write into a search for objects of several namespaces.
func searchHelp(named bool, example string) string {
	if named {
		return "A namespace and a slash, such as " + example + ", and part of a name."
	}
	return "Part of a name, or a namespace and a slash, such as " + example + "."
}

// Key is a row of Keys.
type Key struct {
	Name, Href, Preview, Projects, Creator string
	State                                  State
	LastUse, Expiry                        time.Time // zero: never
}

// Keys is one page of the keys of a Group.
type Keys struct {
	Keys   []Key
	Search Input // part of a name, at most 253 characters
	Orders Choices
	Some   bool   // too many to look at all: there may be others that come earlier in the order
	Within string // the namespace whose keys these are, if those of others are not shown; empty: all are
	Action string // the path that Search and Orders are sent to; empty: they are not offered
	Create string // path of the form; empty: the person may not create keys
	Ask    string // path of the form that asks for one in its place; empty: the person may create keys, or not ask here
	Next   string // path of the next page; empty: this is the last
}

// Write writes the page.
func (p Keys) Write(to io.Writer, frame Frame) error { return render(to, "keys", frame, p) }

// Revoke asks for the name of a key before it ends for ever.
type Revoke struct {
	Name, Action, Back string
	Use                Use
	Cannot             string // why it cannot be done, and is not offered; empty: it can be
	Typed, Error       string // of an attempt that was not accepted
}

// Write writes the page.
func (p Revoke) Write(to io.Writer, frame Frame) error { return render(to, "revoke", frame, p) }

// Claim asks before the plaintext of a key is shown, since that is done once.
type Claim struct {
	Name, Action, Back string
	Cannot             string // why it cannot be done, and is not offered; empty: it can be
	Error              string // of an attempt that was not accepted
}

// Write writes the page.
func (p Claim) Write(to io.Writer, frame Frame) error { return render(to, "claim", frame, p) }

// SignOut asks which sessions are to end.
type SignOut struct{ Everywhere string } // the path that ends all sessions of the person

// Write writes the page.
func (p SignOut) Write(to io.Writer, frame Frame) error { return render(to, "signout", frame, p) }

// Claimed shows the plaintext of a key, once. Whoever serves it forbids that it is stored.
type Claimed struct {
	Plaintext Plaintext // empty: it was shown before
	Done      string    // path of the key
}

// Plaintext is the text of a key. What prints or encodes it gets no text; the page asks for it.
type Plaintext struct{ text string }

// NewPlaintext returns what Claimed shows.
func NewPlaintext(text string) Plaintext { return Plaintext{text} }

// Reveal returns the text.
func (p Plaintext) Reveal() string { return p.text }

// Format implements fmt.Formatter.
func (Plaintext) Format(to fmt.State, _ rune) { _, _ = io.WriteString(to, "[redacted]") }

// Write writes the page.
func (p Claimed) Write(to io.Writer, frame Frame) error { return render(to, "claimed", frame, p) }
