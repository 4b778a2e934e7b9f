// Package hostile has the worst that tenants and strangers can send: Groups at the limits of the schema, and the most
// expensive requests for them.
package hostile

import (
	"fmt"
	"strings"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/routing"
)

const (
	// Many is the largest number of Groups that are searched for one origin.
	Many = 512

	// The limits of a Group. All routes of a Group together may take room.
	room        = routing.MaxSize
	perList     = 32 // routes of a project, and paths or hosts of a route
	maxProjects = 64
	maxPattern  = 1024
	maxHost     = 253
	parameters  = 8
	maxValue    = 256

	// pathRoom is how long a path may be.
	pathRoom = 8 << 10
)

// Kind is a way to make Groups expensive. None of their routes matches any of Targets, so that all of them are examined.
type Kind struct {
	Name string
	// paths of a project's routes, or other parts
	routes []*syncv1.Route
	// capable has them as routes of capabilities, of a project that owns everything.
	capable  bool
	patterns []string // of origins, beside localhost
}

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		{Name: "long patterns with one star", routes: ofPaths(repeat("/*"+strings.Repeat("a", maxPattern-3)+"b", room/maxPattern))},
		{Name: "long patterns of stars", routes: ofPaths(repeat("/"+strings.Repeat("*a", maxPattern/2-1)+"b", room/maxPattern))},
		{Name: "patterns that differ late", routes: ofPaths(numbered("/"+strings.Repeat("a", maxPattern-10)+"*%08d", room/maxPattern))},
		{Name: "many short patterns", routes: ofPaths(repeat("/*b", room/3))},
		{Name: "many short literals", routes: ofPaths(repeat("/b", room/3))},
		{Name: "many segments", routes: ofPaths(repeat(strings.Repeat("/*", maxPattern/2-1)+"/b", room/maxPattern))},
		{Name: "queries with many values", routes: ofQueries(maxValue-1, perList)},
		{Name: "queries with short values", routes: ofQueries(4, perList)},
		{Name: "queries with one value", routes: ofQueries(4, 1)},
		{Name: "hosts", routes: ofShortHosts()},
		{Name: "long hosts", routes: ofHosts()},
		{Name: "capabilities", capable: true, routes: ofPaths(repeat("/*b", room/3))},
		{Name: "capabilities with long patterns", capable: true,
			routes: ofPaths(repeat("/*"+strings.Repeat("a", maxPattern-3)+"b", room/maxPattern))},
		{Name: "origins", routes: ofPaths([]string{"/b"}), patterns: numbered("https://*.n%06d.example", room/64)},
		{Name: "origins of one host", routes: ofPaths([]string{"/b"}), patterns: numbered("https://*.n000000.example:%d", room/64)},
	}
}

func repeat(text string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = text
	}
	return texts
}

func numbered(format string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf(format, i)
	}
	return texts
}

func ofPaths(paths []string) (routes []*syncv1.Route) {
	left := room
	for len(paths) > 0 && len(routes) < maxProjects*perList {
		n := min(perList, len(paths))
		for n > 0 && size(&syncv1.Route{Paths: paths[:n]}) > left {
			n--
		}
		if n == 0 {
			break
		}
		route := &syncv1.Route{Paths: paths[:n]}
		left -= size(route)
		routes, paths = append(routes, route), paths[n:]
	}
	return routes
}

// size returns how much of the room a route takes.
func size(route *syncv1.Route) int {
	r := routing.Route{Methods: route.GetMethods(), Hosts: route.GetHosts(), Paths: route.GetPaths(), Query: map[string][]string{}}
	for _, query := range route.GetQuery() {
		r.Query[query.GetName()] = query.GetValues()
	}
	return r.Size()
}

func ofQueries(length, values int) (routes []*syncv1.Route) {
	for left := room; len(routes) < maxProjects*perList; {
		route := &syncv1.Route{}
		for i := range parameters {
			match := &syncv1.QueryMatch{Name: fmt.Sprint("a", i), Values: numbered(strings.Repeat("v", max(0, length-3))+"%03d", values)}
			route.Query = append(route.Query, match)
			if size(route) > left {
				route.Query = route.GetQuery()[:i]
				break
			}
		}
		if left -= size(route); len(route.GetQuery()) > 0 {
			routes = append(routes, route)
		}
		if len(route.GetQuery()) < parameters {
			break
		}
	}
	return routes
}

func ofHosts() (routes []*syncv1.Route) {
	label := strings.Repeat("a", 60) + "."
	for range room / (maxHost + 64) / perList {
		routes = append(routes, &syncv1.Route{Hosts: numbered("*."+label+label+label+"n%06d.example", perList)})
	}
	return routes
}

func ofShortHosts() (routes []*syncv1.Route) {
	route := &syncv1.Route{Hosts: repeat("*.b", perList)}
	for range room / size(route) {
		routes = append(routes, route)
	}
	return routes
}

// Group returns the Group of that number. Pages of localhost may read everything of it.
func (k *Kind) Group(i int) *syncv1.Group {
	group := &syncv1.Group{Namespace: "hostile", Name: fmt.Sprint("group-", i), State: syncv1.GroupState_GROUP_STATE_ACTIVE}
	origins := &syncv1.OriginPolicy{AllowLocalhost: true, Patterns: k.patterns}
	if k.capable {
		group.Projects = []*syncv1.Project{{Name: "default", OwnsAll: true, Origins: origins}}
	}
	for routes := k.routes; len(routes) > 0; {
		n := min(perList, len(routes))
		if k.capable {
			group.Capabilities = append(group.Capabilities, &syncv1.Capability{Name: fmt.Sprint("c", len(group.Capabilities)), Routes: routes[:n]})
		} else {
			group.Projects = append(group.Projects,
				&syncv1.Project{Name: fmt.Sprintf("p%02d", len(group.Projects)), Routes: routes[:n], Origins: origins})
		}
		routes = routes[n:]
	}
	return group
}

// Origins returns origins of pages whose requests are expensive.
func Origins() []string {
	return []string{"http://localhost", "https://" + strings.Repeat("a.", 100) + "n000000.example", "https://a.n000000.example:65535"}
}

// Targets returns paths with queries, each as long as possible.
func Targets() map[string]string {
	const short = "/aaaaaaaaaaaaaaaa"
	fill := func(text string) string { return strings.Repeat(text, (pathRoom-64)/len(text)) }
	return map[string]string{
		"a long segment":      "/" + fill("a"),
		"many segments":       fill("/a"),
		"escapes":             "/" + fill("%61"),
		"many parameters":     short + "?" + fill("b=&"),
		"odd parameters":      short + "?" + fill("%61[%5d.=&"),
		"one parameter":       short + "?a0=" + fill("v"),
		"parameters of ours":  short + "?" + fill("a0=v&"),
		"a path and no query": short,
	}
}
