package routing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Route describes requests. Parts that are empty match everything; one must not be.
type Route struct {
	Methods, Hosts, Paths []string
	Query                 map[string][]string
}

// Request is what routes are matched on.
type Request struct {
	Method   string // as sent; methods are case-sensitive (RFC 9110, section 9.1)
	Host     string // as sent, with or without port
	Path     string // from CanonicalPath
	RawQuery string // as sent, without the '?'
}

// Rank says how specific a match is. Ranks that compare equal tie.
type Rank struct {
	host, path, query int
}

// Compare returns a positive number if r is more specific than other, a negative one if it
// is less so, and 0 if they tie.
func (r Rank) Compare(other Rank) int {
	return cmp.Or(cmp.Compare(r.host, other.host), cmp.Compare(r.path, other.path), cmp.Compare(r.query, other.query))
}

// Matcher is a compiled Route. The zero Matcher matches nothing. It is safe for
// concurrent use.
type Matcher struct {
	methods []string
	hosts   []hostPattern
	paths   []pathPattern
	query   []queryPattern
}

var errEmptyRoute = errors.New("the route is empty: give it methods, hosts, paths or query, or leave the whole list of routes out")

// Compile checks a route and prepares it for matching. Its errors name the field and say
// what to write instead.
func Compile(route Route) (Matcher, error) {
	var m Matcher
	if len(route.Methods)+len(route.Hosts)+len(route.Paths)+len(route.Query) == 0 {
		return Matcher{}, errEmptyRoute
	}
	for i, method := range route.Methods {
		if err := checkMethod(method); err != nil {
			return Matcher{}, fmt.Errorf("methods[%d] %q: %w", i, method, err)
		}
		m.methods = append(m.methods, method)
	}
	for i, host := range route.Hosts {
		pattern, err := compileHost(host)
		if err != nil {
			return Matcher{}, fmt.Errorf("hosts[%d] %q: %w", i, host, err)
		}
		m.hosts = append(m.hosts, pattern)
	}
	for i, path := range route.Paths {
		pattern, err := compilePath(path)
		if err != nil {
			return Matcher{}, fmt.Errorf("paths[%d] %q: %w", i, path, err)
		}
		m.paths = append(m.paths, pattern)
	}
	for name, values := range route.Query {
		if name == "" {
			return Matcher{}, fmt.Errorf("query: a parameter must have a name")
		}
		if len(values) == 0 {
			return Matcher{}, fmt.Errorf("query[%s]: list the values to match", name)
		}
		m.query = append(m.query, queryPattern{name: name, values: slices.Clone(values)})
	}
	slices.SortFunc(m.query, func(a, b queryPattern) int { return cmp.Compare(a.name, b.name) })
	return m, nil
}

func checkMethod(method string) error {
	if method == "" {
		return errors.New("it is empty: write a method such as GET")
	}
	for _, c := range []byte(method) {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return fmt.Errorf("methods are uppercase letters: write %s", strings.ToUpper(method))
		}
	}
	return nil
}

// Match tells whether the route describes the request, and how specifically. It does not
// allocate, unless the host has uppercase letters or the query is escaped.
func (m *Matcher) Match(request *Request) (Rank, bool) {
	if len(m.methods)+len(m.hosts)+len(m.paths)+len(m.query) == 0 {
		return Rank{}, false
	}
	if len(m.methods) > 0 && !slices.Contains(m.methods, request.Method) {
		return Rank{}, false
	}
	path, ok := m.rankPath(request.Path)
	if !ok {
		return Rank{}, false
	}
	host, ok := m.rankHost(request.Host)
	if !ok || !m.matchQuery(request.RawQuery) {
		return Rank{}, false
	}
	return Rank{host: host, path: path, query: len(m.query)}, true
}

// rankPath returns the rank of the most specific path pattern that matches.
func (m *Matcher) rankPath(path string) (best int, ok bool) {
	if len(m.paths) == 0 {
		return 0, true
	}
	for i := range m.paths {
		if p := &m.paths[i]; (!ok || p.rank > best) && p.match(path) {
			best, ok = p.rank, true
		}
	}
	return best, ok
}

// rankHost returns the rank of the most specific host pattern that matches.
func (m *Matcher) rankHost(host string) (best int, ok bool) {
	if len(m.hosts) == 0 {
		return 0, true
	}
	host = CanonicalHost(host)
	for i := range m.hosts {
		if p := &m.hosts[i]; (!ok || p.rank() > best) && p.match(host) {
			best, ok = p.rank(), true
		}
	}
	return best, ok
}
