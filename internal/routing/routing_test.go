package routing

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustCompile(t testing.TB, route Route) Matcher {
	t.Helper()
	m, err := Compile(route)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatch(t *testing.T) {
	q := func(name string, values ...string) map[string][]string { return map[string][]string{name: values} }
	paths := func(p ...string) Route { return Route{Paths: p} }
	for _, c := range []struct {
		route   Route
		request string // METHOD host path?query
		want    bool
	}{
		{Route{Methods: []string{"GET"}}, "GET acme.com /", true},
		{Route{Methods: []string{"GET"}}, "get acme.com /", false},
		{Route{Methods: []string{"GET"}}, "HEAD acme.com /", false},
		{Route{Methods: []string{"GET", "HEAD"}}, "HEAD acme.com /", true},

		{Route{Hosts: []string{"cdn.acme.com"}}, "GET cdn.acme.com /", true},
		{Route{Hosts: []string{"cdn.acme.com"}}, "GET CDN.ACME.com.:8443 /", true},
		{Route{Hosts: []string{"CDN.acme.com."}}, "GET cdn.acme.com /", true},
		{Route{Hosts: []string{"cdn.acme.com"}}, "GET x.cdn.acme.com /", false},
		{Route{Hosts: []string{"kcdn.acme.com"}}, "GET \u212Acdn.acme.com /", false},
		{Route{Hosts: []string{"*.acme.com"}}, "GET a.b.acme.com /", true},
		{Route{Hosts: []string{"*.acme.com"}}, "GET acme.com /", false},
		{Route{Hosts: []string{"*.acme.com"}}, "GET .acme.com /", false},
		{Route{Hosts: []string{"*.acme.com"}}, "GET evilacme.com /", false},
		{Route{Hosts: []string{"[::1]"}}, "GET [::1]:8080 /", true},

		{paths("/api/scenes/mkt-*"), "GET h /api/scenes/mkt-1", true},
		{paths("/api/scenes/mkt-*"), "GET h /api/scenes/mkt-", true},
		{paths("/api/scenes/mkt-*"), "GET h /api/scenes/mkt-1/x", false},
		{paths("/api/scenes/mkt-*"), "GET h /api/scenes/mkt-1/", true},
		{paths("/api/*/x"), "GET h /api/a/x", true},
		{paths("/api/*/x"), "GET h /api//x", false},
		{paths("/api/*/x"), "GET h /api/a/b/x", false},
		{paths("/a*b*c"), "GET h /abbbc", true},
		{paths("/a*b*c"), "GET h /abcbd", false},
		{paths("/api/**"), "GET h /api", true},
		{paths("/api/**"), "GET h /api/", true},
		{paths("/api/**"), "GET h /api/a/b", true},
		{paths("/api/**"), "GET h /apis", false},
		{paths("/**"), "GET h /", true},
		{paths("/**"), "GET h /a/b", true},
		{paths("/"), "GET h /", true},
		{paths("/"), "GET h /a", false},
		{paths("/a/"), "GET h /a", true},
		{paths("/a/"), "GET h /a/b", false},
		{paths("/a"), "GET h /a/", true},
		{paths("/a"), "GET h /a/b", false},
		{paths("/a/*"), "GET h /a/b/", true},
		{paths("/a/*"), "GET h /a/", false},
		{paths("/a/*/"), "GET h /a/b", true},
		{paths("/a*a"), "GET h /a", false},
		{paths("/ab*ba"), "GET h /aba", false},
		{paths("/a*b*b"), "GET h /ab", false},
		{paths("/*aab"), "GET h /aaab", true},
		{paths("/a/"), "GET h /a/", true},
		{paths("/t-*/media/**"), "GET h /t-1/media/a/b.png", true},
		{paths("/a", "/b"), "GET h /b", true},
		{paths("/média/*"), "GET h /média/x", true},

		{Route{Query: q("siteId", "42")}, "GET h /?siteId=42", true},
		{Route{Query: q("siteId", "42")}, "GET h /?a=1&siteId=42&b", true},
		{Route{Query: q("siteId", "42")}, "GET h /?siteId=%34%32", true},
		{Route{Query: q("siteId", "42")}, "GET h /?site%49d=42", true},
		{Route{Query: q("siteId", "4 2")}, "GET h /?siteId=4+2", true},
		{Route{Query: q("siteId", "42", "43")}, "GET h /?siteId=43&siteId=42", true},
		{Route{Query: q("siteId", "")}, "GET h /?siteId", true},
		{Route{Query: q("siteId", "42")}, "GET h /", false},
		{Route{Query: q("siteId", "42")}, "GET h /?siteId=43", false},
		{Route{Query: q("siteId", "42")}, "GET h /?siteid=42", false},
		{Route{Query: q("siteId", "42")}, "GET h /?siteId=42&siteId=43", false},
		{Route{Query: q("siteId", "42")}, "GET h /?siteId=42&site%49d=43", false},
		{Route{Query: q("siteId", "42")}, "GET h /?siteId=42&x=1;siteId=43", false},
		{Route{Query: q("siteId", "42")}, "GET h /?siteId=42&x=%zz", false},
		{Route{Query: map[string][]string{"a": {"1"}, "b": {"2"}}}, "GET h /?b=2&a=1", true},
		{Route{Query: map[string][]string{"a": {"1"}, "b": {"2"}}}, "GET h /?a=1", false},

		{Route{Methods: []string{"POST"}, Hosts: []string{"h"}, Paths: []string{"/x"}, Query: q("a", "1")}, "POST h /x?a=1", true},
		{Route{Methods: []string{"POST"}, Hosts: []string{"h"}, Paths: []string{"/x"}, Query: q("a", "1")}, "GET h /x?a=1", false},
		{Route{Methods: []string{"POST"}, Hosts: []string{"h"}, Paths: []string{"/x"}, Query: q("a", "1")}, "POST g /x?a=1", false},
		{Route{Methods: []string{"POST"}, Hosts: []string{"h"}, Paths: []string{"/x"}, Query: q("a", "1")}, "POST h /y?a=1", false},
	} {
		m := mustCompile(t, c.route)
		if _, got := m.Match(parseRequest(c.request)); got != c.want {
			t.Errorf("%+v on %s: %v", c.route, c.request, got)
		}
	}
	if _, ok := new(Matcher).Match(&Request{}); ok {
		t.Error("the zero Matcher matches")
	}
}

func parseRequest(s string) *Request {
	fields := strings.SplitN(s, " ", 3)
	path, query, _ := strings.Cut(fields[2], "?")
	host, err := CanonicalHost(fields[1])
	if err != nil {
		host = "invalid"
	}
	return &Request{Method: fields[0], Host: host, Path: path, RawQuery: query}
}

func TestRankOrder(t *testing.T) {
	request := parseRequest("GET a.cdn.acme.com /api/scenes/mkt-1?a=1&b=2")
	q := map[string][]string{"a": {"1"}}
	ordered := []Route{ // the most specific first
		{Hosts: []string{"a.cdn.acme.com"}},
		{Hosts: []string{"*.cdn.acme.com"}, Paths: []string{"/**"}},
		{Hosts: []string{"*.acme.com"}, Paths: []string{"/api/scenes/mkt-1"}},
		{Hosts: []string{"*.acme.com"}},
		{Paths: []string{"/api/scenes/mkt-1"}},
		{Paths: []string{"/api/scenes/mkt-1*"}},
		{Paths: []string{"/api/scenes/mkt-*", "/api/**"}},
		{Paths: []string{"/api/scenes/*"}},
		{Paths: []string{"/*/scenes/*"}},
		{Paths: []string{"/api/**"}, Query: map[string][]string{"a": {"1"}, "b": {"2"}}},
		{Paths: []string{"/api/**"}, Query: q},
		{Paths: []string{"/api/**"}},
		{Paths: []string{"/**"}},
		{Query: q},
		{Methods: []string{"GET"}},
	}
	var last Rank
	for i, route := range ordered {
		m := mustCompile(t, route)
		rank, ok := m.Match(request)
		if !ok {
			t.Fatalf("%+v does not match", route)
		}
		if i > 0 && last.Compare(rank) <= 0 {
			t.Errorf("%+v is not behind %+v", route, ordered[i-1])
		}
		last = rank
	}
}

func TestCompileErrorsNameTheFieldAndAHint(t *testing.T) {
	for _, c := range []struct {
		route Route
		words []string
	}{
		{Route{}, []string{"methods, hosts, paths or query"}},
		{Route{Methods: []string{"GET", "post"}}, []string{"methods[1]", "POST"}},
		{Route{Methods: []string{""}}, []string{"methods[0]", "GET"}},
		{Route{Hosts: []string{""}}, []string{"hosts[0]", "cdn.acme.com"}},
		{Route{Hosts: []string{"*"}}, []string{"hosts[0]", "*.acme.com"}},
		{Route{Hosts: []string{"*.*.com"}}, []string{"hosts[0]", "*.acme.com"}},
		{Route{Hosts: []string{"acme.com:80"}}, []string{"hosts[0]", "port"}},
		{Route{Hosts: []string{"https://acme.com"}}, []string{"hosts[0]", "scheme"}},
		{Route{Hosts: []string{"a..b"}}, []string{"hosts[0]", "dots"}},
		{Route{Hosts: []string{"münchen.de"}}, []string{"hosts[0]", "punycode"}},
		{Route{Paths: []string{""}}, []string{"paths[0]", "'/'"}},
		{Route{Paths: []string{"/ok", "api"}}, []string{"paths[1]", "'/'"}},
		{Route{Paths: []string{"/a/**/b"}}, []string{"paths[0]", "/api/**"}},
		{Route{Paths: []string{"/a**"}}, []string{"paths[0]", "/api/**"}},
		{Route{Paths: []string{"/a?b"}}, []string{"paths[0]", "query"}},
		{Route{Paths: []string{"/a%20b"}}, []string{"paths[0]", "percent"}},
		{Route{Paths: []string{"/a//b"}}, []string{"paths[0]", "empty segment"}},
		{Route{Paths: []string{"/a/../b"}}, []string{"paths[0]", "'..'"}},
		{Route{Paths: []string{`/a\b`}}, []string{"paths[0]", "backslash"}},
		{Route{Paths: []string{"/\xff"}}, []string{"paths[0]", "UTF-8"}},
		{Route{Query: map[string][]string{"": {"1"}}}, []string{"query", "name"}},
		{Route{Query: map[string][]string{"a": {}}}, []string{"query[a]", "values"}},
	} {
		_, err := Compile(c.route)
		for _, word := range c.words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%+v: got %v, want a word about %q", c.route, err, word)
			}
		}
	}
}

func TestCanonicalPath(t *testing.T) {
	for raw, want := range map[string]string{
		"/":                                  "/",
		"/a/b":                               "/a/b",
		"/a/b/":                              "/a/b/",
		"/a%20b":                             "/a b",
		"/%61":                               "/a",
		"/caf%C3%A9":                         "/café",
		"/café":                              "/café",
		"/a.b/..c/.d":                        "/a.b/..c/.d",
		"/a.b/..c/...":                       "",
		"/.well-known/x":                     "/.well-known/x",
		"/a;v=1/b":                           "",
		"/a%3bv=1/b":                         "",
		"/a;":                                "",
		"/;x/b":                              "",
		"/a./b":                              "",
		"/a.":                                "",
		"/a%2e":                              "",
		"/a%20/b":                            "",
		"/a /b":                              "",
		"/ a":                                "/ a",
		"/a::$DATA":                          "",
		"/a:$i30:$INDEX_ALLOCATION/b":        "",
		"/v1/a:verb":                         "/v1/a:verb",
		"/a%ef%bc%8fb":                       "",
		"/a∕b":                               "",
		"/．．/b":                              "",
		"/a．":                                "",
		"/a　/b":                              "",
		"/第１．２版.pdf":                         "/第１．２版.pdf",
		"/資料（最終）":                            "/資料（最終）",
		"/a%c2%85":                           "",
		"/a b":                               "",
		"/SECRET~1/b":                        "/SECRET~1/b",
		"/%3F%23":                            "/?#",
		"/*":                                 "/*",
		"":                                   "",
		"a":                                  "",
		"*":                                  "",
		"https://acme.com/":                  "",
		"//":                                 "",
		"//a":                                "",
		"/a//b":                              "",
		"/a//":                               "",
		"/.":                                 "",
		"/..":                                "",
		"/a/./b":                             "",
		"/a/../b":                            "",
		"/a/..":                              "",
		"/a/%2e%2e/b":                        "",
		"/a/.%2E/b":                          "",
		"/a/..;/b":                           "",
		"/a/..;x=1/b":                        "",
		"/a%2fb":                             "",
		"/a%2Fb":                             "",
		"/a%5cb":                             "",
		`/a\b`:                               "",
		"/a%252fb":                           "",
		"/a%25":                              "/a%",
		"/100%25.pdf":                        "/100%.pdf",
		"/a%25zz":                            "/a%zz",
		"/a%2541":                            "",
		"/a%25%34%31":                        "",
		"/a%25u002f":                         "",
		"/a%25u00":                           "/a%u00",
		"/" + strings.Repeat("a", MaxPath-1): "/" + strings.Repeat("a", MaxPath-1),
		"/a%00":                              "",
		"/a\x00":                             "",
		"/a%0d%0ab":                          "",
		"/a%7f":                              "",
		"/a%":                                "",
		"/a%2":                               "",
		"/a%zz":                              "",
		"/%ff":                               "",
		"/%c0%af":                            "",
		"/\xc0\xaf":                          "",
		"/a?b":                               "",
		"/a#b":                               "",
		"/%ed%a0%80":                         "",
		"/a/" + "%2e" + "%2e%2fb":            "",
	} {
		got, err := CanonicalPath(raw)
		switch {
		case want == "" && !errors.Is(err, ErrAmbiguousPath):
			t.Errorf("%q: got %q, %v, want ErrAmbiguousPath", raw, got, err)
		case want != "" && (err != nil || got != want):
			t.Errorf("%q: got %q, %v, want %q", raw, got, err, want)
		}
	}
}

func TestTies(t *testing.T) {
	q := func(name string, values ...string) map[string][]string { return map[string][]string{name: values} }
	paths := func(p ...string) Route { return Route{Paths: p} }
	for _, c := range []struct {
		a, b Route
		want bool
	}{
		{paths("/a"), paths("/a"), true},
		{paths("/a"), paths("/b"), false},
		{paths("/a/*"), paths("/a/**"), false},
		{paths("/a*"), paths("/*a"), true},
		{paths("/x/a*"), paths("/y/a*"), false},
		{paths("/a*", "/a*b"), paths("/*b"), false}, // where both match, a's second is better
		{paths("/a*c"), paths("/ab*"), true},
		{paths("/ab*"), paths("/*bc"), true},
		{paths("/a/*/c"), paths("/a/b/*"), true},
		{paths("/a/*/c"), paths("/a/b/*/d"), false},
		{paths("/**"), paths("/**"), true},
		{paths("/**"), Route{Hosts: []string{"h"}}, false},
		{Route{Hosts: []string{"h"}, Paths: []string{"/a"}}, paths("/a"), false},
		{Route{Hosts: []string{"*.a.com"}}, Route{Hosts: []string{"*.b.a.com"}}, false},
		{Route{Hosts: []string{"*.a.com"}}, Route{Hosts: []string{"*.a.com"}}, true},
		{Route{Hosts: []string{"x.a.com"}}, Route{Hosts: []string{"X.A.com."}}, true},
		{Route{Methods: []string{"GET"}, Paths: []string{"/a"}}, Route{Methods: []string{"POST"}, Paths: []string{"/a"}}, false},
		{Route{Methods: []string{"GET"}, Paths: []string{"/a"}}, paths("/a"), true},
		{Route{Query: q("a", "1")}, Route{Query: q("a", "1", "2")}, true},
		{Route{Query: q("a", "1")}, Route{Query: q("a", "2")}, false},
		{Route{Query: q("a", "1")}, Route{Query: q("b", "2")}, true},
		{Route{Query: q("a", "1"), Paths: []string{"/a"}}, paths("/a"), false},
	} {
		a, b := mustCompile(t, c.a), mustCompile(t, c.b)
		if got := Ties(&a, &b); got != c.want {
			t.Errorf("%+v and %+v: %v", c.a, c.b, got)
		}
		if got := Ties(&b, &a); got != c.want {
			t.Errorf("%+v and %+v, turned around: %v", c.a, c.b, got)
		}
	}
}

// drawPath draws patterns from an alphabet so small that they often match the same path. Files are not so deep
// that the paths below them are missing in the small world.
func drawPath(t *rapid.T, label string) string {
	return rapid.StringMatching(`(/(\*|a|b|a\*|\*b|a\*b|ab|a\.b)){0,3}(/\*\*|/[ab*]/?)|(/(\*|a|a\.b)){0,1}/(a\.b|\*\.b|a\.\*)/?`).Draw(t,
		label)
}

func drawRoute(t *rapid.T, label string) Route {
	hosts := rapid.SliceOfN(rapid.SampledFrom([]string{"a.x", "b.x", "*.x", "*.a.x", "a.a.x"}), 0, 2).Draw(t, label+" hosts")
	paths := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawPath(t, "path") }), 0, 3).Draw(t, label+" paths")
	methods := rapid.SliceOfN(rapid.SampledFrom([]string{"GET", "POST"}), 0, 1).Draw(t, label+" methods")
	query := rapid.MapOfN(rapid.SampledFrom([]string{"p", "q"}),
		rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2"}), 1, 2), 0, 2).Draw(t, label+" query")
	return Route{Methods: methods, Hosts: hosts, Paths: paths, Query: query}
}

// TestMatchAgreesWithRegexp compares with an independent interpretation of the patterns, for owners,
// who also own another form of a path, and for grants.
func TestMatchAgreesWithRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := drawPath(t, "pattern")
		path := rapid.StringMatching(`(/(a|b|ab|c|acb|aab|a\.b|c\.b)){0,4}/?`).Draw(t, "path")
		m, err := Compile(Route{Paths: []string{pattern}})
		if err != nil || path == "" {
			return
		}
		granted := regexp.MustCompile(toRegexp(pattern)).MatchString(path)
		if got := m.Grants(&Request{Path: path}); got != granted {
			t.Fatalf("%s grants %s: %v", pattern, path, got)
		}
		bare := strings.TrimSuffix(pattern, "/")
		if file := regexp.MustCompile(`\.[^/]+$`).MatchString(bare) && !strings.HasSuffix(bare, "/**"); file &&
			regexp.MustCompile(toRegexp(bare+"/**")).MatchString(path) {
			granted = true // grants do not matter for an owner
		}
		owned := granted || !strings.HasSuffix(pattern, "/**") &&
			regexp.MustCompile(toRegexp(strings.TrimSuffix(pattern, "/"))).MatchString(strings.TrimSuffix(path, "/"))
		if _, got := m.Match(&Request{Path: path}); got != owned {
			t.Fatalf("%s owns %s: %v", pattern, path, got)
		}
	})
}

func toRegexp(pattern string) string {
	base, subtree := strings.CutSuffix(pattern, "/**")
	var out strings.Builder
	out.WriteString("^")
	for i, segment := range strings.Split(base, "/") {
		if i > 0 {
			out.WriteString("/")
		}
		if segment == "*" {
			out.WriteString("[^/]+")
			continue
		}
		out.WriteString(strings.ReplaceAll(regexp.QuoteMeta(segment), `\*`, "[^/]*"))
	}
	if subtree {
		out.WriteString("(/.*)?")
	}
	return out.String() + "$"
}

func TestMatchDoesNotAllocate(t *testing.T) {
	m := mustCompile(t, Route{Methods: []string{"GET"}, Hosts: []string{"*.acme.com"},
		Paths: []string{"/api/scenes/mkt-*"}, Query: map[string][]string{"siteId": {"42"}}})
	request := parseRequest("GET cdn.acme.com:8443 /api/scenes/mkt-1?x=1&siteId=42")
	if n := testing.AllocsPerRun(100, func() {
		if host, err := CanonicalHost("cdn.acme.com:8443"); err == nil {
			request.Host = host
		}
		if path, err := CanonicalPath("/api/scenes/mkt-1"); err == nil {
			request.Path = path
		}
		if _, ok := m.Match(request); !ok {
			t.Fatal("no match")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add("GET", "*.acme.com", "/api/*", "/api/**", "a", "1", "GET", "x.acme.com", "/api/x", "a=1")
	f.Add("", "", "/a*b", "/*b", "", "", "POST", "h:80", "/ab", "")
	f.Fuzz(func(t *testing.T, method, host, path, otherPath, name, value, requestMethod, requestHost, requestPath, rawQuery string) {
		route := func(path string) Route {
			r := Route{Paths: []string{path}}
			if method != "" {
				r.Methods = []string{method}
			}
			if host != "" {
				r.Hosts = []string{host}
			}
			if name != "" {
				r.Query = map[string][]string{name: {value}}
			}
			return r
		}
		a, errA := Compile(route(path))
		b, errB := Compile(route(otherPath))
		if errA != nil || errB != nil {
			return
		}
		if !Ties(&a, &a) {
			// A route ties with itself wherever it matches at all.
			t.Fatalf("%+v does not tie with itself", route(path))
		}
		if Ties(&a, &b) != Ties(&b, &a) {
			t.Fatal("ties are not symmetric")
		}
		canonical, err := CanonicalPath(requestPath)
		if err != nil {
			return
		}
		canonicalHost, err := CanonicalHost(requestHost)
		if err != nil {
			return
		}
		if again, err := CanonicalHost(canonicalHost); err != nil || again != canonicalHost {
			t.Fatalf("%q is canonically %q, and that %q, %v", requestHost, canonicalHost, again, err)
		}
		request := &Request{Method: requestMethod, Host: canonicalHost, Path: canonical, RawQuery: rawQuery}
		if a.Grants(request) {
			if _, owned := a.Match(request); !owned {
				t.Fatalf("%+v grants what it does not own: %+v", route(path), request)
			}
		}
		rankA, okA := a.Match(request)
		rankB, okB := b.Match(request)
		if okA && okB && rankA == rankB && !Ties(&a, &b) {
			t.Fatalf("%+v and %+v tie on %+v", route(path), route(otherPath), request)
		}
	})
}

func FuzzCanonicalPath(f *testing.F) {
	for _, seed := range []string{"/a/b", "/a%20b", "/%2e%2e/", "/a%252f", "/é", "//", "/a/..;x/b", "/a%25b",
		"/a%25%34%31", "/a%25u0041", "/a./b", "/a%20/b", "/a;x", "/a::$DATA", "/．．/b", "/a／b", "/a%c2%85"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := CanonicalPath(raw)
		if err != nil {
			if path != "" || !errors.Is(err, ErrAmbiguousPath) && (!errors.Is(err, ErrPathTooLong) || len(raw) <= MaxPath) {
				t.Fatalf("%q: %q, %v", raw, path, err)
			}
			return
		}
		if path[0] != '/' || strings.ContainsAny(path, ";\\\x00\r\n") || strings.Contains(path, "//") || strings.Contains(path, ":$") {
			t.Fatalf("%q is canonically %q", raw, path)
		}
		for segment := range strings.SplitSeq(strings.TrimSuffix(path[1:], "/"), "/") {
			if strings.HasSuffix(segment, ".") || strings.HasSuffix(segment, " ") {
				t.Fatalf("%q is canonically %q", raw, path)
			}
		}
		if again := decodeLeniently(path); again != path {
			t.Fatalf("%q is canonically %q, and decoded again %q", raw, path, again)
		}
		if _, err := (Reading{Parameters: true}).Path(raw); err != nil {
			t.Fatalf("%q is refused only where it is read generously: %v", raw, err)
		}
		folded, err := Reading{IgnoreCase: true}.Path(raw)
		if err == nil && foldCase(folded) != folded {
			t.Fatalf("%q is %q without case, and that %q", raw, folded, foldCase(folded))
		}
		if !strings.ContainsAny(path, "?#%") {
			if again, err := CanonicalPath(path); err != nil || again != path {
				t.Fatalf("%q is canonically %q, and that %q, %v", raw, path, again, err)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	m := mustCompile(b, Route{Hosts: []string{"*.acme.com"}, Paths: []string{"/api/scenes/mkt-*"}})
	request := parseRequest("GET cdn.acme.com /api/scenes/mkt-1")
	b.ReportAllocs()
	for b.Loop() {
		m.Match(request)
	}
}

func BenchmarkCanonicalPath(b *testing.B) {
	for name, raw := range map[string]string{"plain": "/api/scenes/mkt-1", "escaped": "/api/scenes/mkt%201"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = CanonicalPath(raw)
			}
		})
	}
}

func BenchmarkTies(b *testing.B) {
	var many []string
	for i := range 16 {
		many = append(many, fmt.Sprintf("/api/*/scenes-%d-*/**", i))
	}
	a, c := mustCompile(b, Route{Paths: many}), mustCompile(b, Route{Paths: []string{"/api/v1/*scenes*/z*"}})
	b.ReportAllocs()
	for b.Loop() {
		Ties(&a, &c)
	}
}
