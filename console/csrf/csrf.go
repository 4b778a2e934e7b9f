// Package csrf keeps other sites from doing something as a person who uses the console. Two independent checks have to be passed: what the browser
// says of the page that sent a form, and a token in the form that only pages of the console can have.
package csrf

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/keyward-dev/keyward/console/cookie"
	"github.com/keyward-dev/keyward/console/keyring"
)

// Field is the name of the field with the token.
const Field = "csrf"

// MostFormBytes is how long the body of a form may be. The longest form of the console, a list of allowed domains, is well below it.
const MostFormBytes = 64 << 10

const (
	cookieName = "keyward-csrf"
	purpose    = "keyward.dev/console/csrf/v1"
)

// Config is what a Guard needs. All fields but Secrets and Loopback are required.
type Config struct {
	Ring *keyring.Ring
	Now  func() time.Time
	// Origins are those that the console is reached at, such as https://console.example. Browsers that do not say what sent a form have to send one
	// of them.
	Origins []string
	// Session returns what identifies the sign-in, or "" before sign-in. A token is good for one of them.
	Session func(*http.Request) string
	// Stale answers a form of which the token is not good: because the person has signed in since, or the session is over, or keys were rotated. It
	// shows the form again, with a new Token, and with what was typed. Kept is without the token and without Secrets.
	Stale func(w http.ResponseWriter, r *http.Request, kept url.Values)
	// Secrets are the names of fields that are not given to Stale.
	Secrets []string
	// Loopback is for a console on plain HTTP to the machine itself.
	Loopback bool
}

// Guard is safe for concurrent use.
type Guard struct {
	config Config
	cookie cookie.Kind
}

// New returns an error if something required is missing.
func New(config Config) (*Guard, error) {
	if config.Ring == nil || config.Now == nil || len(config.Origins) == 0 || config.Session == nil || config.Stale == nil {
		return nil, errors.New("csrf: Ring, Now, Origins, Session and Stale are required")
	}
	return &Guard{config: config, cookie: cookie.Kind{Name: cookieName, Loopback: config.Loopback}}, nil
}

// Protect lets next answer what no other site has sent. Handlers have the fields of a form in r.PostForm.
//
// Of the methods that change something, only POST is served, and only with a body that a form without files has: pages need no other.
func (g *Guard) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := checkSite(r, g.config.Origins); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		nonce, known := g.nonce(r)
		if !known {
			_, _ = rand.Read(nonce[:]) // never fails
			if err := g.cookie.Set(w, base64.RawURLEncoding.EncodeToString(nonce[:])); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		bound := append(nonce[:], g.config.Session(r)...) // the nonce has one length, so that no two pairs are equal
		r = r.WithContext(context.WithValue(r.Context(), key{}, func() string { return g.mint(bound) }))
		if isSafe(r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		if !readForm(w, r) {
			return
		}
		if !known || !g.good(bound, r.PostForm[Field]) {
			g.config.Stale(w, r, g.kept(r.PostForm))
			return
		}
		next.ServeHTTP(w, r)
	})
}

type key struct{}

// Token returns a token for the forms of the page that answers the request of this context. Each call returns another text, so that compressed pages
// do not give it away. It is "" if the request is not protected.
func Token(ctx context.Context) string {
	if mint, ok := ctx.Value(key{}).(func() string); ok {
		return mint()
	}
	return ""
}

const nonceBytes = 32

func (g *Guard) nonce(r *http.Request) (nonce [nonceBytes]byte, known bool) {
	text, ok := g.cookie.Get(r)
	if !ok {
		return nonce, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != nonceBytes {
		return nonce, false
	}
	return [nonceBytes]byte(raw), true
}

// mint returns random bytes, and the code of what the token is bound to with these added.
func (g *Guard) mint(bound []byte) string {
	_, secret := g.config.Ring.Newest(g.config.Now(), purpose)
	token := make([]byte, 2*sha256.Size)
	pad := token[:sha256.Size]
	_, _ = rand.Read(pad) // never fails
	subtle.XORBytes(token[sha256.Size:], pad, code(secret, bound))
	return base64.RawURLEncoding.EncodeToString(token)
}

// good reports whether a form has one token, and it is bound to what the request has.
func (g *Guard) good(bound []byte, tokens []string) bool {
	if len(tokens) != 1 {
		return false
	}
	token, err := base64.RawURLEncoding.Strict().DecodeString(tokens[0])
	if err != nil || len(token) != 2*sha256.Size {
		return false
	}
	got := make([]byte, sha256.Size)
	subtle.XORBytes(got, token[:sha256.Size], token[sha256.Size:])
	for _, secret := range g.config.Ring.All(purpose) {
		if hmac.Equal(got, code(secret, bound)) {
			return true
		}
	}
	return false
}

func code(secret, bound []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(bound)
	return mac.Sum(nil)
}

// readForm reads the fields of a form into r.PostForm, or answers why it does not.
func readForm(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return false
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		http.Error(w, "the body is no form", http.StatusUnsupportedMediaType)
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, MostFormBytes)
	err := r.ParseForm()
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		http.Error(w, "the form has more than 64 KiB", http.StatusRequestEntityTooLarge)
		return false
	}
	if err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return false
	}
	return true
}

func (g *Guard) kept(form url.Values) url.Values {
	kept := make(url.Values, len(form))
	for name, values := range form {
		kept[name] = values
	}
	delete(kept, Field)
	for _, name := range g.config.Secrets {
		delete(kept, name)
	}
	return kept
}
