// Package refusal has the reasons for which the console does not do what a browser asks, before it asks Kubernetes. Pages are rendered
// elsewhere: who refuses a request gives the model of the page.
package refusal

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Kind is why a request is refused.
type Kind string

// The kinds.
const (
	// SignInRequired: nobody has signed in, or the sign-in has ended.
	SignInRequired Kind = "sign-in-required"
	// ContextInvalid: the active Group is unknown, because its cookie is missing, was changed, has expired, or is of another sign-in.
	ContextInvalid Kind = "context-invalid"
	// ContextOther: the request is about a Group that is not the active one; another tab has changed it.
	ContextOther Kind = "context-other"
	// FormStale: the token of the form is no longer valid. Return to the form, which has a new one.
	FormStale Kind = "form-stale"
	// CrossSite: another site has made the browser send the request.
	CrossSite Kind = "cross-site"
	// HostUnknown: the request is for a host name that is not the console's.
	HostUnknown Kind = "host-unknown"
	// TooManySignIns: there were too many attempts to sign in.
	TooManySignIns Kind = "too-many-sign-ins"
	// SignInFailed: the identity provider, or Kubernetes, did not accept the sign-in.
	SignInFailed Kind = "sign-in-failed"
	// NotAllowed: the person has signed in at the identity provider, and may not use the console.
	NotAllowed Kind = "not-allowed"
	// TooLarge: what is sent, or what would have to be kept of a sign-in, is too large.
	TooLarge Kind = "too-large"
	// Unavailable: the identity provider or the API server does not respond, or it is not known yet who has signed out.
	Unavailable Kind = "unavailable"
)

type words struct {
	status      int
	title, hint string
}

var table = map[Kind]words{
	SignInRequired: {http.StatusUnauthorized, "Sign in", "Sign in to go on."},
	ContextInvalid: {http.StatusForbidden, "Choose a Group", "It is not known which Group you are working with. Choose it again."},
	ContextOther:   {http.StatusConflict, "Another Group is active", "You have changed to another Group, maybe in another tab. Choose the Group of this page again."},
	FormStale:      {http.StatusForbidden, "Send the form again", "The page was open for a long time, or you have signed in again. Check what you have entered, and send it once more."},
	CrossSite:      {http.StatusForbidden, "This came from another site", "Another site has sent this request. Nothing was done. If you meant to do it, do it on a page of the console."},
	HostUnknown:    {http.StatusMisdirectedRequest, "Unknown host", "The console has another address. Open the one that it has printed."},
	TooManySignIns: {http.StatusTooManyRequests, "Too many attempts", "There were too many attempts to sign in. Wait, then try again."},
	SignInFailed:   {http.StatusUnauthorized, "The sign-in failed", "Nobody was signed in. Try again."},
	NotAllowed:     {http.StatusForbidden, "You may not use the console", "You have signed in, but nothing maps you to a user of the cluster. Ask who runs the console."},
	TooLarge:       {http.StatusRequestEntityTooLarge, "Too large", "There is more than the console takes."},
	Unavailable:    {http.StatusServiceUnavailable, "Not available", "The console cannot reach what it needs. Try again in a minute."},
}

// Kinds returns all kinds, in no order.
func Kinds() []Kind {
	kinds := make([]Kind, 0, len(table))
	for kind := range table {
		kinds = append(kinds, kind)
	}
	return kinds
}

// Refusal is the model of a page that says why a request is refused.
type Refusal struct {
	Kind Kind
	// Detail is a sentence for the person that says more, or empty. It has no secret, and is not HTML.
	Detail string
	// RetryAfter is how long to wait, or zero.
	RetryAfter time.Duration
	// Form is what was entered, to be shown again so that it is not lost; nil where the form may be one of another site.
	Form url.Values
	// Token is a new CSRF token for that form, or empty.
	Token string
	// Return is a path of the console to go on at, or empty. It is safe to redirect to.
	Return string
}

// Status returns the HTTP status.
func (r Refusal) Status() int { return table[r.Kind].status }

// Title and Hint return what the page says in general.
func (r Refusal) Title() string { return table[r.Kind].title }

// Hint returns what to do.
func (r Refusal) Hint() string { return table[r.Kind].hint }

// Page renders refusals. It writes status and body.
type Page interface {
	Refuse(http.ResponseWriter, *http.Request, Refusal)
}

// PageFunc is a Page.
type PageFunc func(http.ResponseWriter, *http.Request, Refusal)

// Refuse implements Page.
func (f PageFunc) Refuse(w http.ResponseWriter, r *http.Request, refused Refusal) { f(w, r, refused) }

// Write refuses a request: it sets the headers that do not depend on the page, and lets the page write the rest.
func Write(page Page, w http.ResponseWriter, r *http.Request, refused Refusal) {
	w.Header().Set("Cache-Control", "no-store")
	if refused.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(refused.RetryAfter.Seconds())), 10))
	}
	page.Refuse(w, r, refused)
}

// Plain is a Page of text, for what has no pages.
func Plain(w http.ResponseWriter, _ *http.Request, refused Refusal) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(refused.Status())
	_, _ = fmt.Fprintf(w, "%s. %s\n", refused.Title(), refused.Hint())
	if refused.Detail != "" {
		_, _ = fmt.Fprintln(w, refused.Detail)
	}
}
