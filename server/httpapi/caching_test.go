package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/server/decision"
)

func TestPrivatize(t *testing.T) {
	const date, hour = "Thu, 26 Nov 2026 12:00:00 GMT", "Thu, 26 Nov 2026 13:00:00 GMT"
	for name, c := range map[string]struct{ said, want http.Header }{
		"nothing": {http.Header{}, http.Header{"Cache-Control": {"private"}}},
		"an age": {http.Header{"Cache-Control": {"max-age=3600"}},
			http.Header{"Cache-Control": {"private, max-age=3600"}}},
		"public": {http.Header{"Cache-Control": {"public, max-age=3600, immutable"}},
			http.Header{"Cache-Control": {"private, max-age=3600, immutable"}}},
		"public, in capitals": {http.Header{"Cache-Control": {"Public , S-MaxAge = 5,\tmax-age=1"}},
			http.Header{"Cache-Control": {"private, max-age=1"}}},
		"for shared caches only": {http.Header{"Cache-Control": {"s-maxage=600"}}, http.Header{"Cache-Control": {"private"}}},
		"two lines": {http.Header{"Cache-Control": {"max-age=60", "public, must-revalidate"}},
			http.Header{"Cache-Control": {"private, max-age=60, must-revalidate"}}},
		"private of a field only": {http.Header{"Cache-Control": {`private="Set-Cookie, X-A", max-age=60`}},
			http.Header{"Cache-Control": {"private, max-age=60"}}},
		"a comma in quotes": {http.Header{"Cache-Control": {`no-cache="a, public", x="\", s-maxage=1", public`}},
			http.Header{"Cache-Control": {`private, no-cache="a, public", x="\", s-maxage=1"`}}},
		"an open quote": {http.Header{"Cache-Control": {`x="a, public, max-age=5`}},
			http.Header{"Cache-Control": {`private, x="a, public, max-age=5`}}},
		"private": {http.Header{"Cache-Control": {"private, max-age=60"}},
			http.Header{"Cache-Control": {"private, max-age=60"}}},
		"not to be kept": {http.Header{"Cache-Control": {"no-store"}}, http.Header{"Cache-Control": {"no-store"}}},
		"not to be kept, but": {http.Header{"Cache-Control": {"must-understand, no-store"}},
			http.Header{"Cache-Control": {"private, must-understand, no-store"}}},
		"to be asked about": {http.Header{"Cache-Control": {"no-cache"}}, http.Header{"Cache-Control": {"private, no-cache"}}},
		"empty":             {http.Header{"Cache-Control": {"", " , "}}, http.Header{"Cache-Control": {"private"}}},
		"Expires": {http.Header{"Expires": {hour}, "Date": {date}},
			http.Header{"Cache-Control": {"private, max-age=3600"}, "Date": {date}}},
		"Expires, over": {http.Header{"Expires": {date}, "Date": {hour}},
			http.Header{"Cache-Control": {"private, max-age=0"}, "Date": {hour}}},
		"Expires, unreadable": {http.Header{"Expires": {"0"}}, http.Header{"Cache-Control": {"private, max-age=0"}}},
		"Expires and Cache-Control": {http.Header{"Expires": {hour}, "Date": {date}, "Cache-Control": {"max-age=5"}},
			http.Header{"Cache-Control": {"private, max-age=5"}, "Date": {date}}},
		"Expires and Cache-Control without max-age": {http.Header{"Expires": {hour}, "Date": {date},
			"Cache-Control": {"public, must-revalidate"}},
			http.Header{"Cache-Control": {"private, max-age=3600, must-revalidate"}, "Date": {date}}},
		"Expires and an age for shared caches": {http.Header{"Expires": {hour}, "Date": {date}, "Cache-Control": {"s-maxage=5"}},
			http.Header{"Cache-Control": {"private, max-age=3600"}, "Date": {date}}},
		"Expires and not to be kept": {http.Header{"Expires": {"0"}, "Cache-Control": {"no-store"}},
			http.Header{"Cache-Control": {"no-store"}}},
		"Expires and to be asked about": {http.Header{"Expires": {"0"}, "Cache-Control": {"no-cache"}},
			http.Header{"Cache-Control": {"private, no-cache"}}},
		"to certain caches": {http.Header{"X-Accel-Expires": {"3600"}, "Surrogate-Control": {"max-age=3600"},
			"Cdn-Cache-Control": {"max-age=1"}, "Cloudflare-Cdn-Cache-Control": {"max-age=1"}, "Edge-Control": {"!no-store"},
			"X-Litespeed-Cache-Control": {"public"}, "Etag": {`"a"`}},
			http.Header{"Cache-Control": {"private"}, "Etag": {`"a"`}}},
	} {
		t.Run(name, func(t *testing.T) {
			if Privatize(c.said); fmt.Sprint(c.said) != fmt.Sprint(c.want) {
				t.Errorf("got %q, want %q", c.said, c.want)
			}
		})
	}
}

// TestPrivatizeIsPrivate for caches that split the list at commas, and for caches that search for words.
func TestPrivatizeIsPrivate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		directive := rapid.SampledFrom([]string{"public", "PUBLIC", "s-maxage=5", "S-MaxAge=\"5\"", "max-age=5", "no-cache",
			"no-store", "private", `private="x"`, "must-understand", `x="y`, "", " "})
		header := http.Header{}
		for range rapid.IntRange(0, 2).Draw(t, "lines") {
			header.Add("Cache-Control", strings.Join(rapid.SliceOfN(directive, 0, 5).Draw(t, "directives"),
				rapid.SampledFrom([]string{",", ", ", " ,\t"}).Draw(t, "comma")))
		}
		Privatize(header)
		lines := header["Cache-Control"]
		if len(lines) != 1 {
			t.Fatalf("%q", lines)
		}
		first, _, _ := strings.Cut(lines[0], ",")
		list := strings.Split(lines[0], ", ")
		if first != "private" && !slices.Contains(list, "no-store") {
			t.Fatalf("%q may be kept", lines)
		}
		if strings.Contains(lines[0], `"`) {
			return
		}
		again := header.Clone()
		if Privatize(again); !slices.Equal(again["Cache-Control"], lines) {
			t.Fatalf("%q is not the same as %q", again["Cache-Control"], lines)
		}
		if slices.ContainsFunc(list, func(d string) bool {
			return strings.EqualFold(d, "public") || strings.HasPrefix(strings.ToLower(d), "s-maxage")
		}) {
			t.Fatalf("%q contains an instruction for shared caches", lines)
		}
	})
}

func TestVary(t *testing.T) {
	for _, c := range []struct {
		request decision.Request
		want    string
	}{
		{decision.Request{}, "Authorization, X-Api-Key, Origin, Referer, Sec-Fetch-Site"},
		{decision.Request{Referer: "https://a.example/"}, "Authorization, X-Api-Key, Origin, Referer"},
		{decision.Request{Origin: "https://a.example"}, "Authorization, X-Api-Key, Origin"},
		{decision.Request{KeyHeader: "X-Key"}, "Authorization, X-Api-Key, Origin, Referer, Sec-Fetch-Site, X-Key"},
		{decision.Request{KeyHeader: "X-Key", Referer: "https://a.example/"}, "Authorization, X-Api-Key, Origin, Referer, X-Key"},
		{decision.Request{KeyHeader: "X-Key", Origin: "https://a.example"}, "Authorization, X-Api-Key, Origin, X-Key"},
		{decision.Request{KeyHeader: "X-Key", Origin: "https://a.example", PreflightMethod: "GET"},
			"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"},
		{decision.Request{Origin: "https://a.example", PreflightMethod: "GET"},
			"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"},
	} {
		if got := Vary(&c.request); got != c.want {
			t.Errorf("%+v: %s", c.request, got)
		}
	}
	for existing, want := range map[string]string{
		"":                                  "Authorization, X-Api-Key, Origin",
		"Accept-Encoding":                   "Accept-Encoding, Authorization, X-Api-Key, Origin",
		"*":                                 "*",
		"a|b, *":                            "a, b, *",
		"origin, x-api-key , AUTHORIZATION": "origin, x-api-key , AUTHORIZATION",
		"Accept|Origin":                     "Accept, Origin, Authorization, X-Api-Key",
	} {
		header := http.Header{}
		if existing != "" {
			header["Vary"] = strings.Split(existing, "|")
		}
		if AddVary(header, varyOnKeys); strings.Join(header["Vary"], "|") != want {
			t.Errorf("%s: %q, want %s", existing, header["Vary"], want)
		}
	}
}

// TestSharedCacheHeadersAreRemoved, in any spelling, also from informational responses and trailers.
func TestSharedCacheHeadersAreRemoved(t *testing.T) {
	for _, name := range SharedCacheHeaders() {
		for _, spelled := range spellings(name) {
			header := http.Header{spelled: {"max-age=3600"}}
			if Privatize(header); header[spelled] != nil {
				t.Errorf("%s stays", spelled)
			}
		}
	}
}
