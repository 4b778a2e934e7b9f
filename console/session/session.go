// Package session knows who has signed in to the console, and in which Group a person works, by two cookies. The token is sealed: it has what the API
// server knows the person by. The active context is signed, and belongs to one token. The console keeps neither; it keeps which sessions were ended. A third
// has what the page that follows a form is to say.
package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"

	"github.com/keyward-dev/keyward/console/cookie"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/person"
)

const (
	// Idle is after how long without a request a session ends. It is counted from when the token was issued, at most reissueAfter before the last
	// request: so a session ends 25 to 30 minutes after that.
	Idle = 30 * time.Minute
	// Most is how long a session may last.
	Most = 8 * time.Hour

	// reissueAfter is how old a token is when the next page issues it again. Most responses set no cookie.
	reissueAfter = 5 * time.Minute
	// skew is how far the clocks of two replicas may differ.
	skew = time.Minute
)

// SignInPath is where who has not signed in is sent, with the path to return to as `next`.
const SignInPath = "/sign-in"

// ErrTooLarge is returned by SignIn, wrapped, for claims that fit in no cookie.
var ErrTooLarge = errors.New("what the sign-in says of you is longer than a browser keeps")

// Config is what Sessions needs. All fields but Loopback are required.
type Config struct {
	Ring        *keyring.Ring
	Now         func() time.Time
	Revocations Revocations
	// Reach returns how to reach the API server as the person.
	Reach func(Claims) (*rest.Config, error)
	// Member returns role and tier of a Group that the person may work in, and ErrNoMember if it is none of these.
	Member func(ctx context.Context, of *person.Person, groupID string) (role, tier string, err error)
	// Ended answers a form that was sent without a session. What was typed is in r.PostForm, where csrf.Protect has read it.
	Ended http.HandlerFunc
	// Refused answers a request whose active context is not good, by one of the errors of this package or one of Member.
	Refused func(w http.ResponseWriter, r *http.Request, err error)
	// Loopback is for a console on plain HTTP to the machine itself.
	Loopback bool
}

// Sessions is safe for concurrent use.
type Sessions struct {
	config                Config
	token, active, notice cookie.Kind
}

// New returns an error if something required is missing.
func New(config Config) (*Sessions, error) {
	if config.Ring == nil || config.Now == nil || config.Revocations == nil || config.Reach == nil || config.Member == nil || config.Ended == nil ||
		config.Refused == nil {
		return nil, errors.New("session: Ring, Now, Revocations, Reach, Member, Ended and Refused are required")
	}
	return &Sessions{
		config: config,
		token:  cookie.Kind{Name: "keyward-token", Loopback: config.Loopback},
		active: cookie.Kind{Name: "keyward-active", Loopback: config.Loopback},
		notice: cookie.Kind{Name: "keyward-notice", Loopback: config.Loopback},
	}, nil
}

// SignIn begins a session of a person, and ends the one that the request has. Its error can be shown to the person; then nothing was set.
func (s *Sessions) SignIn(w http.ResponseWriter, r *http.Request, c Claims) error {
	if c.Name == "" {
		return errors.New("the sign-in has no name")
	}
	now := s.config.Now()
	c.session, c.since, c.seen = rand.Text(), now, now
	if !now.Before(c.until()) {
		return errors.New("the credential has expired")
	}
	if _, err := s.config.Reach(c); err != nil {
		return fmt.Errorf("the cluster cannot be reached with this sign-in: %w", err)
	}
	value, err := s.fit(c)
	if err != nil {
		return err
	}
	if err := s.end(r); err != nil {
		return err
	}
	s.active.Clear(w)
	return s.token.Set(w, value)
}

// fit returns the value of the cookie of the token, or an error if that is longer than a browser keeps.
func (s *Sessions) fit(c Claims) (string, error) {
	value, err := s.seal(c)
	if err != nil {
		return "", err
	}
	if err := s.token.Check(value); err != nil {
		return "", fmt.Errorf("%w (%d groups, a credential of %d bytes): %w", ErrTooLarge, len(c.Groups), len(c.Credential.Reveal()), err)
	}
	return value, nil
}

// until is when the session ends, however often it is used.
func (c Claims) until() time.Time {
	end := c.since.Add(Most)
	if !c.Ends.IsZero() && c.Ends.Before(end) {
		return c.Ends
	}
	return end
}

// isCurrent reports whether a token that opened is good at this time.
func (c Claims) isCurrent(now time.Time) bool {
	if c.since.After(now.Add(skew)) || c.seen.After(now.Add(skew)) {
		return false
	}
	return now.Before(c.until()) && now.Before(c.seen.Add(Idle))
}

// current returns the claims of the request's token, if it is good but for revocations.
func (s *Sessions) current(r *http.Request) (c Claims, newest, ok bool) {
	value, ok := s.token.Get(r)
	if !ok {
		return c, false, false
	}
	c, newest, ok = s.open(value)
	return c, newest, ok && c.isCurrent(s.config.Now())
}

// Identify lets next know the person, by person.From, if the request has a good token. It refuses nobody.
func (s *Sessions) Identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, newest, ok := s.current(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		revoked, err := s.config.Revocations.Revoked(r.Context(), c.Name, c.session, c.since)
		if err != nil {
			w.Header().Set("Retry-After", "5")
			http.Error(w, "which sessions were ended cannot be read", http.StatusServiceUnavailable)
			return
		}
		config, err := s.config.Reach(c)
		if revoked || err != nil {
			next.ServeHTTP(w, r)
			return
		}
		now := s.config.Now()
		if IsPage(r) && (!newest || now.Sub(c.seen) >= reissueAfter) {
			c.seen = now
			if value, err := s.fit(c); err == nil { // as it did before; if not, the older token still holds
				_ = s.token.Set(w, value)
			}
		}
		of := person.New(c.Name, c.Groups, config)
		of.Session, of.Until = c.session, c.until()
		next.ServeHTTP(w, r.WithContext(person.With(r.Context(), of)))
	})
}

// Require lets next answer requests of people who have signed in. It is served below Identify. Others are sent to sign in and back; what is no
// page is refused with 401, and a form is answered by Ended.
func (s *Sessions) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := person.From(r.Context()); ok {
			next.ServeHTTP(w, r)
			return
		}
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			s.config.Ended(w, r)
		case !IsPage(r):
			http.Error(w, "sign in first", http.StatusUnauthorized)
		default:
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Location", SignInPath+"?"+url.Values{"next": {LocalPath(r.URL.RequestURI())}}.Encode())
			w.WriteHeader(http.StatusSeeOther)
		}
	})
}

// IsPage reports whether a person asked for it, and not a script of a page: what a page asks for while nobody looks keeps no session alive.
func IsPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// SignOut ends the session that the request has, and has the browser forget it. After an error, the browser has forgotten it.
func (s *Sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	s.forget(w)
	return s.end(r)
}

// SignOutEverywhere ends every session of the person who sent the request, also those in other browsers.
func (s *Sessions) SignOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	of, ok := person.From(r.Context())
	if !ok {
		return errors.New("nobody has signed in")
	}
	s.forget(w)
	return s.config.Revocations.EndPerson(r.Context(), of.Name, s.config.Now())
}

func (s *Sessions) forget(w http.ResponseWriter) {
	s.token.Clear(w)
	s.active.Clear(w)
	s.notice.Clear(w)
}

// end ends the session that the request has, if any.
func (s *Sessions) end(r *http.Request) error {
	c, _, ok := s.current(r)
	if !ok {
		return nil
	}
	return s.config.Revocations.EndSession(r.Context(), c.session, c.since.Add(Most))
}
