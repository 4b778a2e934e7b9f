package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/server/decision"
)

func TestCORS(t *testing.T) {
	const page = "https://www.acme.example"
	for name, c := range map[string]struct {
		decision decision.Decision
		request  decision.Request
		want     string
	}{
		"not allowed": {decision.Decision{Code: decision.OriginDenied}, decision.Request{Origin: page}, ""},
		"allowed": {decision.Decision{OriginAllowed: true}, decision.Request{Origin: page},
			page + "|X-Request-Id, RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, ETag, Content-Disposition"},
		"as it was sent": {decision.Decision{OriginAllowed: true}, decision.Request{Origin: "HTTPS://WWW.acme.example:443"},
			"HTTPS://WWW.acme.example:443|X-Request-Id, RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, ETag, " +
				"Content-Disposition"},
		"a dot at the end": {decision.Decision{OriginAllowed: true}, decision.Request{Origin: page + "."},
			page + ".|X-Request-Id, RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, ETag, Content-Disposition"},
		"what none sends": {decision.Decision{OriginAllowed: true}, decision.Request{Origin: "https://münchen.example"}, ""},
		"denied": {decision.Decision{Code: decision.KeyExpired, OriginAllowed: true}, decision.Request{Origin: page},
			page + "|X-Request-Id, RateLimit, RateLimit-Policy, Content-Range, Accept-Ranges, ETag, Content-Disposition, " +
				"Retry-After, WWW-Authenticate"},
		"never opaque": {decision.Decision{Code: decision.KeyExpired, OriginAllowed: true}, decision.Request{Origin: "null"}, ""},
		"preflight": {decision.Decision{Code: decision.Preflight, OriginAllowed: true, MethodAllowed: true},
			decision.Request{Origin: page, PreflightMethod: "GET"}, page + "|GET, HEAD|Authorization, X-Api-Key, Content-Type|600"},
		"preflight of a capability": {decision.Decision{Code: decision.Preflight, OriginAllowed: true, MethodAllowed: true},
			decision.Request{Origin: page, PreflightMethod: "POST"}, page + "|GET, HEAD, POST|Authorization, X-Api-Key, Content-Type|600"},
		"preflight of what nobody may": {decision.Decision{Code: decision.Preflight, OriginAllowed: true},
			decision.Request{Origin: page, PreflightMethod: "DELETE"}, page + "|GET, HEAD|Authorization, X-Api-Key, Content-Type|600"},
		"preflight with headers": {decision.Decision{Code: decision.Preflight, OriginAllowed: true},
			decision.Request{Origin: page, PreflightMethod: "GET", PreflightHeaders: "x-trace, *,a b, " +
				"X-Keyward-Group,x_keyward_group,,\tif-match"},
			page + "|GET, HEAD|Authorization, X-Api-Key, Content-Type, x-trace, if-match|600"},
		"preflight with too many headers": {decision.Decision{Code: decision.Preflight, OriginAllowed: true},
			decision.Request{Origin: page, PreflightMethod: "GET", PreflightHeaders: strings.Repeat("x,", 2000)},
			page + "|GET, HEAD|Authorization, X-Api-Key, Content-Type|600"},
	} {
		t.Run(name, func(t *testing.T) {
			var values []string
			for _, h := range CORS(c.decision, &c.request) {
				if http.CanonicalHeaderKey(h.Name) != h.Name || strings.Contains(h.Name, "Credentials") {
					t.Errorf("header %s", h.Name)
				}
				values = append(values, h.Value)
			}
			if got := strings.Join(values, "|"); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestPreflightDetection(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	for _, c := range []struct {
		method string
		header http.Header
		want   string
	}{
		{"OPTIONS", header("Origin", "https://a.example", headerRequestMethod, "POST"), "POST"},
		{"OPTIONS", header(headerRequestMethod, "POST"), ""},
		{"OPTIONS", header("Origin", "https://a.example"), ""},
		{"OPTIONS", header("Origin", "https://a.example", headerRequestMethod, ""), ""},
		{"OPTIONS", header("Origin", "https://a.example", headerRequestMethod, "GET", headerRequestMethod, "POST"), ""},
		{"OPTIONS", header("Origin", "https://a.example", headerRequestMethod, "GET,POST"), ""}, // joined by a proxy
		{"GET", header("Origin", "https://a.example", headerRequestMethod, "POST"), ""},
		{"options", header("Origin", "https://a.example", headerRequestMethod, "POST"), ""},
	} {
		if got := NewRequest(nil, c.header, c.method, "h", "/", "").PreflightMethod; got != c.want {
			t.Errorf("%s %v: got %q", c.method, c.header, got)
		}
	}
}
