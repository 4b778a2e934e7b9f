package gateways

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Parts of requests that may be read differently. Each is one byte or sequence that some reader takes for another one,
// drops, or ends at.
var (
	segmentParts = []string{"secret", "report", "docs", "tree", "q", "t", "checkout", "x", "SECRET", "Report", "a", "", ".", "..",
		";", ";a", ";a=b", "..;", ".;", "%2e", "%2E%2e", "%2f", "/", "//", "\\", "%5c",
		"%00", "%09", "%0a", "%20", "+", ":", "::$DATA", "~1", "%25", "%2573", "%25%37%33", "%73", "%53", "%zz", "%", "%u0073",
		"%c0%af", "%c1%b3", "%ff", "%C5%BF", "%E2%84%AA", "%EF%BD%93", "%C2%AD", "|", "\"", "^",
		"{", "[", "]", "*", "%3b", "%3f", "%23", "#", "?", "@", "&", "=", "!", "'", "(", ",", "%2B", "%2c", "\xc3\xa9", "\xff", "\t", " "}
	nameParts = []string{"siteId", "tenant_id", "SITEID", "siteid", "tenant.id", "tenant id", "tenant+id", "tenant%20id",
		"tenant[id", "tenant-id", "%73iteId", "%2573iteId", "a", "", "+", "%20", "%09", "%0b", "%00", "[]", "[", "]", "[0]", "[x]",
		"[x][y]", "%5b%5d", "%5B", ".x", ".", "_", "?", "!", "%3f", "%26", "%3d", "%3b", ";", "#", "%23", "%zz", "%", "\xff",
		"%ff", "%EF%BB%BF", "%C5%BF", "\t", " "}
	valueParts = []string{"42", "43", "44", "", "+", "%20", "%00", "%34%32", "%2542", "%zz", "%", "%ff", "&", ";", "#", "?", "=",
		",", "%2c", "[]", "0", "4", "2", "\xff", "a", " ", "0x2a", "4.2e1", ".", "_", "-", "%2B", "%EF%BC%94", "%D9%A2", "%EF%BB%BF"}
	separators = []string{"&", "&", "&", "&", ";", "&&", "%26", "?", "&amp;", "#", "\x0c", ""}
	hosts      = []string{websiteHost, websiteHost, websiteHost, otherHost, "CDN.acme.example", websiteHost + ".",
		websiteHost + ":80", websiteHost + ":", websiteHost + ":/", websiteHost + ":x", websiteHost + "," + otherHost,
		websiteHost + " " + otherHost, otherHost + ":" + websiteHost, websiteHost + "/x", websiteHost + "#", websiteHost +
			"?", "x@" + websiteHost, "[::1]", "127.0.0.1", "", websiteHost + "%00", websiteHost + "%2e", "cdn%2eacme.example",
		"xn--" + websiteHost}
	overrides = []string{"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE",
		"X_HTTP_METHOD_OVERRIDE: DELETE", "X-Original-URL: /secret/x", "X-Rewrite-URL: /secret/x",
		"X-Forwarded-Host: " + otherHost, "X-Original-Host: " + otherHost, "Forwarded: host=" + otherHost, "X-Host: " +
			otherHost, "X-Forwarded-Path: /secret", "X-Forwarded-Prefix: /secret", "X-Forwarded-Uri: /secret"}
)

func some(t *rapid.T, what string, from []string, most int) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 1, most).Draw(t, what), "")
}

// spelled makes a request of such parts: mostly harmless ones, with a few that are not.
func spelled(t *rapid.T) spelling {
	s := spelling{Method: rapid.SampledFrom([]string{"GET", "GET", "GET", "POST", "HEAD", "DELETE"}).Draw(t, "method")}
	s.Host = websiteHost
	if rapid.IntRange(0, 9).Draw(t, "host") == 0 {
		s.Host = rapid.SampledFrom(hosts).Draw(t, "which")
	}
	base := rapid.SampledFrom([]string{"/secret/x", "/secret", "/report", "/report.php/x", "/docs/tree/y", "/docs/x", "/q/x",
		"/q/x", "/t/x", "/x", "/checkout", ""}).Draw(t, "base")
	if changes := rapid.IntRange(0, 3).Draw(t, "changes"); base == "" || changes > 0 {
		for range max(changes, 1) {
			at := rapid.IntRange(0, len(base)).Draw(t, "at")
			base = base[:at] + some(t, "part", segmentParts, 2) + base[at:]
		}
		if !strings.HasPrefix(base, "/") {
			base = "/" + base
		}
	}
	s.Target = base
	for i := range rapid.IntRange(0, 3).Draw(t, "parameters") {
		separator := "?"
		if i > 0 {
			separator = rapid.SampledFrom(separators).Draw(t, "separator")
		}
		name, value := rapid.SampledFrom([]string{"siteId", "siteId", "tenant_id", "a"}).Draw(t,
			"name"), rapid.SampledFrom([]string{"42", "43"}).Draw(t, "value")
		if rapid.Bool().Draw(t, "odd name") {
			name = some(t, "name", nameParts, 3)
		}
		if rapid.IntRange(0, 3).Draw(t, "odd value") == 0 {
			value = some(t, "value", valueParts, 3)
		}
		s.Target += separator + name + "=" + value
	}
	if rapid.IntRange(0, 9).Draw(t, "overridden") == 0 {
		s.Headers = append(s.Headers, rapid.SampledFrom(overrides).Draw(t, "override"))
	}
	return s
}

// TestGeneratedSpellings sends generated spellings through each gateway.
func TestGeneratedSpellings(t *testing.T) {
	readers := minding(startReaders(t))
	defer stillThere(t, readers)
	const batch = 10 // requests each time, of which there are 100: see -rapid.checks
	for _, g := range append([]gateway{own}, gateways...) {
		t.Run(g.name, func(t *testing.T) {
			c := newComparison(t, readers)
			front := &pool{address: g.start(t, c.world)}
			t.Cleanup(front.close)
			waitFor(t, front.address)
			passed := 0
			rapid.Check(t, func(t *rapid.T) {
				for range batch {
					s := spelled(t)
					got, err := c.compare(t.Context(), front, &s)
					if err != nil {
						t.Fatalf("%q: %v", s.raw("key"), err)
					}
					if len(got.differences) > 0 {
						t.Fatalf("%q\n%s", s.raw("key"), strings.Join(got.differences, "\n"))
					}
					if got.passed {
						passed++
					}
				}
			})
			if passed < batch {
				t.Errorf("only %d requests were allowed: nothing was read", passed)
			}
			t.Log(passed, "requests were allowed, and read")
		})
	}
}

// FuzzReaders looks for unknown spellings behind the reverse proxy, which forwards exactly what was decided on.
func FuzzReaders(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.method(), s.Host, s.Target)
	}
	c := newComparison(f, minding(startReaders(f)))
	front := &pool{address: startProxy(f, c.world)}
	f.Cleanup(front.close)
	f.Fuzz(func(t *testing.T, method, host, target string) {
		if strings.ContainsAny(method+host+target, "\r\n") || len(method)+len(host)+len(target) > 16<<10 || method == "" ||
			method == "CONNECT" {
			return
		}
		s := spelling{Method: method, Host: host, Target: target}
		got, err := c.compare(t.Context(), front, &s)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.differences) > 0 {
			t.Fatal(fmt.Sprintf("%q\n", s.raw("key")) + strings.Join(got.differences, "\n"))
		}
	})
}
