package headers_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/console/headers"
)

func serve(t *testing.T, config headers.Config, r *http.Request, next http.HandlerFunc) http.Header {
	t.Helper()
	handler, err := headers.Set(config, next)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w.Result().Header
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestPolicy(t *testing.T) {
	t.Parallel()
	got := serve(t, headers.Config{FormTargets: []string{"https://login.example.com:8443", "https://a.example", "https://a.example"}},
		httptest.NewRequest(http.MethodGet, "/", nil), nothing)
	directives := map[string]string{}
	for part := range strings.SplitSeq(got.Get("Content-Security-Policy"), "; ") {
		name, value, _ := strings.Cut(part, " ")
		directives[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'",
		"form-action": "'self' https://a.example https://login.example.com:8443",
	} {
		if directives[name] != want {
			t.Errorf("%s is %q, want %q", name, directives[name], want)
		}
	}
	if csp := got.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.Contains(csp, "data:") || strings.Contains(csp, "*") {
		t.Errorf("too wide: %s", csp)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q", name, got.Get(name))
		}
	}
}

// TestStrictTransportSecurity: browsers ignore it over plain HTTP, and must not get it on loopback.
func TestStrictTransportSecurity(t *testing.T) {
	t.Parallel()
	plain, secure := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRequest(http.MethodGet, "/", nil)
	secure.TLS = &tls.ConnectionState{}
	plain.Header.Set("X-Forwarded-Proto", "https") // anybody can say so
	for _, c := range []struct {
		config headers.Config
		r      *http.Request
		want   string
	}{
		{headers.Config{}, plain, ""},
		{headers.Config{}, secure, "max-age=31536000"},
		{headers.Config{TLS: true}, plain, "max-age=31536000"},
	} {
		if got := serve(t, c.config, c.r, nothing).Get("Strict-Transport-Security"); got != c.want {
			t.Errorf("%+v, %v: %q", c.config, c.r.TLS != nil, got)
		}
	}
}

func TestFilesMayBeCached(t *testing.T) {
	t.Parallel()
	got := serve(t, headers.Config{}, httptest.NewRequest(http.MethodGet, "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
	})
	if got.Get("Cache-Control") != "public, max-age=60" {
		t.Error(got)
	}
}

func TestTargetsAreOrigins(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"", "login.example.com", "https://login.example.com/", "https://*.example.com", "https://a.example; script-src *", "https://a.example,b",
		"https://user@a.example", "javascript:alert(1)", "'unsafe-inline'", "https://",
	} {
		if _, err := headers.Set(headers.Config{FormTargets: []string{target}}, http.HandlerFunc(nothing)); err == nil {
			t.Errorf("%q is an origin", target)
		}
	}
}
