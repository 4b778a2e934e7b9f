package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keyward-dev/keyward/console/session"
	"github.com/keyward-dev/keyward/console/web"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		sent   string
		status int
		says   string
	}{
		{"", 422, "Paste a token."},
		{"two words", 422, "This is no token"},
		{strings.Repeat("x", 16<<10+1), 422, "This is no token"},
		{"wrong", 401, "The API server does not know this token."},
		{"down", 503, "The cluster does not answer"},
	} {
		b := install(t).browser()
		w := b.send("/sign-in?next=/groups/team-a/acme", url.Values{"token": {one.sent}})
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("the page itself takes forms: %d", w.Code)
		}
		w = b.post("/sign-in/token", formToken(t, b.get("/sign-in?next=/groups/team-a/acme")), url.Values{"token": {one.sent}, "next": {"/groups/team-a/acme"}})
		want(t, w, one.status, one.says, `name="next" value="/groups/team-a/acme"`)
		if len(one.sent) > 0 && strings.Contains(w.Body.String(), `value="`+one.sent) {
			t.Error("the token is shown again")
		}
		w = b.post("/sign-in/token", formToken(t, w), url.Values{"token": {" " + token + "\r\n"}, "next": {"/groups/team-a/acme"}})
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/groups/team-a/acme" {
			t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
		}
		if w := b.get("/sign-in?next=//evil.example"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
			t.Errorf("who has signed in is sent to %s", w.Header().Get("Location"))
		}
		if strings.Contains(b.log.String(), token) || strings.Contains(b.log.String(), "acme") {
			t.Errorf("the log: %s", b.log)
		}
	}
}

func TestASignInThatWasNotAskedForIsRefused(t *testing.T) {
	t.Parallel()
	b := install(t).browser()
	w := b.post("/sign-in/token", "x", url.Values{"token": {token}})
	want(t, w, http.StatusForbidden, "The page was too old")
	if _, signedIn := b.cookies["__Host-keyward-token"]; signedIn {
		t.Error("a form without a token signs in")
	}
	w = b.post("/sign-in/token", formToken(t, w), url.Values{"token": {token}})
	if w.Code != http.StatusSeeOther {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTooManySignIns(t *testing.T) {
	t.Parallel()
	i := install(t)
	b := i.browser()
	page := formToken(t, b.get("/sign-in"))
	for range 10 {
		want(t, b.post("/sign-in/token", page, url.Values{"token": {"wrong"}}), http.StatusUnauthorized)
	}
	w := b.post("/sign-in/token", page, url.Values{"token": {token}})
	want(t, w, http.StatusTooManyRequests, "too many attempts", "<!doctype html>")
	if w.Header().Get("Retry-After") != "900" {
		t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
	}
	for n := range 11 { // an account from as many addresses
		b := i.browser()
		b.headers["Test-Address"] = fmt.Sprintf("192.0.2.%d", 10+n)
		w := b.post("/sign-in/token", formToken(t, b.get("/sign-in")), url.Values{"token": {token}})
		if want := map[bool]int{true: http.StatusSeeOther, false: http.StatusTooManyRequests}[n < 10]; w.Code != want {
			t.Errorf("sign-in %d: %d, want %d", n+1, w.Code, want)
		}
	}
}

func TestSigningOut(t *testing.T) {
	t.Parallel()
	i := install(t)
	one, two := i.browser().signIn(), i.browser().signIn()
	stolen := one.cookies["__Host-keyward-token"]
	if w := one.post("/sign-out", "x", nil); w.Code != http.StatusForbidden {
		t.Errorf("a form without a token signs out: %d", w.Code)
	}
	if w := one.post("/sign-out", formToken(t, one.get("/")), nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/sign-in" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	one.cookies["__Host-keyward-token"] = stolen
	if w := one.get("/"); w.Code != http.StatusSeeOther {
		t.Errorf("the session goes on: %d", w.Code)
	}
	want(t, two.get("/"), http.StatusOK, "Sign out everywhere")

	third := i.browser().signIn()
	if w := third.post("/sign-out/everywhere", "x", nil); w.Code != http.StatusForbidden {
		t.Errorf("a form without a token signs out everywhere: %d", w.Code)
	}
	want(t, two.get("/"), http.StatusOK)
	if w := third.post("/sign-out/everywhere", formToken(t, third.get("/sign-out")), nil); w.Code != http.StatusSeeOther {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := two.get("/"); w.Code != http.StatusSeeOther {
		t.Errorf("the other session goes on: %d", w.Code)
	}
}

const own = "http://127.0.0.1:4321"

// loopback is a console of one person on their own machine.
func loopback(t *testing.T) *browser {
	t.Helper()
	used := false
	i := install(t, func(config *web.Config) {
		config.Verify, config.Loopback, config.Origins = nil, true, []string{own}
		config.Entry = func(secret string) (session.Claims, bool) {
			if secret != "the-secret" || used {
				return session.Claims{}, false
			}
			used = true
			return session.Claims{Name: "ada"}, true
		}
	})
	b := i.browser()
	b.origin = own
	return b
}

func TestTheLinkOfAPersonIsGoodOnce(t *testing.T) {
	t.Parallel()
	b := loopback(t)
	b.headers["Sec-Fetch-Site"] = "none" // as of an address that somebody types
	want(t, b.do(http.MethodGet, "/enter/wrong", ""), http.StatusNotFound, "used before, or it is wrong")
	b.do(http.MethodHead, "/enter/the-secret", "")
	if w := b.do(http.MethodGet, "/enter/the-secret", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w := b.get("/")
	want(t, w, http.StatusOK, "ada")
	if strings.Contains(w.Body.String(), "Sign out") || w.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	another := &browser{b.installation, map[string]string{}, b.headers, own}
	want(t, another.do(http.MethodGet, "/enter/the-secret", ""), http.StatusNotFound)
	if w := another.do(http.MethodGet, acme.Of(), ""); w.Code != http.StatusSeeOther {
		t.Errorf("another user of the machine: %d", w.Code)
	}
	want(t, another.get("/sign-in"), http.StatusUnauthorized, "kubectl keyward console")
	if strings.Contains(b.log.String(), "the-secret") {
		t.Errorf("the log has the secret: %s", b.log)
	}
}

func TestLoopbackServesItsOwnHostOnly(t *testing.T) {
	t.Parallel()
	b := loopback(t)
	b.origin = "http://evil.example:4321" // a name that resolves to 127.0.0.1
	want(t, b.do(http.MethodGet, "/enter/the-secret", ""), http.StatusMisdirectedRequest)
	b.origin = own
	if w := b.do(http.MethodGet, "/enter/the-secret", ""); w.Code != http.StatusSeeOther {
		t.Errorf("the link was used up: %d", w.Code)
	}
	w := b.send(checkout.Of("suspend"), nil)
	if w.Code != http.StatusSeeOther || len(b.changes) != 1 {
		t.Errorf("%d %q", w.Code, b.changes)
	}
}

// TestSignInsAreCounted: each attempt once, by what became of it. Who it was is in the log only if the configuration says so.
func TestSignInsAreCounted(t *testing.T) {
	t.Parallel()
	logged := func(c *web.Config) { c.LogSignIns = true }
	for _, with := range []func(*web.Config){nil, logged} {
		i := install(t)
		if with != nil {
			i = install(t, with)
		}
		try := func(sent string) {
			b := i.browser()
			b.post("/sign-in/token", formToken(t, b.get("/sign-in")), url.Values{"token": {sent}})
		}
		for _, sent := range []string{"down", "", "no token", token} {
			try(sent)
		}
		for range 8 {
			try("unknown")
		}
		if err := testutil.GatherAndCompare(i.metrics, strings.NewReader(`
# HELP keyward_console_sign_ins_total Attempts to sign in to the console, by how and by result.
# TYPE keyward_console_sign_ins_total counter
keyward_console_sign_ins_total{how="token",result="accepted"} 1
keyward_console_sign_ins_total{how="token",result="limited"} 2
keyward_console_sign_ins_total{how="token",result="refused"} 8
keyward_console_sign_ins_total{how="token",result="unavailable"} 1
`), "keyward_console_sign_ins_total"); err != nil {
			t.Error(err)
		}
		lines := 0
		for line := range strings.Lines(i.log.String()) {
			if strings.Contains(line, `"msg":"sign-in"`) {
				lines++
			}
		}
		text := i.log.String()
		if with == nil && (lines != 0 || strings.Contains(text, "ada") || strings.Contains(text, "192.0.2.1")) {
			t.Errorf("the log has something of a person: %s", text)
		}
		if with != nil && (lines != 12 || !strings.Contains(text, `"how":"token","result":"accepted","person":"ada","address":"192.0.2.1"`)) {
			t.Errorf("%d lines of the log: %s", lines, text)
		}
		if strings.Contains(text, token) || strings.Contains(text, "unknown") {
			t.Errorf("the log has a token: %s", text)
		}
	}
}
