package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/session"
)

const (
	notFound = "It does not exist, or you may not see it."
	// whoGives is what to do about a right that is missing.
	whoGives = "Whoever manages access to that namespace can give you the right."
	// mostReason is how many characters of what the API server said are shown.
	mostReason = 500
)

var titles = map[int]string{
	http.StatusUnauthorized: "Sign in again", http.StatusForbidden: "Not allowed", http.StatusNotFound: "Not found", http.StatusConflict: "Not done",
	http.StatusMethodNotAllowed: "Not done", http.StatusRequestEntityTooLarge: "Too long", http.StatusUnprocessableEntity: "Not done",
	http.StatusTooManyRequests: "Too many attempts", http.StatusServiceUnavailable: "Not available",
}

func title(status int) string {
	if text, ok := titles[status]; ok {
		return text
	}
	return "Something failed"
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return "It failed."
	}
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// meaning returns the status of an error of a Desk, and what is said to the person.
func meaning(err error) (status int, reason string) {
	var invalid *InvalidError
	var network net.Error
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, session.ErrNoMember):
		return http.StatusNotFound, notFound
	case errors.Is(err, ErrForbidden):
		return http.StatusForbidden, sentence(cut(err.Error()))
	case errors.Is(err, ErrConflict):
		return http.StatusConflict, "Somebody else has changed it since, and nothing was done. Look at it again."
	case errors.As(err, &invalid):
		return http.StatusUnprocessableEntity, sentence(cut(invalid.summary()))
	case apierrors.IsUnauthorized(err):
		return http.StatusUnauthorized, "The API server no longer accepts your sign-in."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err),
		apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), errors.As(err, &network):
		return http.StatusServiceUnavailable, "The cluster does not answer at the moment. Try again."
	}
	return http.StatusInternalServerError, "Something unexpected happened. It was logged."
}

// summary has what is wrong, in the order of the fields' names.
func (e *InvalidError) summary() string {
	var all []string
	for name, text := range e.Fields {
		if label := labels[name]; label != "" {
			text = label + ": " + text
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func cut(text string) string {
	if utf8.RuneCountInString(text) <= mostReason {
		return text
	}
	return string([]rune(text)[:mostReason]) + "…"
}

// fail answers that something was not done.
func (c *console) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, reason := meaning(err)
	switch status {
	case http.StatusUnauthorized:
		if c.config.Loopback { // a kubeconfig may get another credential
			break
		}
		if err := c.sessions.SignOut(w, r); err != nil {
			status, reason = meaning(err)
			break
		}
		if r.Method == http.MethodPost {
			c.ended(w, r)
			return
		}
		leave(w, session.SignInPath+"?"+url.Values{"next": {session.LocalPath(here(r))}}.Encode())
		return
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	if status >= http.StatusInternalServerError { // its text may have names, and is not logged
		c.config.Log.Error("a request failed", slog.Int("status", status), slog.String("reason", string(apierrors.ReasonForError(err))))
	}
	doc := page.Failure{Reason: reason}
	if status == http.StatusForbidden {
		doc.Hint = whoGives
	}
	c.failure(w, r, status, doc)
}

// failure answers with a page that keeps what was sent: to be sent again, unless that does not help.
func (c *console) failure(w http.ResponseWriter, r *http.Request, status int, doc page.Failure) {
	if r.Method == http.MethodPost && status != http.StatusNotFound && r.PostForm != nil {
		doc.Action, doc.Kept = r.URL.EscapedPath(), kept(r.PostForm)
		if doc.Hint != "" { // to send it again does not help
			doc.Action, doc.Kept = "", slices.DeleteFunc(doc.Kept, func(f page.Field) bool { return f.Hidden || f.Value == "" })
		}
	}
	frame := c.frame(r, title(status))
	if status == http.StatusNotFound { // nor does the Group have pages, as far as the person may know
		frame.Tabs = nil
	}
	c.write(w, status, doc, frame)
}

// labels are those of the fields that are kept; the empty ones are sent again and not shown.
var labels = map[string]string{
	"name": "Name", "description": "Description", "projects": "Projects", "permissions": "Permissions", "clients": "Clients",
	"addresses": "Addresses", "lifetime": "Expires after", "rotation": "Rotates", "reveal": "Delivered", "domains": "Sites",
	"localhost": "Allow localhost", "missing": "Requests without an origin", "site": "Address of the site", "overlap": "Overlap", "reason": "Reason",
	"namespace": "Namespace", "group": "Group", "useCase": "Use case",
	"step": "", "next": "", "version": "",
}

// mostKept is how many values of a form are kept.
const mostKept = 512

// kept has what was sent, without the token of the form and secrets, and without fields that no form has.
func kept(sent url.Values) []page.Field {
	var fields []page.Field
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range sent[name] {
			if len(fields) < mostKept && name != csrf.Field && !slices.Contains(secretFields, name) {
				fields = append(fields, page.Field{Name: name, Label: labels[name], Value: value, Hidden: labels[name] == ""})
			}
		}
	}
	if len(fields) == 0 { // a form without fields can be sent again, too
		fields = []page.Field{{Name: "step", Hidden: true}}
	}
	return fields
}

// ended answers a form that was sent without a session.
func (c *console) ended(w http.ResponseWriter, r *http.Request) {
	if c.config.Loopback {
		c.failure(w, r, http.StatusUnauthorized, page.Failure{Reason: entryHint})
		return
	}
	c.write(w, http.StatusUnauthorized, page.Failure{Reason: "Your session is over, and nothing was done.", SignIn: session.SignInPath,
		Action: r.URL.EscapedPath(), Kept: kept(r.PostForm)}, page.Frame{Title: "Not done", Token: csrf.Token(r.Context()), Now: c.config.Now()})
}

// stale answers a form whose token is not good: with the form, a new token, and what was sent.
func (c *console) stale(w http.ResponseWriter, r *http.Request, sent url.Values) {
	r.PostForm = sent
	const reason = "The page was too old, and nothing was done. Check what you entered, and send it again."
	_, known := person.From(r.Context())
	f, isForm := r.Context().Value(formKey{}).(*form)
	switch {
	case strings.HasPrefix(r.URL.Path, session.SignInPath):
		c.showSignIn(w, r, http.StatusForbidden, "The page was too old. Try again.")
	case !known:
		c.ended(w, r)
	case isForm && goodNames(r):
		c.serve(func(a *asked) error { return c.again(a, *f, http.StatusForbidden, reason) }).ServeHTTP(w, r)
	default:
		c.failure(w, r, http.StatusForbidden, page.Failure{Reason: reason})
	}
}

// refused answers a request about another Group than the chosen one. A page chooses its Group; a form is shown again, so that a tab with another
// Group changes nothing in the wrong one.
func (c *console) refused(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, session.ErrNoActive) && !errors.Is(err, session.ErrOtherGroup) {
		c.fail(w, r, err)
		return
	}
	if !session.IsPage(r) { // a script of a page in the background must not choose for the person
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if _, err := c.sessions.Switch(w, r, groupOf(r)); err != nil {
		c.fail(w, r, err)
		return
	}
	f, isForm := r.Context().Value(formKey{}).(*form)
	if !isForm {
		leave(w, here(r))
		return
	}
	reason := "The choice of a Group was too old, and nothing was done. This form is about the Group " + r.PathValue("group") + ": send it again."
	if errors.Is(err, session.ErrOtherGroup) {
		reason = "Another Group was chosen since, in another tab, and nothing was done. This form is about the Group " + r.PathValue("group") +
			": send it again if you mean that."
	}
	c.serve(func(a *asked) error { return c.again(a, *f, http.StatusConflict, reason) }).ServeHTTP(w, r)
}
