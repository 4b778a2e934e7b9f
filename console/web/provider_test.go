package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

// provider is one that knows who comes back by the code.
type provider struct{ down bool }

func (*provider) Name() string { return "Example <Login>" }

func (p *provider) Begin(w http.ResponseWriter, _ *http.Request, next string) (string, error) {
	if p.down {
		return "", errors.New("no answer")
	}
	http.SetCookie(w, &http.Cookie{Name: "begun", Value: url.QueryEscape(next)})
	return "https://login.example/authorize?state=the-state&client_id=a", nil
}

func (p *provider) End(w http.ResponseWriter, r *http.Request) (of session.Claims, next string, err error) {
	begun, err := r.Cookie("begun")
	if err != nil {
		return of, "/", web.ErrNotBegun
	}
	next, _ = url.QueryUnescape(begun.Value)
	http.SetCookie(w, &http.Cookie{Name: "begun", MaxAge: -1})
	switch code := r.URL.Query().Get("code"); code {
	case "refused":
		return of, next, &web.SignInError{Text: "This account is in no group."}
	case "down":
		return of, next, errors.New("no answer to " + code)
	default:
		return session.Claims{Name: "oidc:" + code, Groups: []string{"oidc:team-a"}}, next, nil
	}
}

func withProvider(t *testing.T) (*browser, *provider) {
	t.Helper()
	p := &provider{}
	return install(t, func(config *web.Config) { config.Provider = p }).browser(), p
}

// begin presses the button of the sign-in page.
func (b *browser) begin(next string) {
	b.t.Helper()
	w := b.get("/sign-in?next=" + url.QueryEscape(next))
	want(b.t, w, http.StatusOK, `action="/sign-in/oidc"`, "Continue with Example &lt;Login&gt;", `action="/sign-in/token"`)
	w = b.post("/sign-in/oidc", formToken(b.t, w), url.Values{"next": {next}})
	want(b.t, w, http.StatusOK, `href="https://login.example/authorize?state=the-state&amp;client_id=a"`)
	if got := w.Header().Get("Refresh"); got != "0;url=https://login.example/authorize?state=the-state&client_id=a" {
		b.t.Errorf("Refresh: %q", got)
	}
}

// back is the request with which a browser comes back from another site.
func (b *browser) back(code string) (status int, location, body string) {
	b.t.Helper()
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
		before, had := b.headers[name]
		b.headers[name] = value
		defer func() {
			if b.headers[name] = before; !had {
				delete(b.headers, name)
			}
		}()
	}
	w := b.do(http.MethodGet, "/sign-in/callback?code="+url.QueryEscape(code)+"&state=the-state", "")
	return w.Code, w.Header().Get("Location"), w.Body.String()
}

func TestSignInByAProvider(t *testing.T) {
	t.Parallel()
	b, p := withProvider(t)
	b.begin("/groups/team-a/acme")
	if w := b.do(http.MethodHead, "/sign-in/callback?code=ada&state=the-state", ""); w.Code != http.StatusNoContent {
		t.Errorf("%d", w.Code)
	}
	if status, location, body := b.back("ada"); status != http.StatusSeeOther || location != "/groups/team-a/acme" {
		t.Fatalf("%d %s %s", status, location, body)
	}
	want(t, b.get("/"), http.StatusOK, "oidc:ada")

	for _, one := range []struct {
		code   string
		status int
		says   string
	}{
		{"refused", 401, "This account is in no group."}, {"down", 503, "does not answer as it should"},
		{strings.Repeat("x", 8<<10), 422, "longer than a browser keeps"},
	} {
		b, _ := withProvider(t)
		b.begin("/groups/team-a/acme")
		status, _, body := b.back(one.code)
		if status != one.status || !strings.Contains(body, one.says) || !strings.Contains(body, `name="next" value="/groups/team-a/acme"`) {
			t.Errorf("%s: %d %s", one.code, status, body)
		}
		if status, _, body := b.back("ada"); status != http.StatusBadRequest || !strings.Contains(body, "Begin again.") {
			t.Errorf("%s, again: %d %s", one.code, status, body)
		}
		if strings.Contains(b.log.String(), "the-state") || strings.Contains(b.log.String(), "code=") {
			t.Errorf("the log: %s", b.log)
		}
	}
	p.down = true
	b = b.browser()
	w := b.post("/sign-in/oidc", formToken(t, b.get("/sign-in")), url.Values{"next": {"/groups/team-a/acme"}})
	want(t, w, http.StatusServiceUnavailable, "does not answer as it should", `name="next" value="/groups/team-a/acme"`)
	if w.Header().Get("Retry-After") != "5" || w.Header().Get("Refresh") != "" {
		t.Errorf("%v", w.Header())
	}
}

func TestNobodyElseBeginsASignIn(t *testing.T) {
	t.Parallel()
	b, _ := withProvider(t)
	w := b.post("/sign-in/oidc", "x", nil)
	want(t, w, http.StatusForbidden, "The page was too old")
	if w.Header().Get("Refresh") != "" || b.cookies["begun"] != "" {
		t.Errorf("it began: %v", w.Header())
	}
	if w := b.do(http.MethodGet, "/sign-in/oidc", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d", w.Code)
	}
	without := install(t).browser()
	page := without.get("/sign-in")
	if strings.Contains(page.Body.String(), "/sign-in/oidc") {
		t.Error("a provider is offered that there is not")
	}
	if w := without.post("/sign-in/oidc", formToken(t, page), nil); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

func TestTooManySignInsByAProvider(t *testing.T) {
	t.Parallel()
	b, _ := withProvider(t)
	for n := range 10 { // half of them begin, half come back from nowhere
		if n%2 == 0 {
			b.begin("/")
			delete(b.cookies, "begun")
		} else if status, _, _ := b.back("ada"); status != http.StatusBadRequest {
			t.Errorf("%d: %d", n, status)
		}
	}
	if status, _, body := b.back("ada"); status != http.StatusTooManyRequests {
		t.Errorf("%d %s", status, body)
	}
	w := b.post("/sign-in/oidc", formToken(t, b.get("/sign-in")), nil)
	want(t, w, http.StatusTooManyRequests, "too many attempts")
	if w.Header().Get("Refresh") != "" {
		t.Error("it began all the same")
	}
}
