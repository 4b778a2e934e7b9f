package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/web"
)

// TestTabOfRequests has the tab for who sees requests, and not for others.
func TestTabOfRequests(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	tab := `<li><a href="` + acme.Of("requests") + `"`
	for _, sees := range []bool{false, true} {
		b.sees = sees
		for _, path := range []string{acme.Of(), acme.Of("usage"), acme.Of("projects"), acme.Of("allowlists"), acme.Of("log"), acme.Of("requests")} {
			w := b.get(path)
			want(t, w, http.StatusOK)
			if strings.Contains(w.Body.String(), tab) != sees {
				t.Errorf("%s, who sees them: %v: %s", path, sees, w.Body)
			}
		}
	}
	want(t, b.get(acme.Of("requests")), http.StatusOK, tab+` aria-current="page"`)
}

// TestWhoIsFasterDecides shows what was decided meanwhile, and keeps the reason that was written.
func TestWhoIsFasterDecides(t *testing.T) {
	t.Parallel()
	b := install(t).browser().signIn()
	path := acme.Request("5f0c")
	token := formToken(t, b.get(path))
	b.fails = fmt.Errorf("%w: x", web.ErrConflict)
	w := b.post(path, token, url.Values{"step": {"refuse"}, "reason": {"Not now"}})
	want(t, w, http.StatusConflict, "Somebody else was faster", "who-was-faster", "Not now")
	if strings.Contains(w.Body.String(), "replaces theirs") {
		t.Error("it says that a decision can be replaced")
	}
}
