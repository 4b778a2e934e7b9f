package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/session"
)

// Patterns of package place.
const (
	groupPattern     = "/groups/{ns}/{group}"
	keyPattern       = groupPattern + "/keys/{keyns}/{key}"
	allowlistPattern = groupPattern + "/allowlists/{allowns}/{allowlist}"
	requestPattern   = groupPattern + "/requests/{request}"
	askedPattern     = place.Requests + "/{askedns}/{asked}"
)

// document is a page.
type document interface {
	Write(to io.Writer, frame page.Frame) error
}

// asked is a request of a person.
type asked struct {
	w       http.ResponseWriter
	r       *http.Request
	leave   func(path string) // to another page, which says what the API server warned of
	desk    Desk
	group   place.Group // of the path; empty: it names none
	key     place.Key
	problem string            // why the form is shown again
	errors  map[string]string // by field
	// conflict says that somebody else has changed it since: it is shown as it is now, and what was sent beside it.
	conflict bool
}

// sent reports whether the request has a form.
func (a *asked) sent() bool { return a.r.Method == http.MethodPost }

// form is a page with a form that changes something.
type form struct {
	title func(a *asked) string
	// show returns the page: with what was sent, and with the problem and errors of a, if a.sent.
	show func(a *asked) (document, error)
	// do does what the form says, and answers.
	do func(a *asked) error
}

type formKey struct{}

// page serves a page that people see who have signed in. With a Group in its pattern, that has to be the chosen one, or becomes it.
func (c *console) page(pattern string, title func(*asked) string, show func(a *asked) (document, error)) {
	c.handle("GET "+pattern, c.guarded(pattern, c.serve(func(a *asked) error {
		doc, err := show(a)
		if err != nil {
			return err
		}
		status := http.StatusOK
		if len(a.errors) > 0 {
			status = http.StatusUnprocessableEntity
		}
		c.show(a, status, title(a), doc)
		return nil
	})))
}

// form serves a page with a form, and what it does.
func (c *console) form(pattern string, f form) {
	c.page(pattern, f.title, f.show)
	handler := c.guarded(pattern, c.serve(func(a *asked) error {
		err := f.do(a)
		var invalid *InvalidError
		switch {
		case errors.As(err, &invalid):
			a.errors = invalid.Fields
			return c.again(a, f, http.StatusUnprocessableEntity, invalid.Fields[""])
		case errors.Is(err, ErrConflict):
			a.conflict = true
			return c.again(a, f, http.StatusConflict, "Somebody else has changed it since, and nothing was done. Look at it again; what you send now replaces theirs.")
		}
		return err
	}))
	c.handle("POST "+pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), formKey{}, &f)))
	}))
}

// again shows a form again, with what was sent.
func (c *console) again(a *asked, f form, status int, problem string) error {
	a.problem = problem
	doc, err := f.show(a)
	if err != nil {
		return err
	}
	c.show(a, status, f.title(a), doc)
	return nil
}

// guarded has all that stands before a page of somebody who has signed in.
func (c *console) guarded(pattern string, handler http.Handler) http.Handler {
	if strings.HasPrefix(pattern, groupPattern) {
		handler = c.sessions.RequireActive(groupOf, handler)
	}
	return c.identified(c.sessions.Require(named(handler)))
}

// identified knows who has sent a request before anything of its form is read, which may take long.
func (c *console) identified(handler http.Handler) http.Handler {
	return c.sessions.Identify(c.inTurn(c.guard.Protect(handler)))
}

func groupOf(r *http.Request) string { return r.PathValue("ns") + "/" + r.PathValue("group") }

// named lets next answer requests whose path has names that objects can have.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !goodNames(r) {
			http.Error(w, notFound, http.StatusNotFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func goodNames(r *http.Request) bool {
	for _, name := range []string{"ns", "keyns", "allowns", "askedns"} {
		if v := r.PathValue(name); v != "" && len(validation.IsDNS1123Label(v)) > 0 {
			return false
		}
	}
	for _, name := range []string{"group", "key", "allowlist", "request", "asked"} {
		if v := r.PathValue(name); v != "" && len(validation.IsDNS1123Subdomain(v)) > 0 {
			return false
		}
	}
	return true
}

// serve answers a request of a person, and its errors.
func (c *console) serve(answer func(a *asked) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r = r.WithContext(context.WithValue(r.Context(), warningsKey{}, &warnings{}))
		}
		a, err := c.ask(w, r)
		if err == nil {
			err = answer(a)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

func (c *console) ask(w http.ResponseWriter, r *http.Request) (*asked, error) {
	of, ok := person.From(r.Context())
	if !ok {
		return nil, errors.New("nobody has signed in")
	}
	desk, err := c.config.Desk(of)
	if err != nil {
		return nil, err
	}
	group := place.Group{Namespace: r.PathValue("ns"), Name: r.PathValue("group")}
	leave := func(path string) {
		c.sessions.Notify(w, r, path, warned(r.Context()))
		leave(w, path)
	}
	return &asked{w: w, r: r, leave: leave, desk: desk, group: group,
		key: place.Key{Group: group, Namespace: r.PathValue("keyns"), Name: r.PathValue("key")}}, nil
}

// member implements Member of session.Config.
func (c *console) member(ctx context.Context, of *person.Person, groupID string) (role, tier string, err error) {
	namespace, name, ok := strings.Cut(groupID, "/")
	if !ok {
		return "", "", session.ErrNoMember
	}
	desk, err := c.config.Desk(of)
	if err != nil {
		return "", "", err
	}
	r, tier, err := desk.Member(ctx, place.Group{Namespace: namespace, Name: name})
	if errors.Is(err, ErrNotFound) {
		return "", "", fmt.Errorf("%w: %w", session.ErrNoMember, err)
	}
	return string(r), tier, err
}

// frame is what surrounds the page that answers a request.
func (c *console) frame(r *http.Request, title string) page.Frame {
	f := page.Frame{Title: title, Token: csrf.Token(r.Context()), Now: c.config.Now(), Warnings: warned(r.Context())}
	of, ok := person.From(r.Context())
	if !ok {
		return f
	}
	f.Person, f.SignOut = of.Name, !c.config.Loopback
	group := place.Group{Namespace: r.PathValue("ns"), Name: r.PathValue("group")}
	if group.Name == "" {
		f.Crumbs = crumbsApart(r)
		return f
	}
	f.Crumbs = []page.Link{{Text: "Groups", Href: place.Groups}}
	key := place.Key{Group: group, Namespace: r.PathValue("keyns"), Name: r.PathValue("key")}
	here := strings.TrimPrefix(r.URL.Path, group.Of())
	switch {
	case key.Name != "" && r.URL.Path != key.Of():
		f.Crumbs = append(f.Crumbs, page.Link{Text: group.Name, Href: group.Of()}, page.Link{Text: key.Name, Href: key.Of()})
	case here == "", here == "/usage", here == "/projects", here == "/allowlists", here == "/log", here == "/requests":
		f.Tabs = tabs(group, r.URL.Path, false)
	default:
		f.Crumbs = append(f.Crumbs, page.Link{Text: group.Name, Href: group.Of()})
	}
	return f
}

// tabs are the pages of a Group, and that of requests for who may see them.
func tabs(group place.Group, current string, requests bool) (all []page.Tab) {
	for _, tab := range []struct {
		text, path string
		shown      bool
	}{{"Keys", "", true}, {"Requests", "requests", requests}, {"Usage", "usage", true}, {"Projects", "projects", true}, {"Allowlists", "allowlists", true}, {"Log", "log", true}} {
		href := group.Of()
		if tab.path != "" {
			href = group.Of(tab.path)
		}
		if tab.shown {
			all = append(all, page.Tab{Link: page.Link{Text: tab.text, Href: href}, Current: href == current})
		}
	}
	return all
}

// show answers with a page. If it is not known whether the person sees requests, they are not offered.
func (c *console) show(a *asked, status int, title string, doc document) {
	frame := c.frame(a.r, title)
	frame.Warnings = append(frame.Warnings, c.sessions.Notices(a.w, a.r)...)
	if len(frame.Tabs) > 0 {
		if sees, err := a.desk.SeesRequests(a.r.Context(), a.group); err == nil && sees {
			frame.Tabs = tabs(a.group, a.r.URL.Path, true)
		}
	}
	c.write(a.w, status, doc, frame)
}

// write answers with a page that is rendered as a whole before the status is written.
func (c *console) write(w http.ResponseWriter, status int, doc document, frame page.Frame) {
	var text bytes.Buffer
	if err := doc.Write(&text, frame); err != nil {
		c.config.Log.Error("a page cannot be rendered", slog.String("type", fmt.Sprintf("%T", doc)))
		status = http.StatusInternalServerError
		text.Reset()
		text.WriteString("<!doctype html><title>Keyward</title><p>The page cannot be shown.")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w)
}

// leave sends a browser to another page, so that nothing is sent twice.
func leave(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}

// here is the path of a request with its query, of a pattern that was matched.
func here(r *http.Request) string {
	return (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}).RequestURI()
}
