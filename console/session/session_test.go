package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/person"
	"github.com/keyward-dev/keyward/console/session"
)

const (
	tokenName  = "__Host-keyward-token"
	activeName = "__Host-keyward-active"
	credential = "the-id-token"
)

func start() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) }

// console is a Sessions with all around it, and what it was last asked.
type console struct {
	*session.Sessions
	t       testing.TB
	now     time.Time
	ring    *keyring.Ring
	revoked session.Revocations
	roles   map[string]string // by Group; others are none of anybody's

	handler http.Handler
	of      *person.Person // who was allowed, or nil
	active  session.Active
	refused error
	ended   bool
}

func newConsole(t testing.TB, ring *keyring.Ring) *console {
	t.Helper()
	return newConsoleOn(t, ring, false)
}

func newConsoleOn(t testing.TB, ring *keyring.Ring, loopback bool) *console {
	t.Helper()
	c := &console{t: t, now: start(), ring: ring, roles: map[string]string{"g1": "admin", "g2": "viewer"}}
	c.revoked = session.NewMemory(c.clock, start().Add(-time.Hour))
	var err error
	c.Sessions, err = session.New(session.Config{
		Ring: ring, Now: c.clock, Revocations: c, Loopback: loopback,
		Reach: func(of session.Claims) (*rest.Config, error) {
			if of.Credential.Reveal() == "" {
				return nil, errors.New("there is no credential")
			}
			return &rest.Config{Host: "https://kubernetes.example", BearerToken: of.Credential.Reveal()}, nil
		},
		Member: func(_ context.Context, of *person.Person, groupID string) (string, string, error) {
			role, ok := c.roles[groupID]
			if !ok || of.Name == "" {
				return "", "", session.ErrNoMember
			}
			return role, "gold", nil
		},
		Ended: func(w http.ResponseWriter, _ *http.Request) { c.ended = true; w.WriteHeader(http.StatusUnauthorized) },
		Refused: func(w http.ResponseWriter, _ *http.Request, err error) {
			c.refused = err
			w.WriteHeader(http.StatusConflict)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	last := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.of, _ = person.From(r.Context())
		c.active, _ = session.ActiveFrom(r.Context())
		if r.URL.Path == "/out-everywhere" {
			if err := c.SignOutEverywhere(w, r); err != nil {
				t.Error(err)
			}
		}
		if to := r.URL.Query().Get("switch"); to != "" {
			if _, err := c.Switch(w, r, to); err != nil {
				w.WriteHeader(http.StatusNotFound)
			}
		}
	})
	groupOf := func(r *http.Request) string { return r.URL.Query().Get("group") }
	mux := http.NewServeMux()
	mux.Handle("/", last)
	mux.Handle("/group", c.RequireActive(groupOf, last))
	c.handler = c.Identify(c.Require(mux))
	return c
}

func (c *console) clock() time.Time { return c.now }

// Revoked, EndSession and EndPerson pass on to revoked, which tests replace.
func (c *console) Revoked(ctx context.Context, name, id string, since time.Time) (bool, error) {
	return c.revoked.Revoked(ctx, name, id, since)
}

func (c *console) EndSession(ctx context.Context, id string, until time.Time) error {
	return c.revoked.EndSession(ctx, id, until)
}

func (c *console) EndPerson(ctx context.Context, name string, before time.Time) error {
	return c.revoked.EndPerson(ctx, name, before)
}

// browser keeps the cookies of one person.
type browser struct {
	*console
	cookies map[string]string
	headers map[string]string
}

func (c *console) browser() *browser { return &browser{c, map[string]string{}, nil} }

func (b *browser) request(method, target string) *http.Request {
	r := httptest.NewRequest(method, "https://console.example"+target, nil)
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func (b *browser) keep(w *httptest.ResponseRecorder) (set []string) {
	for _, c := range w.Result().Cookies() {
		set = append(set, c.Name)
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return set
}

func (b *browser) signIn(claims session.Claims) error {
	w := httptest.NewRecorder()
	err := b.SignIn(w, b.request("POST", "/sign-in/token"), claims)
	b.keep(w)
	return err
}

// jane signs in.
func (c *console) jane() *browser {
	c.t.Helper()
	b := c.browser()
	if err := b.signIn(session.Claims{Name: "jane", Groups: []string{"acme"}, Credential: session.NewCredential(credential)}); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// do returns the answer, and which cookies it set.
func (b *browser) do(method, target string) (w *httptest.ResponseRecorder, set []string) {
	b.of, b.active, b.refused, b.ended = nil, session.Active{}, nil, false
	w = httptest.NewRecorder()
	b.handler.ServeHTTP(w, b.request(method, target))
	return w, b.keep(w)
}

// isIn reports whether a request is that of somebody who has signed in.
func (b *browser) isIn() bool {
	_, _ = b.do("GET", "/")
	return b.of != nil
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := newConsole(t, keyring.Random(start())).jane()
	if !b.isIn() || b.of.Name != "jane" || !slices.Equal(b.of.Groups, []string{"acme"}) || b.of.Config().BearerToken != credential {
		t.Fatalf("who has signed in: %v", b.of)
	}
	if b.of.Session == "" || !b.of.Until.Equal(start().Add(session.Most)) {
		t.Errorf("session %q until %s", b.of.Session, b.of.Until)
	}
	if value := b.cookies[tokenName]; strings.Contains(value, "jane") || strings.Contains(value, credential) {
		t.Error("the cookie shows what it has")
	}
	before := b.of.Session
	old := *b
	old.cookies = map[string]string{tokenName: b.cookies[tokenName]}
	if err := b.signIn(session.Claims{Name: "jim", Credential: session.NewCredential("other")}); err != nil {
		t.Fatal(err)
	}
	if !b.isIn() || b.of.Name != "jim" || b.of.Session == before {
		t.Errorf("after another sign-in: %v", b.of)
	}
	if old.isIn() {
		t.Error("a sign-in leaves the session before it")
	}
}

func TestWhoCannotSignIn(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	good := session.NewCredential(credential)
	many := make([]string, 400)
	for i := range many {
		many[i] = fmt.Sprintf("group-%d", i)
	}
	for name, claims := range map[string]session.Claims{
		"no name":         {Credential: good},
		"no credential":   {Name: "jane"},
		"ended":           {Name: "jane", Credential: good, Ends: start()},
		"long credential": {Name: "jane", Credential: session.NewCredential(strings.Repeat("x", 3100))},
		"many groups":     {Name: "jane", Credential: good, Groups: many},
	} {
		b := c.jane()
		before := b.cookies[tokenName]
		err := b.signIn(claims)
		if err == nil {
			t.Errorf("%s: signed in", name)
			continue
		}
		if large := strings.HasPrefix(name, "long") || strings.HasPrefix(name, "many"); errors.Is(err, session.ErrTooLarge) != large {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), credential) || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: the error has the credential", name)
		}
		if b.cookies[tokenName] != before || !b.isIn() {
			t.Errorf("%s: the session before is changed", name)
		}
	}
	b := c.browser()
	if err := b.signIn(session.Claims{Name: "jane", Credential: session.NewCredential(strings.Repeat("x", 2700))}); err != nil || !b.isIn() {
		t.Errorf("a credential of 2,700 bytes: %v", err)
	}
}

func TestHowLongASessionLasts(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for name, test := range map[string]struct {
		ends     time.Duration
		requests []time.Duration
		want     []bool
		reissued []bool
	}{
		"idle":       {0, []time.Duration{30*minute - 1}, []bool{true}, []bool{true}},
		"idle, over": {0, []time.Duration{30 * minute}, []bool{false}, []bool{false}},
		"sparingly": {
			0, []time.Duration{minute, 4 * minute, 5 * minute, 9 * minute, 10 * minute, 39 * minute, 69 * minute},
			[]bool{true, true, true, true, true, true, false}, []bool{false, false, true, false, true, true, false},
		},
		"credential ends": {20 * minute, []time.Duration{19 * minute, 20 * minute}, []bool{true, false}, []bool{true, false}},
		"turned back":     {0, []time.Duration{-minute, -2 * minute}, []bool{true, false}, []bool{false, false}},
	} {
		c := newConsole(t, keyring.Random(start()))
		b := c.browser()
		claims := session.Claims{Name: "jane", Credential: session.NewCredential(credential)}
		if test.ends != 0 {
			claims.Ends = start().Add(test.ends)
		}
		if err := b.signIn(claims); err != nil {
			t.Fatal(err)
		}
		for i, after := range test.requests {
			c.now = start().Add(after)
			_, set := b.do("GET", "/")
			if in := b.of != nil; in != test.want[i] || (len(set) == 1) != test.reissued[i] {
				t.Errorf("%s: after %s, signed in: %v, set %v", name, after, in, set)
			}
		}
	}
}

func TestEightHoursAtMost(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	b := c.jane()
	for ; c.now.Before(start().Add(session.Most)); c.now = c.now.Add(20 * time.Minute) {
		if !b.isIn() {
			t.Fatalf("out after %s", c.now.Sub(start()))
		}
	}
	if b.isIn() {
		t.Error("in after 8 hours")
	}
}

// TestLiveStateKeepsNoSessionAlive has the requests of a script in a page that nobody looks at.
func TestLiveStateKeepsNoSessionAlive(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	b := c.jane()
	b.headers = map[string]string{"Sec-Fetch-Mode": "cors"}
	for range 5 {
		c.now = c.now.Add(6 * time.Minute)
		if w, set := b.do("GET", "/"); len(set) != 0 {
			t.Fatalf("%d, set %v", w.Code, set)
		}
	}
	w, _ := b.do("GET", "/")
	if w.Code != http.StatusUnauthorized || b.of != nil {
		t.Errorf("after half an hour: %d", w.Code)
	}
}

func TestSentToSignInAndBack(t *testing.T) {
	t.Parallel()
	b := newConsole(t, keyring.Random(start())).browser()
	for _, method := range []string{"GET", "HEAD"} {
		w, _ := b.do(method, "/groups/a%20b?page=2&x=%26")
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/sign-in?next=%2Fgroups%2Fa%2520b%3Fpage%3D2%26x%3D%2526" {
			t.Errorf("%s: %d, %q", method, w.Code, to)
		}
	}
	if w, _ := b.do("POST", "/keys"); w.Code != http.StatusUnauthorized || !b.ended {
		t.Errorf("a form: %d", w.Code)
	}
	if b.of != nil {
		t.Error("somebody has signed in")
	}
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	one, two := c.jane(), c.jane()
	stolen := *one
	stolen.cookies = map[string]string{tokenName: one.cookies[tokenName]}
	w := httptest.NewRecorder()
	if err := c.SignOut(w, one.request("POST", "/sign-out")); err != nil {
		t.Fatal(err)
	}
	if one.keep(w); len(one.cookies) != 0 {
		t.Errorf("the browser still has %v", one.cookies)
	}
	if one.isIn() || stolen.isIn() {
		t.Error("signed out, and in")
	}
	if !two.isIn() {
		t.Error("another session has ended too")
	}
	w = httptest.NewRecorder()
	if err := c.SignOut(w, c.browser().request("POST", "/sign-out")); err != nil {
		t.Errorf("signing out without a session: %v", err)
	}
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	one, two, jim := c.jane(), c.jane(), c.browser()
	if err := jim.signIn(session.Claims{Name: "jim", Credential: session.NewCredential("x")}); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Minute)
	if _, set := one.do("POST", "/out-everywhere"); !slices.Equal(set, []string{tokenName, activeName, "__Host-keyward-notice"}) {
		t.Errorf("set %v", set)
	}
	if one.isIn() || two.isIn() || !jim.isIn() {
		t.Errorf("signed out everywhere; in: %v, %v; somebody else: %v", one.isIn(), two.isIn(), jim.isIn())
	}
	c.now = c.now.Add(time.Minute)
	if !c.jane().isIn() {
		t.Error("nobody can sign in again")
	}
}

func TestRevocationsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	b := c.jane()
	c.revoked = unreadable{}
	if w, _ := b.do("GET", "/"); w.Code != http.StatusServiceUnavailable || b.of != nil {
		t.Errorf("%d", w.Code)
	}
	w := httptest.NewRecorder()
	if err := c.SignOut(w, b.request("POST", "/sign-out")); err == nil {
		t.Error("a session that was not ended is no error")
	}
	if b.keep(w); len(b.cookies) != 0 {
		t.Error("the browser still has the session")
	}
}

type unreadable struct{ session.Revocations }

func (unreadable) Revoked(context.Context, string, string, time.Time) (bool, error) {
	return false, errors.New("cannot be read")
}

func (unreadable) EndSession(context.Context, string, time.Time) error {
	return errors.New("cannot be written")
}

func TestRotation(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(at time.Time, text string) {
		if err := os.WriteFile(filepath.Join(folder, at.Format(keyring.Layout)), []byte(strings.Repeat(text, keyring.Bytes)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(start(), "1")
	ring, err := keyring.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole(t, ring)
	b, absent := c.jane(), c.jane()
	_, _ = b.do("POST", "/?switch=g1")
	write(start().Add(time.Minute), "2")
	c.now = start().Add(2 * time.Minute)
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, set := b.do("GET", "/group"); !slices.Equal(set, []string{tokenName, activeName}) || b.of == nil {
		t.Errorf("with a newer secret, set: %v, %v", set, b.of)
	}
	if _, set := b.do("GET", "/group"); len(set) != 0 || b.of == nil {
		t.Errorf("again, set: %v, %v", set, b.of)
	}
	if err := os.Remove(filepath.Join(folder, start().Format(keyring.Layout))); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if !b.isIn() || absent.isIn() {
		t.Error("the secret that is gone is known, or the newer one is not")
	}
}

// TestACookieIsGoodUnderItsNameOnly has two consoles with the same secrets, whose cookies have other names.
func TestACookieIsGoodUnderItsNameOnly(t *testing.T) {
	t.Parallel()
	ring := keyring.Random(start())
	local, b := newConsoleOn(t, ring, true).jane(), newConsole(t, ring).jane()
	_, _ = local.do("POST", "/?switch=g1")
	if _, _ = local.do("GET", "/group"); local.of == nil {
		t.Fatalf("the loopback console does not know its own cookies: %v", local.refused)
	}
	b.cookies = map[string]string{tokenName: local.cookies["keyward-token"], activeName: local.cookies["keyward-active"]}
	if b.isIn() {
		t.Error("a token is good under another name")
	}
}

// TestNoOtherCookieIsGood changes one character of the cookies that were issued.
func TestNoOtherCookieIsGood(t *testing.T) {
	t.Parallel()
	b := newConsole(t, keyring.Random(start())).jane()
	_, _ = b.do("POST", "/?switch=g1")
	issued := map[string]string{tokenName: b.cookies[tokenName], activeName: b.cookies[activeName]}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{tokenName, activeName}).Draw(t, "name")
		at := rapid.IntRange(0, len(issued[name])-1).Draw(t, "at")
		to := letters[rapid.IntRange(0, len(letters)-1).Draw(t, "to")]
		changed := []byte(issued[name])
		same := changed[at] == to
		changed[at] = to
		b.cookies = map[string]string{tokenName: issued[tokenName], activeName: issued[activeName]}
		b.cookies[name] = string(changed)
		if _, _ = b.do("GET", "/group"); (b.of != nil) != same {
			t.Fatalf("%s with another character at %d: allowed: %v", name, at, b.of != nil)
		}
	})
}

func TestNoCredentialIsPrinted(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	claims := session.Claims{Name: "jane", Credential: session.NewCredential(credential)}
	_ = c.jane().isIn()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, value := range []any{claims, &claims, claims.Credential, c.Sessions, *c.Sessions, c.of} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, credential) {
				t.Errorf("%s of %T shows a credential: %s", verb, value, got)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := session.New(session.Config{}); err == nil {
		t.Error("an empty Config is no error")
	}
}
