package session_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/session"
)

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"/", "/groups", "/groups/", "/groups/acme/keys?page=2&sort=name", "/groups/a%20b", "/groups/caf%C3%A9", "/?next=//evil.example", "/sign-inn", "/a:b@c",
	} {
		if got := session.LocalPath(good); got != good {
			t.Errorf("LocalPath(%q) = %q", good, got)
		}
	}
	if got := session.LocalPath("/groups#key"); got != "/groups" {
		t.Errorf("a fragment: %q", got)
	}
	for _, bad := range []string{
		"", "groups", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, `\/evil.example`, `/groups\..\..\evil`,
		"%2f%2fevil.example", "/%2f%2fevil.example", "/%2fevil.example", "/%5cevil.example", "/%252f%252fevil.example", "/./%2fevil.example",
		"https://evil.example", "https:evil.example", "HTTPS://evil.example", "javascript:alert(1)", "data:text/html,x", "http:///evil.example",
		"/\tevil.example", "/\t/evil.example", "\t//evil.example", " //evil.example", "/\n/evil.example", "/groups\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:a=b", "/\x00", "/%00",
		"/\x7f", "/%7f", "/groups/\u2028", "/%C2%85", "/.//evil.example", "/..//evil.example", "/groups/../../evil", "/groups/%2e%2e/x", "/groups//x", "/%zz",
		"/sign-in", "/sign-in/oidc?code=x", "/sign-out", "/%73ign-out", "@evil.example", "?x", "#x", "/" + strings.Repeat("x", 3000),
	} {
		if got := session.LocalPath(bad); got != "/" {
			t.Errorf("LocalPath(%q) = %q", bad, got)
		}
	}
}

// FuzzLocalPath resolves what is left as the standard library does, and as a browser that takes \ for / and skips white space would.
func FuzzLocalPath(f *testing.F) {
	for _, seed := range []string{"/", "//x", `/\x`, "/%2f/x", "/a?b#c", "https://x/", "/\t/x", "/a/../b"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://console.example/sign-in")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := session.LocalPath(text)
		for _, read := range []string{got, strings.NewReplacer(`\`, "/", "\t", "", "\n", "", "\r", "").Replace(strings.TrimSpace(got))} {
			to, err := base.Parse(read)
			if err != nil || to.Scheme != "https" || to.Host != "console.example" || to.User != nil {
				t.Fatalf("LocalPath(%q) = %q leads to %v, %v", text, got, to, err)
			}
		}
		if again := session.LocalPath(got); again != got {
			t.Fatalf("LocalPath(%q) = %q, and again %q", text, got, again)
		}
		w := httptest.NewRecorder()
		http.Redirect(w, httptest.NewRequest(http.MethodPost, "/sign-in", nil), got, http.StatusSeeOther)
		if to := w.Header().Get("Location"); !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
			t.Fatalf("Redirect of %q leads to %q", got, to)
		}
	})
}
