package csrf_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/csrf"
	"github.com/keyward-dev/keyward/console/keyring"
	"github.com/keyward-dev/keyward/console/refusal"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// world is a console whose session is what the header Test-Session says, and a browser with its cookies.
type world struct {
	t       *testing.T
	handler http.Handler
	cookies map[string]*http.Cookie
	session string
	refused *refusal.Refusal
	changed int
	token   string // of the last page
}

func newWorld(t *testing.T, config csrf.Config) *world {
	t.Helper()
	w := &world{t: t, cookies: map[string]*http.Cookie{}}
	if config.Keys == nil {
		config.Keys = keyring.Random()
	}
	config.Session = func(*http.Request) string { return w.session }
	config.Now = func() time.Time { return now }
	config.Page = refusal.PageFunc(func(rw http.ResponseWriter, r *http.Request, refused refusal.Refusal) {
		w.refused = &refused
		refusal.Plain(rw, r, refused)
	})
	guard, err := csrf.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.handler = guard.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.token = csrf.Token(r.Context())
		if r.Method != http.MethodGet {
			w.changed++
		}
	}))
	return w
}

func (w *world) do(r *http.Request) int {
	w.refused = nil
	for _, cookie := range w.cookies {
		r.AddCookie(cookie)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	for _, cookie := range rec.Result().Cookies() {
		w.cookies[cookie.Name] = cookie
	}
	return rec.Code
}

func (w *world) get() string {
	w.t.Helper()
	if code := w.do(httptest.NewRequest(http.MethodGet, "https://console.example/", nil)); code != http.StatusOK || w.token == "" {
		w.t.Fatalf("GET: %d, token %q", code, w.token)
	}
	return w.token
}

func post(form url.Values, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://console.example/keys", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

var here = []string{"Sec-Fetch-Site", "same-origin"}

func with(token string) url.Values { return url.Values{csrf.Field: {token}, "name": {"shop"}} }

func TestForms(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]string{
		"a browser":                          here,
		"a browser with Origin only":         {"Origin", "https://console.example"},
		"an old browser, which says nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, csrf.Config{})
			w.session = "s1"
			first, second := w.get(), w.get()
			if first == second {
				t.Error("two pages have the same text of the token, whose length compression reveals")
			}
			for _, token := range []string{first, second} {
				if code := w.do(post(with(token), headers...)); code != http.StatusOK {
					t.Errorf("with the token of a page: %d, %+v", code, w.refused)
				}
			}
			if w.changed != 2 {
				t.Errorf("%d changes", w.changed)
			}
			if code := w.do(post(nil, append(headers, csrf.Header, second)...)); code != http.StatusOK {
				t.Errorf("with the token in a header: %d", code)
			}
		})
	}
}

// TestRefused: nothing is changed, and the kind of the refusal says why.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request func(w *world, token string) *http.Request
		kind    refusal.Kind
		kept    bool
	}{
		"another site":                 {func(_ *world, token string) *http.Request { return post(with(token), "Sec-Fetch-Site", "cross-site") }, refusal.CrossSite, false},
		"a sibling domain":             {func(_ *world, token string) *http.Request { return post(with(token), "Sec-Fetch-Site", "same-site") }, refusal.CrossSite, false},
		"another origin":               {func(_ *world, token string) *http.Request { return post(with(token), "Origin", "https://evil.example") }, refusal.CrossSite, false},
		"an opaque origin":             {func(_ *world, token string) *http.Request { return post(with(token), "Origin", "null") }, refusal.CrossSite, false},
		"no token":                     {func(*world, string) *http.Request { return post(url.Values{"name": {"shop"}}, here...) }, refusal.FormStale, true},
		"a token that is cut":          {func(_ *world, token string) *http.Request { return post(with(token[1:]), here...) }, refusal.FormStale, true},
		"a token that is zero":         {func(*world, string) *http.Request { return post(with(strings.Repeat("A", 86)), here...) }, refusal.FormStale, true},
		"no token, and nothing of who": {func(*world, string) *http.Request { return post(url.Values{"name": {"shop"}}) }, refusal.FormStale, false},
		"without cookies": {func(w *world, token string) *http.Request {
			w.cookies = map[string]*http.Cookie{}
			return post(with(token), here...)
		}, refusal.FormStale, true},
		"two cookies of that name": {func(w *world, token string) *http.Request {
			r := post(with(token), here...)
			r.AddCookie(w.cookies["__Host-keyward-csrf"])
			return r
		}, refusal.FormStale, true},
		"another session": {func(w *world, token string) *http.Request {
			w.session = "s2"
			return post(with(token), here...)
		}, refusal.FormStale, true},
		"signed out": {func(w *world, token string) *http.Request {
			w.session = ""
			return post(with(token), here...)
		}, refusal.FormStale, true},
		"the cookie of another session": {func(w *world, token string) *http.Request {
			w.session = "s2"
			w.cookies = map[string]*http.Cookie{}
			w.get()
			foreign := w.cookies["__Host-keyward-csrf"]
			w.session = "s1"
			w.cookies["__Host-keyward-csrf"] = foreign
			return post(with(token), here...)
		}, refusal.FormStale, true},
		"a form that is too large": {func(_ *world, token string) *http.Request {
			form := with(token)
			form.Set("name", strings.Repeat("x", csrf.MaxForm))
			return post(form, here...)
		}, refusal.TooLarge, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, csrf.Config{})
			w.session = "s1"
			request := c.request(w, w.get())
			code := w.do(request)
			if w.changed != 0 || w.refused == nil || w.refused.Kind != c.kind || code != w.refused.Status() {
				t.Fatalf("%d changes, %d, refused %+v, want %s", w.changed, code, w.refused, c.kind)
			}
			if kept := w.refused.Form.Get("name") != ""; kept != c.kept || w.refused.Form.Has(csrf.Field) {
				t.Errorf("the form that is shown again: %v", w.refused.Form)
			}
		})
	}
}

// TestStaleIsNoDeadEnd: the page that refuses has a token with which the same form is accepted.
func TestStaleIsNoDeadEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, csrf.Config{})
	w.session = "s1"
	old := w.get()
	for name, change := range map[string]func(){
		"signed in again":   func() { w.session = "s2" },
		"cookies are gone":  func() { w.cookies = map[string]*http.Cookie{} },
		"signed out":        func() { w.session = "" },
		"signed in at last": func() { w.session = "s3" },
	} {
		change()
		if code := w.do(post(with(old), here...)); code != http.StatusForbidden || w.refused.Token == "" {
			t.Fatalf("%s: %d, %+v", name, code, w.refused)
		}
		again := w.refused.Form
		again.Set(csrf.Field, w.refused.Token)
		before := w.changed
		if code := w.do(post(again, here...)); code != http.StatusOK || w.changed != before+1 {
			t.Errorf("%s: with the new token: %d, %+v", name, code, w.refused)
		}
	}
}

// TestBeforeSignIn: the form of the sign-in page has a token, too, and another browser's does not fit.
func TestBeforeSignIn(t *testing.T) {
	t.Parallel()
	keys := keyring.Random()
	one, other := newWorld(t, csrf.Config{Keys: keys}), newWorld(t, csrf.Config{Keys: keys})
	token := one.get()
	if code := one.do(post(with(token), here...)); code != http.StatusOK {
		t.Errorf("its own: %d", code)
	}
	other.get()
	if code := other.do(post(with(token), here...)); code != http.StatusForbidden {
		t.Errorf("of another browser: %d", code)
	}
	// Half of the cookies of another browser do not fit either.
	other.cookies["__Host-keyward-csrf"] = one.cookies["__Host-keyward-csrf"]
	if code := other.do(post(with(token), here...)); code != http.StatusForbidden {
		t.Errorf("with the token of another visit: %d", code)
	}
	for name, cookie := range one.cookies {
		if !strings.HasPrefix(name, "__Host-") || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" {
			t.Errorf("cookie %+v", cookie)
		}
	}
}

func TestOriginsAndPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, csrf.Config{Origins: []string{"https://public.example"}, Plain: true})
	token := w.get()
	if code := w.do(post(with(token), "Origin", "https://public.example")); code != http.StatusOK {
		t.Errorf("the origin before the proxy: %d", code)
	}
	for name, cookie := range w.cookies {
		if strings.HasPrefix(name, "__Host-") || cookie.Secure {
			t.Errorf("on loopback, without TLS: %+v", cookie)
		}
	}
	if _, err := csrf.New(csrf.Config{}); err == nil {
		t.Error("a guard without keys")
	}
	session := func(*http.Request) string { return "" }
	if _, err := csrf.New(csrf.Config{
		Keys: keyring.Random(), Session: session, Page: refusal.PageFunc(refusal.Plain), Now: time.Now, Origins: []string{"console.example/x"},
	}); err == nil {
		t.Error("an origin with a path")
	}
	if got := csrf.Token(t.Context()); got != "" {
		t.Errorf("a token without a guard: %q", got)
	}
}

func TestOnlyHosts(t *testing.T) {
	t.Parallel()
	handler := csrf.OnlyHosts(refusal.PageFunc(refusal.Plain), []string{"localhost:8443", "127.0.0.1:8443"},
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"localhost:8443": http.StatusOK, "LOCALHOST:8443": http.StatusOK, "127.0.0.1:8443": http.StatusOK,
		"localhost": http.StatusMisdirectedRequest, "localhost:8444": http.StatusMisdirectedRequest, "evil.example:8443": http.StatusMisdirectedRequest,
		"localhost.evil.example:8443": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest, "localhost:8443.": http.StatusMisdirectedRequest,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d", host, w.Code)
		}
	}
}

// FuzzCookies: with any cookies and token that a browser sends, nothing is changed without a pair that was issued.
func FuzzCookies(f *testing.F) {
	f.Add("", "", "")
	f.Add("v1.19700101T000000Z.AAAA", strings.Repeat("A", 43), strings.Repeat("A", 86))
	f.Fuzz(func(t *testing.T, cookie, visit, token string) {
		w := newWorld(t, csrf.Config{})
		r := post(with(token), here...)
		r.Header.Set("Cookie", "__Host-keyward-csrf="+cookie+"; __Host-keyward-visit="+visit)
		if w.do(r); w.changed != 0 {
			t.Errorf("changed with %q, %q and %q", cookie, visit, token)
		}
	})
}
