package routing

import (
	"fmt"
	"strings"
	"testing"
)

// hostile are routes of a tenant that are meant to cost time, with requests of a client that cooperates.
// Each is the worst of its kind.
func hostile() map[string]struct {
	route   Route
	request Request
} {
	as := strings.Repeat("a", MaxPath-1)
	many := func(format string, n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, i%10))
		}
		return list
	}
	values := many("%d", 32)
	query := map[string][]string{}
	for i := range 8 {
		query[fmt.Sprintf("%c%s", 'a'+i, strings.Repeat("a", 100))] = values
	}
	type world = struct {
		route   Route
		request Request
	}
	shout, whisper := strings.Repeat("A", 63), strings.Repeat("a", 62)
	return map[string]world{
		"a long literal": {Route{Paths: many("/*"+strings.Repeat("a", 1000)+"b%d*c", 32)},
			Request{Path: "/" + as[:MaxPath-2] + "c"}},
		"a literal of a word": {Route{Paths: many("/*"+strings.Repeat("a", 60)+"b%d*c", 32)}, Request{Path: "/" + as[:MaxPath-2] + "c"}},
		"many pieces":         {Route{Paths: many("/"+strings.Repeat("*a", 400)+"*b%d*", 32)}, Request{Path: "/" + as}},
		"many segments": {Route{Paths: many(strings.Repeat("/*", 400)+"/b%d", 32)},
			Request{Path: strings.Repeat("/a", MaxPath/2)}},
		"a prefix of everything": {Route{Paths: many("/"+strings.Repeat("a", 1000)+"%d", 32)}, Request{Path: "/" + as}},
		"pieces that are near": {Route{Paths: many("/*"+strings.Repeat("ab", 400)+"b%d*c", 32)},
			Request{Path: "/" + strings.Repeat("ab", MaxPath/2-1) + "c"}},
		"hosts": {Route{Hosts: many("*."+strings.Repeat("a.", 120)+"b%d", 32), Paths: []string{"/b"}},
			Request{Host: strings.Repeat("a.", 120) + "c", Path: "/" + as}},
		"methods": {Route{Methods: []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L",
			"M", "N", "O", "P"}}, Request{Method: "Q"}},
		"names": {Route{Query: query}, Request{RawQuery: strings.Repeat("a"+strings.Repeat("a",
			99)+"b=1&", maxQuery/104)}},
		"names in disguise": {Route{Query: query}, Request{RawQuery: strings.Repeat("%2525%41%C4%B0[=1&", maxQuery/18)}},
		"a name of 8 KiB":   {Route{Query: query}, Request{RawQuery: strings.Repeat("%C4%B0", maxQuery/6)}},
		"values":            {Route{Query: map[string][]string{"a": values}}, Request{RawQuery: strings.Repeat("a=%39&", maxQuery/6)}},
		"values in another case": {Route{Query: map[string][]string{"a": many(shout+"%d", 32)}},
			Request{RawQuery: strings.Repeat("a="+whisper+"&", maxQuery/65)}},
		"values in another case, wide": {Route{Query: map[string][]string{"a": many(strings.Repeat("\u00c9", 31)+"%d", 4)}},
			Request{RawQuery: strings.Repeat("a="+strings.Repeat("%c3%A9", 31)+"&", maxQuery/190)}},
		"values that are short and no numbers": {Route{Query: map[string][]string{"a": append(many("b%d", 31), "42")}},
			Request{RawQuery: strings.Repeat("a=x&", maxQuery/4)}},
		"values of signs": {Route{Query: map[string][]string{"a": values}},
			Request{RawQuery: "a=" + strings.Repeat("%E2%80%8B", maxQuery/9-1)}},
		"values of others": {Route{Query: query}, Request{RawQuery: strings.Repeat("b=%39&", maxQuery/6)}},
	}
}

// TestWorkIsBounded: a client's longest request and a tenant's hardest route cost no more than
// some readings of the request, and matching stops when the bound is reached.
func TestWorkIsBounded(t *testing.T) {
	for name, c := range hostile() {
		m := mustCompile(t, c.route)
		request := c.request
		m.Match(&request)
		// For each pattern as often as the path is long, or for each parameter as the query is.
		bound := routeWork + len(c.route.Methods)*methodWork + len(c.route.Hosts)*hostWork +
			len(c.route.Paths)*(3*len(request.Path)+64) + len(c.route.Query)*(queryWork+64*len(request.RawQuery))
		if request.Spent() > bound || request.Spent() == 0 {
			t.Errorf("%s: %d units, more than %d", name, request.Spent(), bound)
		}
		for range 1000 {
			m.Match(&request)
		}
		most := MaxWork + bound
		if request.Spent() > most {
			t.Errorf("%s: it goes on beyond the bound: %d", name, request.Spent())
		}
	}
}

// TestNothingMatchesBeyondTheBound: no conclusion may be drawn from a result beyond the bound.
func TestNothingMatchesBeyondTheBound(t *testing.T) {
	m := mustCompile(t, Route{Paths: []string{"/**"}})
	request := &Request{Path: "/a"}
	request.Bound(routeWork - 1)
	if _, ok := m.Match(request); ok || !request.Exhausted() || m.Grants(request) {
		t.Error("it matches")
	}
	request.Bound(1000)
	if _, ok := m.Match(request); !ok || request.Exhausted() {
		t.Error("it does not match")
	}
}

// TestSearchIsBounded: routes that are made to be hard to compare stop the search, and the
// answer for the pair is the safe one.
func TestSearchIsBounded(t *testing.T) {
	var as, bs []string
	for i := range 8 {
		as = append(as, fmt.Sprintf("/*a*b*c%d*d*x", i))
		bs = append(bs, fmt.Sprintf("/*d*c*b%d*a*y", i))
	}
	a, b := mustCompile(t, Route{Paths: as}), mustCompile(t, Route{Paths: bs})
	search := NewSearch(1 << 16)
	if !search.Ties(&a, &b) || !search.Exhausted() {
		t.Error("the bound was not reached")
	}
	if search.left < -1<<16 {
		t.Errorf("it went beyond its bound by %d", -search.left)
	}
	c, d := mustCompile(t, Route{Paths: []string{"/a/*"}}), mustCompile(t, Route{Paths: []string{"/b/*"}})
	if !search.Ties(&c, &d) {
		t.Error("an unknown result is reported as no tie")
	}
	if search = NewSearch(1 << 10); search.Ties(&c, &d) || search.Exhausted() {
		t.Error("the bound was reached by two ordinary routes")
	}
}

// BenchmarkHostile measures how long a unit of work takes.
func BenchmarkHostile(b *testing.B) {
	for name, c := range hostile() {
		b.Run(name, func(b *testing.B) {
			m := mustCompile(b, c.route)
			spent := 0
			for b.Loop() {
				request := c.request
				m.Match(&request)
				spent += request.Spent()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(spent), "ns/unit")
		})
	}
}
