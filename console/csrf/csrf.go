// Package csrf stops other sites from acting in the name of a person. A request that changes something must come from a page of the console,
// by what the browser says of it, and must have a token that is bound to the session of the person.
package csrf

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/refusal"
)

const (
	// Field is the name of the field of a form that has the token.
	Field = "csrf_token"
	// Header has the token in requests of scripts.
	Header = "X-Csrf-Token"

	// MaxForm is how many bytes the body of a request with a form may have, if nothing has read it before.
	MaxForm = 64 << 10

	size = 32
)

// Config is what a Guard needs.
type Config struct {
	// Keys sign what binds a token to a session.
	Keys *keyring.Ring
	// Session returns the session of a request, or "" before the sign-in. It must have been verified.
	Session func(*http.Request) string
	// Page says why a request is refused.
	Page refusal.Page
	// Now is the clock.
	Now func() time.Time
	// Origins are those of the console, such as https://console.example.com, where a proxy changes Host and the browser says no Sec-Fetch-Site.
	Origins []string
	// Plain is for a console on loopback without TLS: its cookies are without Secure, and so without the prefix __Host-.
	Plain bool
}

// Guard issues and checks tokens.
type Guard struct {
	config     Config
	protection *http.CrossOriginProtection
}

// New returns a guard. An error is about an origin.
func New(config Config) (*Guard, error) {
	if config.Keys == nil || config.Session == nil || config.Page == nil || config.Now == nil {
		return nil, errors.New("csrf: Keys, Session, Page and Now are required")
	}
	g := &Guard{config: config, protection: http.NewCrossOriginProtection()}
	for _, origin := range config.Origins {
		if err := g.protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return g, nil
}

type contextKey struct{}

// Token returns the token for the forms of a page. It is different each time, so that a compressed page does not reveal it by its length.
// Without Protect around the handler it is empty.
func Token(ctx context.Context) string {
	token, ok := ctx.Value(contextKey{}).([]byte)
	if !ok {
		return ""
	}
	mask := make([]byte, size, 2*size)
	_, _ = rand.Read(mask) // it never fails
	masked := make([]byte, size)
	subtle.XORBytes(masked, mask, token)
	return base64.RawURLEncoding.EncodeToString(append(mask, masked...))
}

// unmask returns the token in what Token has returned, or nil.
func unmask(text string) []byte {
	if len(text) != base64.RawURLEncoding.EncodedLen(2*size) {
		return nil
	}
	both, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(both) != 2*size {
		return nil
	}
	token := make([]byte, size)
	subtle.XORBytes(token, both[:size], both[size:])
	return token
}

// The names of the cookies.
const (
	cookieName    = "keyward-csrf"
	preCookieName = "keyward-visit"
	hostPrefix    = "__Host-"
)

func (g *Guard) name(of string) string {
	if g.config.Plain {
		return of
	}
	return hostPrefix + of
}

// Protect gives handlers a token for their forms, and refuses requests that change something unless they have it. A token that is not valid
// is replaced: the page can show the form again, as it was filled in, with a new one.
func (g *Guard) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.protection.Check(r); err != nil {
			refusal.Write(g.config.Page, w, r, refusal.Refusal{Kind: refusal.CrossSite})
			return
		}
		binding := g.binding(w, r)
		token, sent := g.fromCookie(r, binding)
		if token == nil {
			token = g.issue(w, binding)
		}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, token))
		if safe(r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		given, ok := g.given(w, r)
		if !ok {
			return
		}
		if !sent || subtle.ConstantTimeCompare(unmask(given), token) != 1 {
			stale := refusal.Refusal{Kind: refusal.FormStale, Token: Token(r.Context())}
			if fromHere(r) { // or else it may be what another site has filled in
				stale.Form = r.PostForm
				stale.Form.Del(Field)
			}
			refusal.Write(g.config.Page, w, r, stale)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// fromHere reports whether the browser says that a page of the console has sent the request. One that says nothing passes the
// check before, and needs the token.
func fromHere(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return r.Header.Get("Origin") != ""
}

// given returns the token that the request has: in a header, or in the form, which it parses. If it cannot, it responds.
func (g *Guard) given(w http.ResponseWriter, r *http.Request) (string, bool) {
	if r.PostForm == nil {
		r.Body = http.MaxBytesReader(w, r.Body, MaxForm)
	}
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			refusal.Write(g.config.Page, w, r, refusal.Refusal{Kind: refusal.TooLarge})
			return "", false
		}
		r.PostForm = nil // a form that cannot be read has no token
	}
	if given := r.Header.Get(Header); given != "" {
		return given, true
	}
	return r.PostForm.Get(Field), true
}

// binding returns what tokens are bound to: the session, or before the sign-in a random visit, whose cookie it sets.
func (g *Guard) binding(w http.ResponseWriter, r *http.Request) string {
	if session := g.config.Session(r); session != "" {
		return "session\x00" + session
	}
	if visit, ok := one(r, g.name(preCookieName)); ok && len(visit) == base64.RawURLEncoding.EncodedLen(size) {
		return "visit\x00" + visit
	}
	random := make([]byte, size)
	_, _ = rand.Read(random) // it never fails
	visit := base64.RawURLEncoding.EncodeToString(random)
	g.set(w, preCookieName, visit)
	return "visit\x00" + visit
}

// one returns the value of a cookie, unless there are two of that name.
func one(r *http.Request, name string) (string, bool) {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return "", false
	}
	return cookies[0].Value, true
}

// issue makes a token, and sets its cookie: the token, and that it was made for the session.
func (g *Guard) issue(w http.ResponseWriter, binding string) []byte {
	token := make([]byte, size)
	_, _ = rand.Read(token) // it never fails
	g.set(w, cookieName, g.config.Keys.Sign(hostPrefix+cookieName, append(token, binding...), g.config.Now()))
	return token
}

// fromCookie returns the token of the cookie, if it was made for the session.
func (g *Guard) fromCookie(r *http.Request, binding string) ([]byte, bool) {
	value, ok := one(r, g.name(cookieName))
	if !ok {
		return nil, false
	}
	data, err := g.config.Keys.Verify(hostPrefix+cookieName, value)
	if err != nil || len(data) < size || !hmac.Equal(data[size:], []byte(binding)) {
		return nil, false
	}
	return data[:size:size], true
}

func (g *Guard) set(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: g.name(name), Value: value, Path: "/", Secure: !g.config.Plain, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // with Strict, a link on another site would make the forms in other tabs stale
	})
}
