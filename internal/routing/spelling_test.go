package routing

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	for host, want := range map[string]string{
		"": "", "acme.com": "acme.com", "ACME.com": "acme.com", "acme.com.": "acme.com", "acme.com:8443": "acme.com",
		"acme.com.:65535": "acme.com",
		"localhost":       "localhost", "my_cdn": "my_cdn", "xn--mnchen-3ya.de": "xn--mnchen-3ya.de",
		"192.0.2.1:80": "192.0.2.1", "3com.example": "3com.example", "7f3a": "7f3a",
		"[::1]": "[::1]", "[::1]:80": "[::1]", "[0:0::1]": "[::1]", "[2001:DB8::1]": "[2001:db8::1]", label + "." +
			label + "." + label + ".abc": label + "." + label + "." + label + ".abc",

		".": "-", "..": "-", ":80": "-", "acme.com:": "-", "acme.com.:": "-", "[::1]:": "-", ":": "-",
		"acme.com..": "-", ".acme.com": "-", "a..b": "-", "acme.com:/evil": "-", "acme.com:80/evil": "-",
		"acme.com:\"": "-", `acme.com:80\evil`: "-",
		"acme.com:é.other": "-", "acme.com:,other": "-", "acme.com:x": "-", "acme.com:80:80": "-",
		"acme.com:65536": "-", "acme.com:000080": "-", "acme.com: 80": "-", "acme.com:+80": "-",
		"acme.com,other": "-", "acme.com other": "-", " acme.com": "-", "acme.com\t": "-", "user@acme.com": "-",
		"user:1@acme.com": "-", "acme%2ecom": "-", "münchen.de": "-", "\u212Acdn.com": "-",
		"127.1": "-", "0177.0.0.1": "-", "0x7f.1": "-", "2130706433": "-", "192.0.2.256": "-", "a.0x1": "-",
		"*.acme.com": "-", "acme.com/": "-", "acme.com?": "-", "acme.com#": "-",
		"[::1": "-", "::1": "-", "[::1]x": "-", "[::1]:x": "-", "[::1].": "-", "[acme.com]": "-", "[192.0.2.1]": "-",
		"[fe80::1%25eth0]": "-", "[fe80::1%eth0]": "-", "[]": "-", "[": "-",
		label + "a.com": "-", strings.Repeat("a.", 128): "-", "acme.com\x00": "-",
	} {
		got, err := CanonicalHost(host)
		if want == "-" && (got != "" || !errors.Is(err, ErrHost)) || want != "-" && (err != nil || got != want) {
			t.Errorf("%q: got %q, %v, want %q", host, got, err, want)
		}
	}
}

func TestReadings(t *testing.T) {
	generous, ignoring := Reading{Parameters: true}, Reading{IgnoreCase: true}
	for _, c := range []struct {
		reading   Reading
		raw, want string
	}{
		{generous, "/a;v=1/b", "/a;v=1/b"}, {generous, "/wiki/Acme_Inc.", "/wiki/Acme_Inc."},
		{generous, "/a%20/b", "/a /b"}, {generous, "/a...", "/a..."},
		{generous, "/a/..;/b", ""}, {generous, "/a/.;x/b", ""}, {generous, "/;x/b", ""}, {generous, "/..", ""},
		{generous, "/a%252e", ""}, {generous, "/A", "/A"},
		{ignoring, "/Secret/X", "/secret/x"}, {ignoring, "/%53ecret", "/secret"}, {ignoring, "/É", "/É"},
		{ignoring, "/é", "/É"}, {ignoring, "/\u212A", "/k"}, {ignoring, "/a;x", ""},
		{ignoring, "/SECRET~1", ""}, {ignoring, "/a/REPO~12.TXT/b", ""}, {ignoring, "/~1", "/~1"},
		{ignoring, "/notes~1.backup", "/notes~1.backup"}, {ignoring, "/verylongname~1", "/verylongname~1"},
	} {
		got, err := c.reading.Path(c.raw)
		if c.want == "" && !errors.Is(err, ErrAmbiguousPath) || c.want != "" && (err != nil || got != c.want) {
			t.Errorf("%+v of %s: %q, %v", c.reading, c.raw, got, err)
		}
	}
	if _, err := CanonicalPath("/" + strings.Repeat("%", MaxPath)); !errors.Is(err, ErrPathTooLong) {
		t.Errorf("a path that is too long: %v", err)
	}
}

// TestCaseIsIgnoredInPatternsAndPaths: patterns in upper case own paths in lower case, and vice versa.
func TestCaseIsIgnoredInPatternsAndPaths(t *testing.T) {
	m := mustCompile(t, Route{Paths: []string{"/Secret/*X/**", "/É\u212A"}})
	for raw, want := range map[string]bool{"/secret/ax": true, "/SECRET/AX/b": true, "/Secret/bx": true,
		"/secrets/ax": false, "/ék": true, "/Ék": true, "/EK": false} {
		path, err := Reading{IgnoreCase: true}.Path(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := m.Match(&Request{Path: path, IgnoreCase: true}); got != want {
			t.Errorf("%s, without case: %v", raw, got)
		}
		if _, got := m.Match(&Request{Path: raw}); got != (raw == "/Secret/bX" || raw == "/É\u212A") {
			t.Errorf("%s, with case: %v", raw, got)
		}
	}
}

// TestTrailingSlashIsOwnedAndNotGranted: the owner of a path also owns it with a slash at the end, and
// vice versa, with a lower rank than a route that names exactly that path. A permission is for exactly the path that it names.
func TestTrailingSlashIsOwnedAndNotGranted(t *testing.T) {
	for _, c := range []struct{ path, better, worse string }{
		{"/report/", "/report", "/**"}, {"/report/", "/report", "/report/**"}, {"/report/", "/report/", "/report"},
		{"/report", "/report", "/report/"},
		{"/report", "/report/", "/**"}, {"/report", "/report/**", "/report/"}, {"/report", "/report*", "/report/"},
		{"/report", "/rep*", "/*"},
		{"/a/x/", "/a/*", "/a/**"}, {"/a/x/", "/a/x/**", "/a/*"}, {"/a/x", "/a/*/", "/**"}, {"/a/x/", "/a/*/", "/a/*"},
	} {
		better, worse := mustCompile(t, Route{Paths: []string{c.better}}), mustCompile(t, Route{Paths: []string{c.worse}})
		one, ok := better.Match(&Request{Path: c.path})
		other, okToo := worse.Match(&Request{Path: c.path})
		if !ok || !okToo || one.Compare(other) <= 0 {
			t.Errorf("%s: %s (%v, %v) is not before %s (%v, %v)", c.path, c.better, one, ok, c.worse, other, okToo)
		}
	}
	for pattern, grants := range map[string]bool{"/a": false, "/a/": true, "/*": false, "/a/**": true, "/**": true} {
		if m := mustCompile(t, Route{Paths: []string{pattern}}); m.Grants(&Request{Path: "/a/"}) != grants {
			t.Errorf("%s and /a/: %v", pattern, !grants)
		}
	}
	if m := mustCompile(t, Route{Paths: []string{"/a/"}}); m.Grants(&Request{Path: "/a"}) {
		t.Error("/a/ grants /a")
	}
}

// TestAmbiguousQueriesDoNotMatch: whether a route with a query matches must not depend on who interprets the query.
func TestAmbiguousQueriesDoNotMatch(t *testing.T) {
	site := func(name string) Route { return Route{Query: map[string][]string{name: {"42", "44"}}} }
	for raw, want := range map[string]outcome{
		"siteId=42": matches, "siteId=42&siteId=44": matches, "siteId=42&x[]=1&y.z=2&+w=3": matches,
		"site%49d=42": matches, "siteId=42&Site=1&siteId2=1": matches, "siteId=42&x=%zz": doubtful,
		"": differs, "siteId=43": differs, "siteId=43&siteId=45": differs, "x=a;b": differs, "x=%zz": differs,
		"site=42": differs, "x[siteId]=42": differs, "x=siteId": differs, "x.siteId=42": differs, "siteIds.x=42": differs,
		"siteId=42&siteId=43": doubtful, "siteId=43&siteId=42": doubtful, "siteId=42;x": doubtful,
		"siteId=42&a=1;siteId=43": doubtful, "siteId=43;siteId=42": doubtful, "siteId=42&siteId": doubtful,
		"+siteId=42": doubtful, "%20siteId=43": doubtful, "siteId+=42": doubtful, "%09siteId=42": doubtful,
		"%E3%80%80siteId=42": doubtful, "%EF%BB%BFsiteId=42": doubtful, "?siteId=42": doubtful, "%2BsiteId=42": doubtful,
		"siteId[]=42": doubtful, "siteId[0]=43": doubtful, "siteId%5B%5D=43": doubtful, "siteId%5b=43": doubtful,
		"[siteId]=42": doubtful, "[]siteId=42": doubtful, "siteId]=42": doubtful, "siteId+[]=42": doubtful,
		"siteId[][x]=42": doubtful, "siteId.x=42": doubtful, "siteId%2ex=42": doubtful, ".siteId=42": doubtful, "siteId=42&%2esiteId=43": doubtful,
		"siteId[]%26=42": doubtful, "siteId[x%3By]=42": doubtful, "siteId.%26=42": doubtful, "x%26siteId%26=42": doubtful,
		"siteId%3D42": doubtful, "x%00%26siteId=42": doubtful, "%00siteId=42": doubtful, "x=siteId%3D42&xsiteId%26=1": differs,
		"siteid=42": doubtful, "SITEID=43": doubtful, "\u017FiteId=42": doubtful, "siteId%00=42": doubtful,
		"siteId%00x=42": doubtful, "%2573iteId=42": doubtful, "%252573iteId=42": doubtful,
		"amp;siteId=42": doubtful, "amp%3BsiteId=42": doubtful,
		"siteId=42%00": doubtful, "siteId=42%20": doubtful, "siteId=+42": doubtful, "siteId=42%00x": doubtful,
		"siteId=%zz": doubtful, "s%69teId=%34%32&si%74eId=43": doubtful,
		strings.Repeat("x=1&", maxQuery/4+1): doubtful,
	} {
		if got := outcomeOf(t, site("siteId"), raw); got != want {
			t.Errorf("%s: %d, want %d", raw, got, want)
		}
	}
	for raw, want := range map[string]outcome{
		"siteId=042": doubtful, "siteId=42abc": doubtful, "siteId=0x2a": doubtful, "siteId=4_2": doubtful, "siteId=42.0": doubtful,
		"siteId=4.2e1": doubtful, "siteId=%2B42": doubtful, "siteId=+-42": doubtful, "siteId=.42e2": doubtful, "siteId=052": doubtful,
		"siteId=0b101010": doubtful, "siteId=00": doubtful, "siteId=43+x": doubtful, "siteId=%0B%0C42": doubtful,
		"siteId=%EF%BC%94%EF%BC%92": doubtful, "siteId=%D9%A4%D9%A2": doubtful, "siteId=%F0%9D%9F%92%F0%9D%9F%90": doubtful,
		"siteId=%E2%81%B4%C2%B2": doubtful, "siteId=%E3%8A%B7": doubtful, "siteId=%EF%BB%BF42": doubtful, "siteId=%FF42": doubtful,
		"siteId=%E2%88%9242": doubtful, "siteId=%EF%BC%8E42": doubtful, "siteId=%2534%2532": doubtful, "siteId=%252534%252532": doubtful,
		"siteId=0": differs, "siteId=+43+": differs, "siteId=430": differs, "siteId=99999999999999999999": differs,
		"siteId=abc": differs, "siteId=x42": differs, "siteId=-": differs, "siteId=": differs, "siteId=%25": differs,
		"siteId=%2535%2536": differs, "x=042": differs, "siteId=e42": differs,
	} {
		if got := outcomeOf(t, site("siteId"), raw); got != want {
			t.Errorf("%s: %d, want %d", raw, got, want)
		}
	}
	named := Route{Query: map[string][]string{"siteId": {"SiteX", "m\u00fcnchen"}}}
	for raw, want := range map[string]outcome{
		"siteId=SiteX": matches, "siteId=sitex": doubtful, "siteId=SITEX": doubtful, "siteId=M%C3%9CNCHEN": doubtful,
		"siteId=%C5%BFitex": doubtful, "siteId=%EF%BC%B3itex": doubtful, "siteId=sitex+": doubtful, "siteId=%2553iteX": doubtful,
		"siteId=sitex2": differs, "siteId=site": differs, "siteId=042": differs, "siteId=4x": differs, "siteId=munchen": differs,
	} {
		if got := outcomeOf(t, named, raw); got != want {
			t.Errorf("%s: %d, want %d", raw, got, want)
		}
	}
	for raw, want := range map[string]outcome{
		"site.id=42": matches, "site_id=42": doubtful, "site+id=42": doubtful, "site[id=42": doubtful,
		"site%20id=42": doubtful, "Site.Id=42": doubtful, "site.id[]=42": doubtful, "site_id[x].y=42": doubtful, "site-id=42": differs,
	} {
		if got := outcomeOf(t, site("site.id"), raw); got != want {
			t.Errorf("%s: %d, want %d", raw, got, want)
		}
	}
	for raw, want := range map[string]outcome{
		"filter[site]=42": matches, "filter%5Bsite%5D=42": matches, "filter[site]=42&filter=1": doubtful,
		"filter[site]=42&filter[]=1": doubtful, "filter[site]=42&filter[site][]=43": doubtful,
		"filter[site]=42&filter[other]=1": matches, "filter[other]=42": differs, "Filter[site]=42": doubtful,
	} {
		if got := outcomeOf(t, site("filter[site]"), raw); got != want {
			t.Errorf("%s: %d, want %d", raw, got, want)
		}
	}
}

// TestListedSpellingDecides: a spelling that a route of the same rank lists is that route's, and one that a less specific
// route lists is in doubt.
func TestListedSpellingDecides(t *testing.T) {
	query := func(value string) map[string][]string { return map[string][]string{"id": {value}} }
	for _, c := range [][2]string{{"042", "42"}, {"abC", "ABc"}} {
		request := &Request{Path: "/a/x", RawQuery: "id=" + c[0]}
		listed, other := mustCompile(t, Route{Query: query(c[0])}), mustCompile(t, Route{Query: query(c[1])})
		closer := mustCompile(t, Route{Paths: []string{"/a/**"}, Query: query(c[1])})
		twice := mustCompile(t, Route{Query: map[string][]string{"id": {c[0]}, "x": {"1"}}})
		rank, ok := listed.Match(request)
		_, _ = other.Match(request)
		doubt, doubted := request.TakeDoubt()
		if !ok || !doubted || doubt.Compare(rank) >= 0 || doubt.Compare(Rank{}) <= 0 {
			t.Errorf("%s: %v %v, and %v %v of the same rank", c[0], rank, ok, doubt, doubted)
		}
		_, _ = closer.Match(request)
		if doubt, _ = request.TakeDoubt(); doubt.Compare(rank) <= 0 {
			t.Errorf("%s: %v, and %v of a closer route", c[0], rank, doubt)
		}
		request.RawQuery += "&x=1"
		_, _ = other.Match(request)
		doubt, _ = request.TakeDoubt()
		if rank, ok = twice.Match(request); !ok || doubt.Compare(rank) >= 0 {
			t.Errorf("%s: %v %v, and %v of fewer parameters", c[0], rank, ok, doubt)
		}
	}
}

func outcomeOf(t *testing.T, route Route, raw string) outcome {
	t.Helper()
	m := mustCompile(t, route)
	request := &Request{RawQuery: raw}
	_, ok := m.Match(request)
	_, doubted := request.TakeDoubt()
	switch {
	case ok && doubted:
		t.Errorf("%s matches, in doubt", raw)
		return doubtful
	case ok:
		return matches
	case doubted:
		if m.Grants(request) {
			t.Errorf("%s is granted, in doubt", raw)
		}
		return doubtful
	default:
		return differs
	}
}

// TestMatchedQueriesAreAllowedForEveryReader has small models of how others interpret queries: all of them find an allowed
// value, first or last, in every query that matches.
func TestMatchedQueriesAreAllowedForEveryReader(t *testing.T) {
	m := mustCompile(t, Route{Query: map[string][]string{"id": {"1", "2"}}})
	readers := map[string]func(string) string{
		"PHP": func(name string) string {
			name = strings.TrimLeft(name, " ")
			name, _, _ = strings.Cut(name, "[")
			return strings.NewReplacer(" ", "_", ".", "_").Replace(name)
		},
		"Rack": func(name string) string {
			name = strings.TrimLeft(name, "[]")
			if end := strings.IndexAny(name, "[]"); end >= 0 {
				name = name[:end]
			}
			return name
		},
		"ASP.NET": strings.ToLower,
		"C":       func(name string) string { name, _, _ = strings.Cut(name, "\x00"); return name },
		"Go":      func(name string) string { return name },
	}
	pieces := []string{"i", "d", "I", "D", "id", "=", "1", "2", "3", "&", "&", "[", "]", "[]", "+", "%20", "%5B", "%00",
		".", "_", "x", "%69", "%2569"}
	rapid.Check(t, func(t *rapid.T) {
		raw := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "query"), "")
		if !m.Grants(&Request{RawQuery: raw}) {
			return
		}
		for reader, fold := range readers {
			var values []string
			for pair := range strings.SplitSeq(raw, "&") {
				name, value, _ := strings.Cut(pair, "=")
				name, errName := url.QueryUnescape(name)
				value, errValue := url.QueryUnescape(value)
				if errName == nil && errValue == nil && fold(name) == "id" {
					values = append(values, value)
				}
			}
			if len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return v != "1" && v != "2" }) {
				t.Fatalf("%s matches, and %s reads %q", raw, reader, values)
			}
		}
	})
}

func TestCheckQuery(t *testing.T) {
	for c := range 256 {
		want := c > ' ' && c < 0x7f && c != '#'
		for _, raw := range []string{string([]byte{byte(c)}), "a=1&b" + string([]byte{byte(c)}) + "c"} {
			if CheckQuery(raw) != want {
				t.Errorf("%q: %v", raw, !want)
			}
		}
	}
	if !CheckQuery("") {
		t.Error("no query is refused")
	}
}
