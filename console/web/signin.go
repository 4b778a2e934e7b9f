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
	open := func(h http.HandlerFunc) http.Handler { return c.sessions.Identify(c.guard.Protect(h)) }
	c.handle("GET "+session.SignInPath, open(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := person.From(r.Context()); ok {
			leave(w, session.LocalPath(r.URL.Query().Get("next")))
			return
		}
		c.showSignIn(w, r, http.StatusOK, "")
	}))
	if c.config.Verify != nil {
		limited := c.limiter.Limit(c.config.Address, http.HandlerFunc(c.signInByToken))
		c.handle("POST "+session.SignInPath+"/token", open(limited.ServeHTTP))
	}
	if c.config.Provider != nil {
		limited := c.limiter.Limit(c.config.Address, http.HandlerFunc(c.leaveToSignIn))
		c.handle("POST "+session.SignInPath+"/oidc", open(limited.ServeHTTP))
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
		c.showSignIn(w, r, http.StatusUnprocessableEntity, "Paste a token.")
		return
	case len(token) > mostTokenBytes || strings.ContainsFunc(token, func(c rune) bool { return c <= 0x20 || c >= 0x7f }):
		c.showSignIn(w, r, http.StatusUnprocessableEntity, "This is no token: one has no spaces, and at most 16,384 characters.")
		return
	}
	claims, err := c.config.Verify(r.Context(), token)
	c.begin(w, r, claims, r.PostForm.Get("next"), err, "The cluster does not answer at the moment. Try again.")
}

const providerDown = "The provider of sign-ins does not answer as it should at the moment. Try again."

// leaveToSignIn sends a browser to the provider. It is no redirect: browsers apply form-action of the policy to where a form is redirected, and a
// provider may send people on to others that nobody knows here.
func (c *console) leaveToSignIn(w http.ResponseWriter, r *http.Request) {
	address, err := c.config.Provider.Begin(w, r, r.PostForm.Get("next"))
	if err != nil {
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
			signin.Refuse(w, wait)
			return
		}
		c.showSignInTo(w, r, http.StatusBadRequest, sentence(ErrNotBegun.Error())+" Begin again.", next)
		return
	}
	c.begin(w, r, claims, next, err, providerDown)
}

// begin begins a session, unless err says why there is none.
func (c *console) begin(w http.ResponseWriter, r *http.Request, claims session.Claims, next string, err error, down string) {
	if refused, ok := errors.AsType[*SignInError](err); ok {
		c.showSignInTo(w, r, http.StatusUnauthorized, refused.Text, next)
		return
	}
	if err != nil {
		w.Header().Set("Retry-After", "5")
		c.showSignInTo(w, r, http.StatusServiceUnavailable, down, next)
		return
	}
	if wait := c.limiter.Person(claims.Name); wait > 0 {
		signin.Refuse(w, wait)
		return
	}
	if err := c.sessions.SignIn(w, r, claims); err != nil {
		c.showSignInTo(w, r, http.StatusUnprocessableEntity, sentence(err.Error()), next)
		return
	}
	leave(w, session.LocalPath(next))
}

// enter begins the session of a link, which is good once. To ask for its head uses nothing up.
func (c *console) enter(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	claims, ok := c.config.Entry(r.PathValue("secret"))
	if !ok {
		c.write(w, http.StatusNotFound, page.Failure{Reason: "This address was used before, or it is wrong. Start kubectl keyward console again."},
			c.frame(r, "Not signed in"))
		return
	}
	if err := c.sessions.SignIn(w, r, claims); err != nil {
		c.write(w, http.StatusUnprocessableEntity, page.Failure{Reason: sentence(err.Error())}, c.frame(r, "Not signed in"))
		return
	}
	leave(w, place.Groups)
}
