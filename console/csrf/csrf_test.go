package csrf_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/keyring"
)

const (
	own    = "https://console.example"
	site   = "Sec-Fetch-Site"
	cookie = "__Host-keyward-csrf"
)

// browser keeps the cookie of one person, and who has signed in.
type browser struct {
	t       *testing.T
	server  http.Handler
	cookie  string
	session string
	headers map[string]string
	kept    url.Values // of the last form that was stale
	reached bool       // whether the last request was passed on
}

func newBrowser(t *testing.T, ring *keyring.Ring, clock func() time.Time) *browser {
	t.Helper()
	b := &browser{t: t, headers: map[string]string{site: "same-origin"}}
	guard, err := csrf.New(csrf.Config{
		Ring: ring, Now: clock, Origins: []string{own}, Secrets: []string{"bearer"},
		Session: func(*http.Request) string { return b.session },
		Stale: func(w http.ResponseWriter, r *http.Request, kept url.Values) {
			b.kept = kept
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, csrf.Token(r.Context()))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server = guard.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.reached = true
		fmt.Fprint(w, csrf.Token(r.Context()))
	}))
	return b
}

func (b *browser) do(method, body string) *httptest.ResponseRecorder {
	b.t.Helper()
	b.reached, b.kept = false, nil
	r := httptest.NewRequest(method, own+"/", strings.NewReader(body))
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	if method == http.MethodPost && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookie, Value: b.cookie})
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	for _, set := range w.Result().Cookies() {
		b.cookie = set.Value
	}
	return w
}

func (b *browser) page() string { return b.do(http.MethodGet, "").Body.String() }

func (b *browser) post(token string) *httptest.ResponseRecorder {
	return b.do(http.MethodPost, url.Values{csrf.Field: {token}, "name": {"shop"}, "bearer": {"secret"}}.Encode())
}

func noon() time.Time { return time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC) }

func TestAFormOfAPageIsAccepted(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, keyring.Random(noon()), noon)
	for _, session := range []string{"", "s1"} {
		b.session = session
		one, two := b.page(), b.page()
		if one == two || one == "" {
			t.Errorf("the tokens of two pages: %q, %q", one, two)
		}
		for _, token := range []string{one, two, one} {
			if w := b.post(token); w.Code != http.StatusOK || !b.reached {
				t.Errorf("session %q: a good form: %d %s", session, w.Code, w.Body)
			}
		}
	}
}

// TestAStaleTokenIsReplaced has everything that makes a token stale. Each time, the answer has another that is good, and what was typed.
func TestAStaleTokenIsReplaced(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *browser, token string) string{
		"signed in since":          func(b *browser, token string) string { b.session = "s2"; return token },
		"session over":             func(b *browser, token string) string { b.session = ""; return token },
		"cookie lost":              func(b *browser, token string) string { b.cookie = ""; return token },
		"cookie of another":        func(b *browser, token string) string { b.cookie = ""; b.page(); return token },
		"cookie without a meaning": func(b *browser, token string) string { b.cookie = "x"; return token },
		"no token":                 func(*browser, string) string { return "" },
		"no base64":                func(_ *browser, token string) string { return token[1:] + "!" },
		"cut":                      func(_ *browser, token string) string { return token[:43] },
		"zeros":                    func(*browser, string) string { return base64.RawURLEncoding.EncodeToString(make([]byte, 64)) },
		"the cookie itself":        func(b *browser, _ string) string { return b.cookie },
	} {
		b := newBrowser(t, keyring.Random(noon()), noon)
		b.session = "s1"
		token := change(b, b.page())
		w := b.post(token)
		if b.reached || w.Code != http.StatusForbidden {
			t.Fatalf("%s: accepted", name)
		}
		if want := (url.Values{"name": {"shop"}}); !maps.EqualFunc(b.kept, want, func(x, y []string) bool { return fmt.Sprint(x) == fmt.Sprint(y) }) {
			t.Errorf("%s: kept %v, want %v", name, b.kept, want)
		}
		if w := b.post(w.Body.String()); w.Code != http.StatusOK {
			t.Errorf("%s: the new token is not good either: %d", name, w.Code)
		}
	}
}

func TestSeveralTokensAreNone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, keyring.Random(noon()), noon)
	token := b.page()
	if b.do(http.MethodPost, url.Values{csrf.Field: {token, token}}.Encode()); b.reached {
		t.Error("two tokens are accepted")
	}
	r := httptest.NewRequest(http.MethodPost, own+"/?"+url.Values{csrf.Field: {token}}.Encode(), strings.NewReader(""))
	r.Header.Set(site, "same-origin")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: cookie, Value: b.cookie})
	if b.server.ServeHTTP(httptest.NewRecorder(), r); b.reached {
		t.Error("a token in the URL is accepted")
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	folder, now := t.TempDir(), noon()
	write := func(at time.Time, text string) {
		if err := os.WriteFile(filepath.Join(folder, at.Format(keyring.Layout)), []byte(strings.Repeat(text, keyring.Bytes)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(now, "1")
	ring, err := keyring.Read(folder)
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, ring, func() time.Time { return now })
	token := b.page()
	write(now.Add(time.Minute), "2")
	now = now.Add(time.Hour)
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if b.post(token); !b.reached {
		t.Error("a token of the older secret is refused")
	}
	if err := os.Remove(filepath.Join(folder, noon().Format(keyring.Layout))); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if b.post(token); b.reached {
		t.Error("a token of a secret that is gone is accepted")
	}
}

func TestOtherSites(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, keyring.Random(noon()), noon)
	token := b.page()
	const mode, dest = "Sec-Fetch-Mode", "Sec-Fetch-Dest"
	for _, test := range []struct {
		method  string
		headers map[string]string
		want    int
	}{
		{"POST", map[string]string{site: "same-origin"}, 200},
		{"POST", map[string]string{site: "none"}, 200},
		{"POST", map[string]string{site: "same-site"}, 403},
		{"POST", map[string]string{site: "cross-site"}, 403},
		{"POST", map[string]string{site: ""}, 403},
		{"POST", map[string]string{site: "Same-Origin"}, 403},
		{"POST", map[string]string{site: "cross-site", "Origin": own}, 403},
		{"POST", map[string]string{"Origin": own}, 200},
		{"POST", map[string]string{"Origin": "null"}, 403},
		{"POST", map[string]string{"Origin": "http://console.example"}, 403},
		{"POST", map[string]string{"Origin": own + ":8443"}, 403},
		{"POST", map[string]string{"Origin": own + ".evil.example"}, 403},
		{"POST", map[string]string{"Referer": own + "/"}, 403},
		{"POST", nil, 403},
		{"DELETE", map[string]string{site: "same-origin"}, 405},
		{"PUT", map[string]string{site: "cross-site"}, 403},
		{"BREW", map[string]string{}, 403},
		{"GET", nil, 200},
		{"GET", map[string]string{site: "same-origin", mode: "cors", dest: "empty"}, 200},
		{"GET", map[string]string{site: "none", mode: "navigate", dest: "document"}, 200},
		{"GET", map[string]string{site: "cross-site", mode: "navigate", dest: "document"}, 200},
		{"GET", map[string]string{site: "cross-site", mode: "navigate", dest: "iframe"}, 403},
		{"GET", map[string]string{site: "cross-site", mode: "no-cors", dest: "image"}, 403},
		{"GET", map[string]string{site: "same-site", mode: "cors", dest: "empty"}, 403},
	} {
		b.headers = test.headers
		w := b.do(test.method, url.Values{csrf.Field: {token}}.Encode())
		if w.Code != test.want || b.reached != (test.want == 200) {
			t.Errorf("%s with %v: %d, want %d", test.method, test.headers, w.Code, test.want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header[site] = []string{"same-origin", "cross-site"}
	w := httptest.NewRecorder()
	if b.server.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("two values: %d", w.Code)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, keyring.Random(noon()), noon)
	fields := url.Values{csrf.Field: {b.page()}, "text": {""}}.Encode()
	fits := fields + strings.Repeat("x", csrf.MostFormBytes-len(fields))
	for _, test := range []struct {
		kind, body string
		want       int
	}{
		{"", fits, 200},
		{"", fits + "x", 413},
		{"application/x-www-form-urlencoded; charset=utf-8", fields, 200},
		{"multipart/form-data; boundary=x", fields, 415},
		{"text/plain", fields, 415},
		{"application/json", "{}", 415},
		{"", fields + "&%zz", 400},
	} {
		b.headers = map[string]string{site: "same-origin"}
		if test.kind != "" {
			b.headers["Content-Type"] = test.kind
		}
		if w := b.do(http.MethodPost, test.body); w.Code != test.want || b.reached != (test.want == 200) {
			t.Errorf("%q, %d bytes: %d, want %d", test.kind, len(test.body), w.Code, test.want)
		}
	}
}

// TestNoOtherTokenIsGood changes good tokens, and binds them to other sessions.
func TestNoOtherTokenIsGood(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, keyring.Random(noon()), noon)
	rapid.Check(t, func(rt *rapid.T) {
		b.session = rapid.StringMatching(`[a-c]{0,2}`).Draw(rt, "session")
		token := b.page()
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			rt.Fatal(err)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(rt, "byte")] ^= rapid.ByteRange(1, 255).Draw(rt, "change")
		if b.post(base64.RawURLEncoding.EncodeToString(raw)); b.reached {
			rt.Fatal("a changed token is accepted")
		}
		issuedFor := b.session
		b.session = rapid.StringMatching(`[a-c]{0,2}`).Draw(rt, "another session")
		if b.post(token); b.reached != (b.session == issuedFor) {
			rt.Fatalf("a token of session %q with %q: %v", issuedFor, b.session, b.reached)
		}
	})
}

func TestOnlyHosts(t *testing.T) {
	t.Parallel()
	served := csrf.OnlyHosts([]string{"127.0.0.1:8080", "localhost:8080"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "localhost:8080": 200, "LocalHost:8080": 200,
		"127.0.0.1": 421, "127.0.0.1:8081": 421, "evil.example:8080": 421, "localhost.evil.example:8080": 421, "localhost.:8080": 421, "": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if served.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestWithoutAGuard(t *testing.T) {
	t.Parallel()
	if token := csrf.Token(t.Context()); token != "" {
		t.Errorf("a token of nothing: %q", token)
	}
	if _, err := csrf.New(csrf.Config{}); err == nil {
		t.Error("an empty Config is no error")
	}
}
