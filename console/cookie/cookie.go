// Package cookie says how the console names, sets and reads its cookies.
package cookie

import (
	"fmt"
	"net/http"
)

// MostBytes is how long a cookie may be with its name and attributes: what RFC 6265 (6.1) lets every browser keep.
const MostBytes = 4096

// Kind is one cookie of the console.
type Kind struct {
	// Name is without the prefix.
	Name string
	// Loopback is for a console on plain HTTP to the machine itself: browsers do not agree on whether it may set secure cookies.
	Loopback bool
}

// Full returns the name with which browsers know the cookie. With the prefix __Host-, they take it from this host alone, over TLS alone, and no
// other host of the domain can set it.
func (k Kind) Full() string {
	if k.Loopback {
		return k.Name
	}
	return "__Host-" + k.Name
}

// Check returns an error if the cookie would be longer than MostBytes with this value.
func (k Kind) Check(value string) error {
	if n := len(k.cookie(value).String()); n > MostBytes {
		return fmt.Errorf("the cookie %s would have %d bytes, and browsers keep %d", k.Full(), n, MostBytes)
	}
	return nil
}

// Set tells the browser to keep a value until it ends. Of two calls for one response, the second holds. It is the error of Check, and nothing is
// set, if the cookie is too long.
func (k Kind) Set(w http.ResponseWriter, value string) error {
	if err := k.Check(value); err != nil {
		return err
	}
	http.SetCookie(w, k.cookie(value))
	return nil
}

// Clear tells the browser to forget the cookie.
func (k Kind) Clear(w http.ResponseWriter) {
	c := k.cookie("")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

// cookie has SameSite=Lax: with Strict, who comes back from an OIDC provider or follows a link would not be signed in.
func (k Kind) cookie(value string) *http.Cookie {
	return &http.Cookie{Name: k.Full(), Value: value, Path: "/", Secure: !k.Loopback, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// Get returns the value that the browser sent. None, an empty one, a longer one than Set sets, and several are all false: which of several is
// right cannot be known.
func (k Kind) Get(r *http.Request) (string, bool) {
	sent := r.CookiesNamed(k.Full())
	if len(sent) != 1 || sent[0].Value == "" || len(sent[0].Value) > MostBytes {
		return "", false
	}
	return sent[0].Value, true
}
