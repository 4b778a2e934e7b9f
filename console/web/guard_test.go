package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/place"
)

// change is a request that changes something, with what the Desk is then asked for.
type change struct {
	path   string
	form   url.Values
	asked  string
	leaves string // where to; empty: it answers itself
}

func changes() []change {
	return []change{
		{acme.Of("new-key"), url.Values{"step": {"create"}, "name": {"web"}, "projects": {"media", "media"}, "addresses": {"192.0.2.0/24\r\n\r\n 198.51.100.0/24"},
			"clients": {"Server"}, "lifetime": {"90d"}, "unknown": {"x"}},
			"ada: create team-a/acme {Name:web Description: Projects:[media] Permissions:[] Clients:[Server] Addresses:[192.0.2.0/24 198.51.100.0/24] Lifetime:90d Rotation: Reveal:}",
			place.Key{Group: acme, Namespace: "team-a", Name: "web"}.Of()},
		{acme.Allowlist("team-a", "sites"), url.Values{"step": {"save"}, "domains": {"acme.example\n*.acme.example"}, "localhost": {"true"}, "missing": {"Deny"}, "site": {"x.example"}, "version": {"v7"}},
			"ada: save team-a/sites {Domains:[acme.example *.acme.example] Projects:[] Localhost:true Missing:Deny Site: Version:v7}", acme.Allowlist("team-a", "sites")},
		{checkout.Of("rotate"), url.Values{"overlap": {"24h"}}, "ada: rotate " + checkout.Of() + " 24h", checkout.Of()},
		{checkout.Of("suspend"), nil, "ada: suspend " + checkout.Of(), checkout.Of()},
		{checkout.Of("resume"), nil, "ada: resume " + checkout.Of(), checkout.Of()},
		{checkout.Of("revoke"), url.Values{"name": {"checkout"}}, "ada: revoke " + checkout.Of(), checkout.Of()},
		{checkout.Of("claim"), nil, "ada: claim " + checkout.Of(), ""},
		{acme.Request("5f0c"), url.Values{"step": {"approve"}}, "ada: decide " + acme.Request("5f0c") + " {Verdict:Approved Reason:}", acme.Request("5f0c")},
		{acme.Request("5f0d"), url.Values{"step": {"refuse"}, "reason": {"Not\r\nnow"}}, "ada: decide " + acme.Request("5f0d") + " {Verdict:Refused Reason:Not\nnow}",
			acme.Request("5f0d")},
		{acme.Request("5f0e"), url.Values{"step": {"withdraw"}, "reason": {"over"}}, "ada: decide " + acme.Request("5f0e") + " {Verdict:Withdrawn Reason:over}",
			acme.Request("5f0e")},
		{place.Ask, url.Values{"step": {"create"}, "namespace": {"shop"}, "name": {"web"}, "group": {"acme/acme"}, "projects": {"media\r\n\r\n maps ", "media"},
			"permissions": {"read"}, "useCase": {"The\r\nshop"}, "lifetime": {"30d"}, "unknown": {"x"}},
			"ada: ask {Namespace:shop Name:web Group:acme/acme Projects:[media maps] Permissions:[read] UseCase:The\nshop Lifetime:30d}", asked.Of()},
		{asked.Of("delete"), url.Values{"name": {"web"}}, `ada: delete /requests/shop/web, typed "web"`, place.RequestsIn("shop")},
	}
}

func TestFormsReachTheDesk(t *testing.T) {
	t.Parallel()
	for _, one := range changes() {
		t.Run(one.path, func(t *testing.T) {
			t.Parallel()
			b := install(t).browser().signIn()
			w := b.send(one.path, one.form)
			if !slices.Equal(b.changes, []string{one.asked}) {
				t.Errorf("the Desk was asked for %q\nwant %q", b.changes, one.asked)
			}
			if one.leaves == "" {
				want(t, w, http.StatusOK)
			} else if w.Code != http.StatusSeeOther || w.Header().Get("Location") != one.leaves {
				t.Errorf("%d to %q, want %q", w.Code, w.Header().Get("Location"), one.leaves)
			}
		})
	}
}

// TestNothingIsDone has every form with every reason to refuse it. What was typed is shown again, and can be sent.
func TestNothingIsDone(t *testing.T) {
	t.Parallel()
	refusals := []struct {
		name   string
		status int
		send   func(b *browser, one change, token string) *httptest.ResponseRecorder
		again  bool // what was typed is shown again, with a token
		// ofGroup is a refusal of forms that are about a Group.
		ofGroup bool
	}{
		{"no session", http.StatusUnauthorized, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			delete(b.cookies, "__Host-keyward-token")
			return b.post(one.path, token, one.form)
		}, true, false},
		{"session over", http.StatusUnauthorized, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			b.now = b.now.Add(31 * time.Minute)
			return b.post(one.path, token, one.form)
		}, true, false},
		{"stale token", http.StatusForbidden, func(b *browser, one change, _ string) *httptest.ResponseRecorder {
			return b.post(one.path, "x", one.form)
		}, true, false},
		{"signed in again", http.StatusForbidden, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			delete(b.cookies, "__Host-keyward-token")
			b.signIn()
			return b.post(one.path, token, one.form)
		}, true, false},
		{"cross-site", http.StatusForbidden, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			b.headers["Sec-Fetch-Site"] = "cross-site"
			return b.post(one.path, token, one.form)
		}, false, false},
		{"another Group is chosen", http.StatusConflict, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			b.get(other.Of())
			return b.post(one.path, token, one.form)
		}, true, true},
		{"no Group is chosen", http.StatusConflict, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			delete(b.cookies, "__Host-keyward-active")
			return b.post(one.path, token, one.form)
		}, true, true},
		{"no member", http.StatusNotFound, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			return b.post(strings.Replace(one.path, "/groups/team-a/acme", "/groups/team-a/foreign", 1), token, one.form)
		}, false, true},
		{"a name that leaves its segment", http.StatusNotFound, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			return b.post(strings.Replace(one.path, "/groups/team-a/acme", "/groups/team-a/..%2Facme", 1), token, one.form)
		}, false, true},
		{"too large", http.StatusRequestEntityTooLarge, func(b *browser, one change, token string) *httptest.ResponseRecorder {
			form := url.Values{"long": {strings.Repeat("x", 64<<10)}}
			for name, values := range one.form {
				form[name] = values
			}
			return b.post(one.path, token, form)
		}, false, false},
		{"another method", http.StatusMethodNotAllowed, func(b *browser, one change, _ string) *httptest.ResponseRecorder {
			return b.do(http.MethodPut, one.path, "")
		}, false, false},
	}
	for _, one := range changes() {
		for _, refusal := range refusals {
			if refusal.ofGroup && !strings.HasPrefix(one.path, acme.Of()) {
				continue
			}
			t.Run(one.path+"/"+refusal.name, func(t *testing.T) {
				t.Parallel()
				b := install(t).browser().signIn()
				w := refusal.send(b, one, formToken(t, b.get(one.path)))
				want(t, w, refusal.status, "<!doctype html>")
				if len(b.changes) > 0 {
					t.Fatalf("the Desk was asked for %q", b.changes)
				}
				if strings.Contains(w.Body.String(), plaintext) {
					t.Error("the plaintext is shown")
				}
				if !refusal.again {
					return
				}
				for _, name := range []string{"name", "domains", "reason", "namespace", "group", "useCase"} {
					if typed := strings.TrimSpace(strings.Split(one.form.Get(name), "\n")[0]); !strings.Contains(w.Body.String(), typed) {
						t.Errorf("%q is lost: %s", typed, w.Body)
					}
				}
				if refusal.status == http.StatusUnauthorized {
					want(t, w, refusal.status, `href="/sign-in" target="_blank"`)
					b.signIn()
					w = b.post(one.path, formToken(t, w), one.form) // its token is of no session: the form is shown once more
					want(t, w, http.StatusForbidden)
				}
				b.get(acme.Of())
				b.post(one.path, formToken(t, w), one.form)
				if !slices.Equal(b.changes, []string{one.asked}) {
					t.Errorf("sent again, the Desk was asked for %q", b.changes)
				}
			})
		}
	}
}

// TestEveryPageNeedsASession has every page: who has none is sent to sign in and back, and the Desk is not asked.
func TestEveryPageNeedsASession(t *testing.T) {
	t.Parallel()
	paths := []string{"/", acme.Of(), acme.Of("usage"), acme.Of("allowlists"), acme.Of("log"), checkout.Of(), "/sign-out", place.Requests, asked.Of()}
	for _, one := range changes() {
		paths = append(paths, one.path)
	}
	for _, path := range paths {
		b := install(t).browser()
		b.fails = fmt.Errorf("the Desk was asked")
		back := "/sign-in?" + url.Values{"next": {path + "?a=b"}}.Encode()
		if path == "/sign-out" { // who has just signed in does not want that
			back = "/sign-in?next=%2F"
		}
		if w := b.do(http.MethodGet, path+"?a=b", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != back {
			t.Errorf("%s: %d to %s", path, w.Code, w.Header().Get("Location"))
		}
		b.fails = nil
		b.signIn()
		want(t, b.get(path), http.StatusOK, "ada")
		if w := b.do(http.MethodHead, path, ""); w.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
		b.headers["Sec-Fetch-Site"], b.headers["Sec-Fetch-Mode"] = "cross-site", "no-cors"
		want(t, b.do(http.MethodGet, path, ""), http.StatusForbidden)
	}
}

func TestTwoTabsWithTwoGroups(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	first := formToken(t, b.get(checkout.Of("suspend")))
	want(t, b.get(other.Of()), http.StatusOK, "Keys of other")
	w := b.post(checkout.Of("suspend"), first, nil)
	want(t, w, http.StatusConflict, "Another Group was chosen since", "about the Group acme")
	if len(b.changes) != 0 {
		t.Fatal(b.changes)
	}
	if w := b.post(checkout.Of("suspend"), formToken(t, w), nil); w.Code != http.StatusSeeOther || len(b.changes) != 1 {
		t.Errorf("%d, %q", w.Code, b.changes)
	}
}
