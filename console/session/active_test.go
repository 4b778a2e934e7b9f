package session_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/session"
)

func TestSwitch(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	b := c.jane()
	for _, to := range []string{"g1", "g2", "g1"} {
		_, _ = b.do("POST", "/?switch="+to)
		_, _ = b.do("GET", "/group?group="+to)
		if want := (session.Active{GroupID: to, Role: c.roles[to], Tier: "gold", Expires: start().Add(session.ActiveFor)}); !same(b.active, want) {
			t.Errorf("switched to %s: %v, %v", to, b.active, b.refused)
		}
	}
	w, set := b.do("POST", "/?switch=foreign")
	if w.Code != http.StatusNotFound || len(set) != 0 {
		t.Errorf("switching to a Group of others: %d, set %v", w.Code, set)
	}
	if _, _ = b.do("GET", "/group"); b.active.GroupID != "g1" {
		t.Errorf("after that: %v", b.active)
	}
}

func same(a, b session.Active) bool {
	at := a.Expires.Equal(b.Expires)
	a.Expires, b.Expires = time.Time{}, time.Time{}
	return at && a == b
}

// TestContextsThatAreNotGood has every way in which a context does not belong to the token, or is not what was signed.
func TestContextsThatAreNotGood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(b *browser)
		want   error
	}{
		"none":               {func(b *browser) { delete(b.cookies, activeName) }, session.ErrNoActive},
		"empty":              {func(b *browser) { b.cookies[activeName] = "" }, session.ErrNoActive},
		"the token":          {func(b *browser) { b.cookies[activeName] = b.cookies[tokenName] }, session.ErrNoActive},
		"of another session": {func(b *browser) { b.cookies[activeName] = other(b, "g1").cookies[activeName] }, session.ErrNoActive},
		"the other's token":  {func(b *browser) { b.cookies[tokenName] = other(b, "g1").cookies[tokenName] }, session.ErrNoActive},
		"of another console": {func(b *browser) {
			b.cookies[activeName] = other(newConsole(b.t, keyring.Random(start())).browser(), "g1").cookies[activeName]
		}, session.ErrNoActive},
		"another role":  {func(b *browser) { forge(b, `"r":"viewer"`, `"r":"owner"`) }, session.ErrNoActive},
		"another Group": {func(b *browser) { forge(b, `"g":"g2"`, `"g":"g1"`) }, session.ErrNoActive},
		"a later end":   {func(b *browser) { forge(b, `"e":17`, `"e":18`) }, session.ErrNoActive},
		"without a code": {func(b *browser) {
			b.cookies[activeName] = b.cookies[activeName][:strings.LastIndexByte(b.cookies[activeName], '.')]
		}, session.ErrNoActive},
		"an empty code": {func(b *browser) {
			b.cookies[activeName] = b.cookies[activeName][:strings.LastIndexByte(b.cookies[activeName], '.')+1]
		}, session.ErrNoActive},
		"another version":      {func(b *browser) { b.cookies[activeName] = "v2" + b.cookies[activeName][2:] }, session.ErrNoActive},
		"another secret":       {func(b *browser) { b.cookies[activeName] = strings.Replace(b.cookies[activeName], "2026", "2025", 1) }, session.ErrNoActive},
		"expired":              {func(b *browser) { b.visitUntil(session.ActiveFor) }, session.ErrNoActive},
		"of a Group once mine": {func(b *browser) { delete(b.roles, "g2"); b.visitUntil(session.ActiveFor / 2) }, session.ErrNoMember},
	} {
		for _, method := range []string{"GET", "POST"} {
			b := newConsole(t, keyring.Random(start())).jane()
			if _, _ = b.do("POST", "/?switch=g2"); b.of == nil {
				t.Fatal("not switched")
			}
			test.change(b)
			w, _ := b.do(method, "/group")
			if w.Code != http.StatusConflict || b.of != nil || !errors.Is(b.refused, test.want) {
				t.Errorf("%s, %s: %d, %v", name, method, w.Code, b.refused)
			}
		}
	}
}

// visitUntil looks at pages that need no Group until some time after the start.
func (b *browser) visitUntil(after time.Duration) {
	for end := start().Add(after); b.now.Before(end); {
		b.now = b.now.Add(5 * time.Minute)
		_, _ = b.do("GET", "/")
	}
}

// other signs somebody else in, in a Group.
func other(b *browser, group string) *browser {
	o := b.jane()
	_, _ = o.do("POST", "/?switch="+group)
	return o
}

// forge changes what is signed.
func forge(b *browser, before, after string) {
	parts := strings.Split(b.cookies[activeName], ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !strings.Contains(string(text), before) {
		b.t.Fatalf("%s is not in %s: %v", before, text, err)
	}
	parts[2] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(text), before, after, 1)))
	b.cookies[activeName] = strings.Join(parts, ".")
}

func TestTwoTabs(t *testing.T) {
	t.Parallel()
	b := newConsole(t, keyring.Random(start())).jane()
	_, _ = b.do("POST", "/?switch=g1")
	_, _ = b.do("POST", "/?switch=g2") // in another tab
	if _, _ = b.do("POST", "/group?group=g1"); b.of != nil || !errors.Is(b.refused, session.ErrOtherGroup) {
		t.Errorf("a form of the first tab: %v", b.refused)
	}
	if _, _ = b.do("POST", "/group?group=g2"); b.of == nil {
		t.Errorf("a form of the second tab: %v", b.refused)
	}
}

// TestRoleIsAskedForAgain has a person whose role changes.
func TestRoleIsAskedForAgain(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	b := c.jane()
	_, _ = b.do("POST", "/?switch=g1")
	c.roles["g1"] = "viewer"
	b.visitUntil(session.ActiveFor/2 - 5*time.Minute)
	if _, _ = b.do("GET", "/group"); b.active.Role != "admin" {
		t.Errorf("before: %v, %v", b.active, b.refused)
	}
	b.visitUntil(session.ActiveFor / 2)
	if _, _ = b.do("GET", "/group"); b.active.Role != "viewer" || !b.active.Expires.Equal(c.now.Add(session.ActiveFor)) {
		t.Errorf("after: %v, %v", b.active, b.refused)
	}
}

func TestContextEndsWithTheSession(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	b := c.browser()
	end := start().Add(10 * time.Minute)
	if err := b.signIn(session.Claims{Name: "jane", Credential: session.NewCredential(credential), Ends: end}); err != nil {
		t.Fatal(err)
	}
	_, _ = b.do("POST", "/?switch=g1")
	if _, set := b.do("GET", "/group"); !b.active.Expires.Equal(end) || len(set) != 0 {
		t.Errorf("%v, set %v", b.active, set)
	}
}

func TestNobodySwitches(t *testing.T) {
	t.Parallel()
	c := newConsole(t, keyring.Random(start()))
	w := httptest.NewRecorder()
	if _, err := c.Switch(w, c.browser().request("POST", "/"), "g1"); err == nil || len(w.Header()) != 0 {
		t.Errorf("nobody has switched: %v", err)
	}
	c.RequireActive(func(*http.Request) string { return "" }, http.NotFoundHandler()).ServeHTTP(w, c.browser().request("GET", "/"))
	if !errors.Is(c.refused, session.ErrNoActive) {
		t.Errorf("nobody has a Group: %v", c.refused)
	}
}

// FuzzCookies sends any two cookies. Only those that were issued are allowed.
func FuzzCookies(f *testing.F) {
	c := newConsole(f, keyring.Random(start()))
	b := c.jane()
	_, _ = b.do("POST", "/?switch=g1")
	token, active := b.cookies[tokenName], b.cookies[activeName]
	if _, _ = b.do("GET", "/group"); b.of == nil {
		f.Fatal("what was issued is not good")
	}
	// Secrets are random, so seeds that are kept in files could not be good: the marks stand for what was issued.
	for _, seed := range [][2]string{
		{"T", "A"}, {"T", ""}, {"", "A"}, {"A", "T"}, {"T.", "A."}, {"v1.20261127T120000Z.", "v1.20261127T120000Z.."}, {"v1...", "v1..e30."}, {`"T"`, `"A"`},
		{"v1.20261127T120000Z.AAAA", "v1.20261127T120000Z.e30.AAAA"}, {"T;x=y", "A;__Host-keyward-active=A"}, {strings.Repeat("v1.", 2000), "\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		one, two = strings.ReplaceAll(one, "T", token), strings.ReplaceAll(two, "A", active)
		r := b.request("GET", "/group")
		r.Header.Set("Cookie", tokenName+"="+one+"; "+activeName+"="+two)
		c.of, c.refused = nil, nil
		c.handler.ServeHTTP(httptest.NewRecorder(), r)
		if (c.of != nil || c.refused != nil) && !strings.Contains(one+two, token) {
			t.Errorf("somebody has signed in with %q", one)
		}
		if c.of != nil && !strings.Contains(one+two, active) {
			t.Errorf("%q is an active context", two)
		}
	})
}
