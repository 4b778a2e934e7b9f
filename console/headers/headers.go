// Package headers sets the headers of responses that tell browsers what pages of the console may do: load nothing from elsewhere, run no
// script that is in a page, be in no frame, and stay in no cache.
package headers

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Config is what depends on the installation.
type Config struct {
	// TLS says that browsers always reach the console by HTTPS, also where a proxy in front of it ends TLS. Without it, only requests that
	// come by TLS are answered with Strict-Transport-Security.
	TLS bool
	// FormTargets are the origins, such as https://login.example.com, to which a form may lead by a redirect: those of identity providers.
	FormTargets []string
}

const (
	year = "max-age=31536000"
	// Only what is listed is allowed. Inline scripts, inline styles and eval are not.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)

// fixed are the same for each response. A handler may set Cache-Control to something else, for files that are no secret.
var fixed = map[string]string{
	"Cache-Control":                "no-store",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=(), clipboard-read=(), clipboard-write=(self)",
	// With no-referrer, browsers would send forms with "Origin: null", which is refused where they say no Sec-Fetch-Site.
	"Referrer-Policy":        "same-origin",
	"X-Content-Type-Options": "nosniff",
	"X-Frame-Options":        "DENY",
}

// Set returns a handler that sets the headers before next. An error names a target that is no origin.
func Set(config Config, next http.Handler) (http.Handler, error) {
	targets := slices.Sorted(slices.Values(config.FormTargets))
	for _, target := range targets {
		// Nothing of it may be read as another part of the policy.
		if u, err := url.Parse(target); err != nil || u.Host == "" || target != u.Scheme+"://"+u.Host || strings.ContainsAny(target, " \t,;'*") {
			return nil, fmt.Errorf("%q is no origin; write one such as https://login.example.com", target)
		}
	}
	csp := strings.Join(append([]string{policy}, slices.Compact(targets)...), " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		for name, value := range fixed {
			header.Set(name, value)
		}
		header.Set("Content-Security-Policy", csp)
		if config.TLS || r.TLS != nil {
			header.Set("Strict-Transport-Security", year)
		}
		next.ServeHTTP(w, r)
	}), nil
}
