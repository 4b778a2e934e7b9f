package routing

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Route describes requests. Empty parts match everything; at least one part must not be empty.
type Route struct {
	Methods, Hosts, Paths []string
	Query                 map[string][]string
}

// Request is what routes are matched with.
type Request struct {
	Method   string // as sent; methods are case-sensitive (RFC 9110, section 9.1)
	Host     string // from CanonicalHost
	Path     string // from CanonicalPath
	RawQuery string // as sent, without the '?'; see CheckQuery

	// IgnoreCase means that the path was folded by a Reading that ignores case.
	IgnoreCase bool

	spent   int
	doubted bool
	doubt   Rank
}

// Rank is how specific a match is. Ranks that compare equal tie.
type Rank struct {
	host, path, query int
}

// Compare returns a positive number if r is more specific than other, a negative number if it
// is less specific, and 0 if they tie.
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

// Problem is what is wrong with one part of a route.
type Problem struct {
	// Field is the part, such as paths[1]; empty for the route as a whole.
	Field string
	// Value is what the part has; nil where it does not help to repeat that.
	Value any
	// Message says what to write instead.
	Message string
}

// Error implements error.
func (p *Problem) Error() string {
	switch {
	case p.Field == "":
		return p.Message
	case p.Value == nil:
		return p.Field + ": " + p.Message
	default:
		return fmt.Sprintf("%s %q: %s", p.Field, p.Value, p.Message)
	}
}

// Check returns what is wrong with a route, at most so many problems.
func Check(route Route, most int) (problems []*Problem) {
	compile(route, func(p *Problem) (stop bool) {
		problems = append(problems, p)
		return len(problems) >= most
	})
	return problems
}

// Compile checks a route and prepares it for matching. Its errors name the field and say
// what to write instead.
func Compile(route Route) (Matcher, error) {
	var wrong *Problem
	m := compile(route, func(p *Problem) (stop bool) {
		wrong = p
		return true
	})
	if wrong != nil {
		return Matcher{}, wrong
	}
	return m, nil
}

// compile calls report for each problem until that says to stop. With a problem, the Matcher has no meaning.
func compile(route Route, report func(*Problem) (stop bool)) (m Matcher) {
	if len(route.Methods)+len(route.Hosts)+len(route.Paths)+len(route.Query) == 0 {
		report(&Problem{Message: errEmptyRoute.Error()})
		return m
	}
	wrong := func(part string, i int, value string, err error) (stop bool) {
		return report(&Problem{fmt.Sprintf("%s[%d]", part, i), value, err.Error()})
	}
	for i, method := range route.Methods {
		if err := checkMethod(method); err != nil && wrong("methods", i, method, err) {
			return m
		}
		m.methods = append(m.methods, method)
	}
	for i, host := range route.Hosts {
		pattern, err := compileHost(host)
		if err != nil && wrong("hosts", i, host, err) {
			return m
		}
		m.hosts = append(m.hosts, pattern)
	}
	m.paths = slices.Grow(m.paths, len(route.Paths))
	for i, path := range route.Paths {
		patterns, err := compilePath(path)
		if err != nil && wrong("paths", i, path, err) {
			return m
		}
		m.paths = append(m.paths, patterns...)
	}
	// The most specific patterns come first, so that the first match is the best one.
	slices.SortStableFunc(m.hosts, func(a, b hostPattern) int { return cmp.Compare(b.rank(), a.rank()) })
	slices.SortStableFunc(m.paths, func(a, b pathPattern) int { return cmp.Compare(b.rank, a.rank) })
	for _, name := range slices.Sorted(maps.Keys(route.Query)) {
		values := route.Query[name]
		if name == "" && report(&Problem{Field: "query", Message: "a parameter must have a name"}) {
			return m
		}
		if len(values) == 0 && report(&Problem{Field: "query[" + name + "]", Message: "list the values to match"}) {
			return m
		}
		m.query = append(m.query, newQueryPattern(name, values))
	}
	return m
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

// Match reports whether a project with the route owns the request, and how specific the match is. Forms of a path that
// content servers tend to treat alike have the same owner, such as a path with a slash at the end.
// Where the result depends on how the query is interpreted, the route does not match, and the request records
// the doubt. Match does not allocate, unless the query is escaped.
func (m *Matcher) Match(request *Request) (Rank, bool) {
	host, path, ok := m.match(request, true)
	if !ok {
		return Rank{}, false
	}
	rank := Rank{host: host, path: path, query: 2 * len(m.query)}
	switch m.matchQuery(request) {
	case matches:
		return rank, true
	case respelled:
		rank.query-- // whoever lists the very value comes first
		fallthrough
	case doubtful:
		if !request.doubted || rank.Compare(request.doubt) > 0 {
			request.doubted, request.doubt = true, rank
		}
	}
	return Rank{}, false
}

// Grants reports whether a permission with the route covers the request. It covers exactly what is
// written: a path with a slash at the end is another path.
func (m *Matcher) Grants(request *Request) bool {
	_, _, ok := m.match(request, false)
	return ok && m.matchQuery(request) == matches
}

// TakeDoubt returns the highest rank of the routes that were doubtful since it was last called.
func (r *Request) TakeDoubt() (rank Rank, doubted bool) {
	rank, doubted = r.doubt, r.doubted
	r.doubt, r.doubted = Rank{}, false
	return rank, doubted
}

// match compares everything except the query, cheap parts first.
func (m *Matcher) match(request *Request, owning bool) (host, path int, ok bool) {
	request.spend(routeWork)
	if len(m.methods)+len(m.hosts)+len(m.paths)+len(m.query) == 0 || request.Exhausted() {
		return 0, 0, false
	}
	if host, ok = m.rankHost(request); !ok {
		return 0, 0, false
	}
	if len(m.methods) > 0 {
		request.spend(methodWork * len(m.methods))
		if !slices.Contains(m.methods, request.Method) {
			return 0, 0, false
		}
	}
	path, ok = m.rankPath(request, owning)
	return host, path, ok && !request.Exhausted()
}

// rankPath returns the rank of the most specific path pattern that matches.
func (m *Matcher) rankPath(request *Request, owning bool) (best int, ok bool) {
	if len(m.paths) == 0 {
		return 0, true
	}
	for i := range m.paths {
		if p := &m.paths[i]; (owning || !p.alias) && p.match(request, owning) {
			return p.rank, true
		}
		if request.Exhausted() {
			return 0, false
		}
	}
	return 0, false
}

// rankHost returns the rank of the most specific host pattern that matches.
func (m *Matcher) rankHost(request *Request) (best int, ok bool) {
	if len(m.hosts) == 0 {
		return 0, true
	}
	for i := range m.hosts {
		request.spend(hostWork)
		if p := &m.hosts[i]; p.match(request.Host) {
			return p.rank(), true
		}
	}
	return 0, false
}
