package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/signin"
)

const (
	// EntryPath is followed by the secret of Entry.
	EntryPath = "/enter/"

	everywherePath = "/sign-out/everywhere"
	mostTokenBytes = 16 << 10
	entryHint      = "This session is over. Start kubectl keyward console again, and open the address that it prints."
)

func (c *console) routeSignIn() {
	open := func(h http.HandlerFunc) http.Handler { return c.identified(h) }
	c.handle("GET "+session.SignInPath, open(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := person.From(r.Context()); ok {
			leave(w, session.LocalPath(r.URL.Query().Get("next")))
			return
		}
		c.showSignIn(w, r, http.StatusOK, "")
	}))
	if c.config.Verify != nil {
		c.handle("POST "+session.SignInPath+"/token", open(c.limited(byToken, c.signInByToken)))
	}
	if c.config.Provider != nil {
		c.handle("POST "+session.SignInPath+"/oidc", open(c.limited(byProvider, c.leaveToSignIn)))
		c.handle("GET "+session.SignInPath+"/callback", open(c.comeBack))
	}
	if c.config.Entry != nil {
		c.handle("GET "+EntryPath+"{secret}", open(c.enter))
	}
	c.handle("POST /sign-out", open(func(w http.ResponseWriter, r *http.Request) {
		if err := c.sessions.SignOut(w, r); err != nil {
			c.fail(w, r, err)
			return
		}
		leave(w, session.SignInPath)
	}))
	c.page("/sign-out", func(*asked) string { return "Sign out everywhere" }, func(*asked) (document, error) {
		return page.SignOut{Everywhere: everywherePath}, nil
	})
	c.handle("POST "+everywherePath, c.guarded(everywherePath, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.sessions.SignOutEverywhere(w, r); err != nil {
			c.fail(w, r, err)
			return
		}
		leave(w, session.SignInPath)
	})))
}

// limited serves those who have not tried too often.
func (c *console) limited(how string, inner http.HandlerFunc) http.HandlerFunc {
	refused := func(r *http.Request) { c.signIns.saw(r, how, tooOften, "") }
	return c.limiter.Limit(c.config.Address, refused, inner).ServeHTTP
}

// showSignIn asks who somebody is.
func (c *console) showSignIn(w http.ResponseWriter, r *http.Request, status int, problem string) {
	if c.config.Verify == nil {
		c.write(w, http.StatusUnauthorized, page.Failure{Reason: entryHint}, c.frame(r, title(http.StatusUnauthorized)))
		return
	}
	next := r.URL.Query().Get("next")
	if r.Method == http.MethodPost {
		next = r.PostForm.Get("next")
	}
	c.showSignInTo(w, r, status, problem, next)
}

// showSignInTo asks who somebody is, who goes to next then.
func (c *console) showSignInTo(w http.ResponseWriter, r *http.Request, status int, problem, next string) {
	frame := c.frame(r, "Sign in")
	frame.Person, frame.SignOut = "", false
	doc := page.SignIn{Problem: problem, Next: session.LocalPath(next), ServiceAccounts: c.config.ServiceAccounts}
	if c.config.Provider != nil {
		doc.Provider = c.config.Provider.Name()
	}
	c.write(w, status, doc, frame)
}

// signInByToken begins a session with a token that was pasted.
func (c *console) signInByToken(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimSpace(r.PostForm.Get("token"))
	switch {
	case token == "":
		c.signIns.saw(r, byToken, notBelieved, "")
		c.showSignIn(w, r, http.StatusUnprocessableEntity, "Paste a token.")
		return
	case len(token) > mostTokenBytes || strings.ContainsFunc(token, func(c rune) bool { return c <= 0x20 || c >= 0x7f }):
		c.signIns.saw(r, byToken, notBelieved, "")
		c.showSignIn(w, r, http.StatusUnprocessableEntity, "This is no token: one has no spaces, and at most 16,384 characters.")
		return
	}
	claims, err := c.config.Verify(r.Context(), token)
	c.begin(w, r, attempt{byToken, claims, err, r.PostForm.Get("next"), "The cluster does not answer at the moment. Try again."})
}

const providerDown = "The provider of sign-ins does not answer as it should at the moment. Try again."

// leaveToSignIn sends a browser to the provider. It is no redirect: browsers apply form-action of the policy to where a form is redirected, and a
// provider may send people on to others that nobody knows here.
func (c *console) leaveToSignIn(w http.ResponseWriter, r *http.Request) {
	address, err := c.config.Provider.Begin(w, r, r.PostForm.Get("next"))
	if err != nil {
		c.signIns.saw(r, byProvider, notKnown, "")
		w.Header().Set("Retry-After", "5")
		c.showSignIn(w, r, http.StatusServiceUnavailable, providerDown)
		return
	}
	w.Header().Set("Refresh", "0;url="+address)
	frame := c.frame(r, "Sign in")
	frame.Person, frame.SignOut = "", false
	c.write(w, http.StatusOK, page.Leaving{Provider: c.config.Provider.Name(), Href: address}, frame)
}

// comeBack begins the session of somebody whom the provider has sent back. Whoever has begun was counted then, and each beginning is good once; others
// are counted here. To ask for its head uses nothing up.
func (c *console) comeBack(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	claims, next, err := c.config.Provider.End(w, r)
	if errors.Is(err, ErrNotBegun) {
		if wait := c.limiter.Address(c.config.Address(r)); wait > 0 {
			c.signIns.saw(r, byProvider, tooOften, "")
			signin.Refuse(w, wait)
			return
		}
		c.signIns.saw(r, byProvider, notBelieved, "")
		c.showSignInTo(w, r, http.StatusBadRequest, sentence(ErrNotBegun.Error())+" Begin again.", next)
		return
	}
	c.begin(w, r, attempt{byProvider, claims, err, next, providerDown})
}

// attempt is an attempt to sign in: as whom, or why not.
type attempt struct {
	how    string
	claims session.Claims
	err    error
	next   string // where the person goes then
	down   string // what is said if nobody could be asked
}

// begin begins a session, unless the attempt has an error.
func (c *console) begin(w http.ResponseWriter, r *http.Request, a attempt) {
	if refused, ok := errors.AsType[*SignInError](a.err); ok {
		c.signIns.saw(r, a.how, notBelieved, "")
		c.showSignInTo(w, r, http.StatusUnauthorized, refused.Text, a.next)
		return
	}
	if a.err != nil {
		c.signIns.saw(r, a.how, notKnown, "")
		w.Header().Set("Retry-After", "5")
		c.showSignInTo(w, r, http.StatusServiceUnavailable, a.down, a.next)
		return
	}
	if wait := c.limiter.Person(a.claims.Name); wait > 0 {
		c.signIns.saw(r, a.how, tooOften, a.claims.Name)
		signin.Refuse(w, wait)
		return
	}
	if err := c.sessions.SignIn(w, r, a.claims); err != nil {
		c.signIns.saw(r, a.how, notBelieved, a.claims.Name)
		c.showSignInTo(w, r, http.StatusUnprocessableEntity, sentence(err.Error()), a.next)
		return
	}
	c.signIns.saw(r, a.how, signedIn, a.claims.Name)
	leave(w, session.LocalPath(a.next))
}

// enter begins the session of a link, which is good once. To ask for its head uses nothing up.
func (c *console) enter(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	claims, ok := c.config.Entry(r.PathValue("secret"))
	if !ok {
		c.signIns.saw(r, byLink, notBelieved, "")
		c.write(w, http.StatusNotFound, page.Failure{Reason: "This address was used before, or it is wrong. Start kubectl keyward console again."},
			c.frame(r, "Not signed in"))
		return
	}
	if err := c.sessions.SignIn(w, r, claims); err != nil {
		c.signIns.saw(r, byLink, notBelieved, claims.Name)
		c.write(w, http.StatusUnprocessableEntity, page.Failure{Reason: sentence(err.Error())}, c.frame(r, "Not signed in"))
		return
	}
	c.signIns.saw(r, byLink, signedIn, claims.Name)
	leave(w, place.Groups)
}
