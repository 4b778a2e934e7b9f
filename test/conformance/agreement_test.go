package conformance

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
)

// pieces are the parts of requests: valid ones, and those that an attacker would try instead.
var (
	segments = []string{"api", "scenes", "mkt-1", "prd-1", "web-1", "list", "tenant", "checkout", "sessions", "..", ".", "",
		"%2e%2e", "%61pi", "mkt-%31", "a%2fb", "%252e", "%00", "x;y", "mkt-1\\..", "MKT-1", "~", "%7e", "%C3%A9", "mkt-1.",
		"mkt-1%20", "mkt-1::$DATA", "mkt-%25", "docs", "secret", "secret;x", "paper-1"}
	queries = []string{"", "?", "?siteId=42", "?siteId=43", "?siteId=42&siteId=43", "?siteid=42", "?site%49d=42", "?siteId=4%32",
		"?siteId=42;x", "?x=?", "?siteId=42&siteId[]=43", "?siteId=42&%20siteId=43", "?SiteId=42"}
	hosts = []string{"cdn.acme.example", "CDN.ACME.EXAMPLE", "product.acme.example", "product.acme.example.",
		"product.acme.example:8443", "evil.example", "product.acme.example:x", "product.acme.example..", "127.1", "[::1]"}
	origins = []string{"https://www.acme.example", "HTTPS://www.acme.example:443", "http://www.acme.example",
		"https://a.shops.acme.example", "https://shops.acme.example", "https://evilacme.example", "https://www.acme.example.evil.example",
		"https://www.acme.example@evil.example", "https://www.acme.example/", "https://www.acme.example.",
		"https://www.acme.example:8443", "https://www.аcme.example", "null", "", "file://", "http://localhost:1",
		"http://127.0.0.1", "http://localhost.evil.example"}
	schemes = []string{"", "Bearer ", "bearer ", "BEARER  ", "Bearer\t", "Basic ", "Token "}
)

// TestIntegrationsAgree asks all integrations about generated requests. API Gateway's is left out if a path is encoded,
// which it cannot know.
func TestIntegrationsAgree(t *testing.T) {
	keys, update := snapshot(t)
	opened := inBothPositions(t, newAuthorizer(t, worldFailed, update))
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	slices.Sort(names)
	line := func(rt *rapid.T, name string, values []string) []string {
		var lines []string
		for range rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(rt, name) {
			lines = append(lines, name+": "+rapid.SampledFrom(values).Draw(rt, name))
		}
		return lines
	}
	rapid.Check(t, func(rt *rapid.T) {
		e := testRequest{
			method: rapid.SampledFrom([]string{"GET", "GET", "POST", "PUT", "OPTIONS"}).Draw(rt, "method"),
			host:   rapid.SampledFrom(hosts).Draw(rt, "host"),
			target: "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(segments), 0, 4).Draw(rt, "path"), "/") +
				rapid.SampledFrom(queries).Draw(rt, "query"),
			project: rapid.SampledFrom([]string{"", "", "", "marketing", "web", "nope"}).Draw(rt, "project"),
		}
		credentials := make([]string, 0, len(names))
		for _, name := range names {
			credentials = append(credentials, rapid.SampledFrom(schemes).Draw(rt, "scheme")+keys[name].Reveal())
		}
		e.lines = slices.Concat(line(rt, "Authorization", credentials),
			line(rt, "X-Api-Key", []string{keys["good"].Reveal(), keys["both"].Reveal(), "x", ""}),
			line(rt, "Origin", origins), line(rt, "Referer", []string{"https://www.acme.example/x", "https://evil.example/",
				"about:blank"}),
			line(rt, "Access-Control-Request-Method", []string{"GET", "POST", "DELETE", "a,b", ""}))
		var first outcome
		var firstName string
		for name, ask := range opened {
			if strings.HasPrefix(name, "aws") && strings.Contains(e.target, "%") {
				continue
			}
			got := ask(t, e)
			if firstName == "" {
				first, firstName = got, name
				continue
			}
			if got.code != first.code || got.status != first.status || !slices.Equal(got.injected, first.injected) ||
				got.setsHeaders && first.setsHeaders && !slices.Equal(got.headers["Access-Control-Allow-Origin"],
					first.headers["Access-Control-Allow-Origin"]) {
				rt.Fatalf("%s %s%s, project %q, %q:\n%s says %d %s %q,\n%s says %d %s %q", e.method, e.host, e.target, e.project, e.lines,
					firstName, first.status, first.code, first.injected, name, got.status, got.code, got.injected)
			}
		}
	})
}

// TestHostsHaveOneCanonicalForm: a host in an origin and a host in a request are compared in the same form, with any
// case, dot or port.
func TestHostsHaveOneCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`([A-Za-z0-9_-]{1,5}\.){0,3}[A-Za-z][A-Za-z0-9_-]{0,5}\.?(:[1-9][0-9]{0,3})?|\[::[0-9A-F]{1,3}\]|127\.0\.0\.1`).Draw(t,
			"host")
		from, err := origin.Parse("https://" + host)
		if err != nil {
			return
		}
		if got, err := routing.CanonicalHost(host); err != nil || got != from.Host {
			t.Fatalf("%s is %s to routes (%v) and %s to allowlists", host, got, err, from.Host)
		}
		if again, err := routing.CanonicalHost(from.Host); err != nil || again != from.Host {
			t.Fatalf("%s is %s to routes, %v", from.Host, again, err)
		}
	})
}
