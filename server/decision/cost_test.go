package decision

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/routing"
)

// TestCost: a request costs what the Group says of its route, whoever asks and by whichever permission; and what makes a route
// doubtful does not make a request cheaper.
func TestCost(t *testing.T) {
	route := func(r routing.Route) routing.Matcher {
		m, err := routing.Compile(r)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	search := Capability{Name: "search", Cost: 10, Routes: []routing.Matcher{route(routing.Route{Paths: []string{"/search/**"}})}}
	deep := Capability{Name: "deep", Cost: 100, Routes: []routing.Matcher{route(routing.Route{Query: map[string][]string{"deep": {"yes"}}})}}
	health := Capability{Name: "health", Cost: 0, Routes: []routing.Matcher{route(routing.Route{Paths: []string{"/health", "/search/health"}})}}
	plain := Capability{Name: "checkout", Cost: 1, Routes: []routing.Matcher{route(routing.Route{Paths: []string{"/health/checkout"}})}}
	all := []Capability{search, deep, health, plain}
	for name, c := range map[string]struct {
		path, query  string
		capabilities []Capability
		change       func(*Request)
		want         uint32
	}{
		"no route":             {"/a", "", all, nil, 1},
		"one route":            {"/search/a", "", all, nil, 10},
		"a slash at the end":   {"/search/a/", "", all, nil, 10},
		"two routes":           {"/search/a", "deep=yes", all, nil, 100},
		"other query":          {"/search/a", "deep=no", all, nil, 10},
		"doubtful query":       {"/a", "deep=no&deep=yes", all, nil, 100},
		"escaped query":        {"/a", "deep=%79es", all, nil, 100},
		"free":                 {"/health", "", all, nil, 0},
		"not quite free":       {"/health/", "", all, nil, 1},
		"free and not free":    {"/search/health", "", all, nil, 10},
		"no weights":           {"/search/a", "", []Capability{plain}, nil, 1},
		"said":                 {"/search/a", "", all, func(r *Request) { r.HasCost, r.Cost = true, 7 }, 7},
		"said to be free":      {"/search/a", "", all, func(r *Request) { r.HasCost = true }, 0},
		"said without weights": {"/a", "", nil, func(r *Request) { r.HasCost, r.Cost = true, 7 }, 7},
		"about the key":        {"/search/a", "", all, func(r *Request) { r.AboutKey = true }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			request := &Request{Method: "GET", Path: c.path, RawQuery: c.query}
			if c.change != nil {
				c.change(request)
			}
			group := &Group{Capabilities: c.capabilities, Weighted: len(c.capabilities) > 1}
			e := evaluation{request: request, match: Match{Group: group}}
			e.routing.Method, e.routing.Path, e.routing.RawQuery = "GET", c.path, c.query
			if got := e.cost(); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
	t.Run("too much work", func(t *testing.T) {
		group := &Group{Capabilities: all, Weighted: true}
		e := evaluation{request: &Request{Method: "GET"}, match: Match{Group: group}}
		e.routing.Method, e.routing.Path = "GET", "/a/"+strings.Repeat("a", 100)
		for !e.routing.Exhausted() {
			e.routing.Spend(1 << 10)
		}
		if got := e.cost(); got != 100 {
			t.Errorf("%d, want the highest", got)
		}
	})
}
