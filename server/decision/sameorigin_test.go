package decision

import (
	"testing"

	"github.com/keyward-dev/keyward/internal/origin"
)

// TestSameOrigin: a request that a browser says its own page sent is allowed if that page's origin is, and only without
// Origin and Referer.
func TestSameOrigin(t *testing.T) {
	for name, c := range map[string]struct {
		want    Code
		arrange func(*Request, *Origins)
	}{
		"listed":           {Allowed, func(*Request, *Origins) {}},
		"not said":         {OriginMissing, func(r *Request, _ *Origins) { r.FetchSite = "" }},
		"another value":    {OriginMissing, func(r *Request, _ *Origins) { r.FetchSite = "same-origin, same-origin" }},
		"another host":     {OriginMissing, func(r *Request, _ *Origins) { r.Host = "evil.com" }},
		"no host":          {OriginMissing, func(r *Request, _ *Origins) { r.Host = "" }},
		"https by default": {Allowed, func(_ *Request, o *Origins) { o.Patterns = patterns(t, "https://www.acme.com") }},
		"http only":        {OriginMissing, func(_ *Request, o *Origins) { o.Patterns = patterns(t, "http://www.acme.com") }},
		"a port": {Allowed, func(r *Request, o *Origins) {
			r.Host, o.Patterns = "www.acme.com:8443", patterns(t, "www.acme.com:8443")
		}},
		"another port": {OriginMissing, func(r *Request, _ *Origins) { r.Host = "www.acme.com:8443" }},
		"an app":       {OriginMissing, func(r *Request, o *Origins) { r.Host, o.Patterns = "localhost", patterns(t, "capacitor://localhost") }},
		"localhost":    {Allowed, func(r *Request, o *Origins) { r.Host, o.AllowLocalhost = "localhost:8080", true }},
		"localhost, http": {Allowed, func(r *Request, o *Origins) {
			r.Host, o.Patterns = "localhost:8080", patterns(t, "http://localhost:8080")
		}},
		"not localhost":   {OriginMissing, func(r *Request, _ *Origins) { r.Host = "localhost:8080" }},
		"foreign Origin":  {OriginDenied, func(r *Request, _ *Origins) { r.Origin = "https://evil.com" }},
		"foreign Referer": {OriginDenied, func(r *Request, _ *Origins) { r.Referer = "https://evil.com/" }},
		"own Referer":     {Allowed, func(r *Request, _ *Origins) { r.Referer = "https://www.acme.com/x" }},
		"missing allowed": {Allowed, func(r *Request, o *Origins) { r.Host, o.AllowMissing = "evil.com", true }},
	} {
		snapshot, match := acme(t)
		snapshot.matches[digest] = *match
		origins := &match.Group.Projects[1].Origins
		*origins = Origins{Patterns: patterns(t, "*.acme.com")}
		request := &Request{Credential: Credential{Form: WellFormed, Digest: digest}, Method: "GET", Host: "www.acme.com",
			Path: "/shared/x", FetchSite: "same-origin"}
		c.arrange(request, origins)
		if got := Decide(snapshot, request, now); got.Code != c.want || got.OriginAllowed {
			t.Errorf("%s: %v, %v, want %v", name, got.Code, got.OriginAllowed, c.want)
		}
	}
}

func patterns(t *testing.T, texts ...string) (all []origin.Pattern) {
	t.Helper()
	for _, text := range texts {
		p, err := origin.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
