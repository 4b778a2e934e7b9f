package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/cost"
)

// hostileKinds are Groups that are made to be as expensive as possible to search, for a client that sends the longest path.
// None of them owns it, so that each has to be searched.
func hostileKinds() map[string]func(*syncv1.Group) {
	longest := strings.Repeat("a", 1000)
	fill := func(g *syncv1.Group, projects, routes int, route func(i int) *syncv1.Route) {
		left := routing.MaxSize
		for i := range projects {
			project := &syncv1.Project{Name: fmt.Sprintf("p%02d", i), Origins: &syncv1.OriginPolicy{AllowLocalhost: true}}
			for j := range routes {
				r := route(i*routes + j)
				declared, _ := routeOf(r)
				for left < declared.Size() && len(declared.Paths) > 1 {
					declared.Paths = declared.Paths[1:]
				}
				if r.Paths = declared.Paths; left >= declared.Size() {
					left -= declared.Size()
					project.Routes = append(project.Routes, r)
				}
			}
			g.Projects = append(g.Projects, project)
		}
	}
	paths := func(n int, format string) *syncv1.Route {
		r := &syncv1.Route{}
		for i := range n {
			r.Paths = append(r.Paths, fmt.Sprintf(format, i))
		}
		return r
	}
	return map[string]func(*syncv1.Group){
		"long literals": func(g *syncv1.Group) {
			fill(g, 1, 2, func(int) *syncv1.Route { return paths(32, "/*"+longest+"b%d*") })
		},
		"long prefixes":  func(g *syncv1.Group) { fill(g, 1, 2, func(int) *syncv1.Route { return paths(32, "/"+longest+"%d") }) },
		"many pieces":    func(g *syncv1.Group) { fill(g, 4, 32, func(int) *syncv1.Route { return paths(32, "/*a*a*a*a*b%d*") }) },
		"short patterns": func(g *syncv1.Group) { fill(g, 16, 32, func(int) *syncv1.Route { return paths(16, "/*a*%d*") }) },
		"many routes": func(g *syncv1.Group) {
			fill(g, 8, 16, func(i int) *syncv1.Route { return paths(1, fmt.Sprintf("/x%d%%d", i)) })
		},
		"many segments": func(g *syncv1.Group) {
			fill(g, 1, 4, func(int) *syncv1.Route { return paths(32, strings.Repeat("/*", 400)+"/b%d") })
		},
		"hosts": func(g *syncv1.Group) {
			fill(g, 2, 32, func(int) *syncv1.Route {
				r := &syncv1.Route{}
				for i := range 32 {
					r.Hosts = append(r.Hosts, fmt.Sprintf("*.%s.example", strings.Repeat("a", i+1)))
				}
				return r
			})
		},
		"queries": func(g *syncv1.Group) {
			fill(g, 2, 32, func(int) *syncv1.Route {
				r := &syncv1.Route{}
				for i := range 8 {
					r.Query = append(r.Query, &syncv1.QueryMatch{Name: fmt.Sprintf("filter.%d", i), Values: []string{"x"}})
				}
				return r
			})
		},
		"origins": func(g *syncv1.Group) {
			fill(g, 1, 1, func(int) *syncv1.Route { return paths(1, "/**") })
			g.Projects[0].Origins = &syncv1.OriginPolicy{}
			for i := range 2000 {
				g.Projects[0].Origins.Patterns = append(g.Projects[0].Origins.Patterns, fmt.Sprintf("h%d.example", i))
			}
			g.Projects = append(g.Projects, &syncv1.Project{Name: "z", Origins: &syncv1.OriginPolicy{AllowLocalhost: true}})
		},
	}
}

// hostileRequests are a preflight and a request without a key; for "many segments" and "queries", they are those that are
// the most expensive there.
func hostileRequests(kind string) map[string]*decision.Request {
	path := "/" + strings.Repeat("a", routing.MaxPath-1)
	query := ""
	switch kind {
	case "many segments":
		path = strings.Repeat("/a", routing.MaxPath/2)
	case "queries":
		query = strings.Repeat("f%2525lter%5B0=1&", 480)
	}
	request := func() *decision.Request {
		return &decision.Request{Method: "PATCH", Host: strings.Repeat("b.", 100) + "example", Path: path, RawQuery: query,
			Origin: "http://localhost:5173"}
	}
	preflight := request()
	preflight.Method, preflight.PreflightMethod = "OPTIONS", "PATCH"
	return map[string]*decision.Request{"preflight": preflight, "no key": request()}
}

// hostileStore has as many groups as are searched, of which so many are different.
func hostileStore(t testing.TB, distinct int, declare func(*syncv1.Group)) *Store {
	t.Helper()
	s := open(t, Config{})
	update := &syncv1.Update{CaughtUp: true}
	for i := range distinct {
		g := group(fmt.Sprintf("hostile-%03d", i))
		g.Projects = nil
		declare(g)
		update.Groups = append(update.Groups, g)
	}
	apply(t, s, update)
	for i := range maxAllowing - distinct {
		s.list(s.groups[update.GetGroups()[i%distinct].Identity()].compiled)
	}
	return s
}

// TestHostileGroupsCostLittle: as many groups as are searched, each as expensive as possible, cost a few milliseconds at
// most for a request of a client without a key. The bound is generous, for slow machines and the race detector; without the
// bound on work it would be minutes.
func TestHostileGroupsCostLittle(t *testing.T) {
	bound := cost.Cost{Allocated: 1 << 20, Worked: 50 * time.Millisecond}
	for kind, declare := range hostileKinds() {
		s := hostileStore(t, 4, declare)
		for name, request := range hostileRequests(kind) {
			var got decision.Decision
			is, within := cost.Within(bound, func() { got = decision.Decide(s, request, time.Now()) })
			want := map[string]decision.Code{"preflight": decision.Preflight, "no key": decision.KeyMissing}[name]
			if got.Code != want && got.Code != decision.OriginDenied {
				t.Errorf("%s, %s: %v", kind, name, got.Code)
			}
			if !within {
				t.Errorf("%s, %s: %+v", kind, name, is)
			}
		}
	}
}

// TestGroupsAreSearchedWithoutTheLock: routes and patterns of tenants are evaluated while the store accepts updates.
func TestGroupsAreSearchedWithoutTheLock(t *testing.T) {
	s := tenants(t, 2)
	searched := false
	s.Allowing(origin.Origin{Scheme: "http", Host: "localhost", Port: 80}, func(g *decision.Group) bool {
		searched = true
		if !s.mu.TryLock() {
			t.Fatal("updates, and all decisions behind them, wait for the search of a group")
		}
		s.mu.Unlock()
		return false
	})
	if !searched {
		t.Fatal("no group was searched")
	}
}

// TestGroupWithTooLargeRoutesOwnsNothing: if only some of its routes were left out, the others would get what those own.
func TestGroupWithTooLargeRoutesOwnsNothing(t *testing.T) {
	for more, want := range map[int]bool{0: true, 1: false} {
		s := open(t, Config{})
		g := group("acme")
		g.Projects = []*syncv1.Project{{Name: "a", Routes: []*syncv1.Route{{}}}, {Name: "b", OwnsAll: true}}
		g.Capabilities = []*syncv1.Capability{{Name: "c", Routes: []*syncv1.Route{{Paths: []string{"/c"}}}}}
		for left := routing.MaxSize + more - sizeOf(g); left > 0; left = routing.MaxSize + more - sizeOf(g) {
			const least, most = 100, 1000
			n := min(left, most)
			if rest := left - n; rest > 0 && rest < least {
				n -= least // there has to be room for another
			}
			g.Projects[0].Routes[0].Paths = append(g.Projects[0].Routes[0].GetPaths(), "/a"+strings.Repeat("a", n-sizeOfOne("/a")))
		}
		if size := sizeOf(g); size != routing.MaxSize+more {
			t.Fatalf("a size of %d", size)
		}
		apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{g}, CaughtUp: true})
		compiled := s.groups[g.Identity()].compiled
		if owns := compiled.Projects[1].OwnsAll && len(compiled.Projects[0].Routes) == 1; owns != want {
			t.Errorf("with %d bytes too many: %v", more, owns)
		}
		if len(compiled.Projects) != 2 || len(compiled.Capabilities) != 1 || compiled.Identity != g.Identity() {
			t.Errorf("got %+v", compiled)
		}
	}
}

// sizeOfOne returns how much a path adds to the size of a route.
func sizeOfOne(path string) int {
	return (&routing.Route{Paths: []string{path}}).Size() - (&routing.Route{}).Size()
}

// BenchmarkHostileGroups searches 512 Groups of each kind.
func BenchmarkHostileGroups(b *testing.B) {
	for kind, declare := range hostileKinds() {
		s := hostileStore(b, maxAllowing, declare)
		for name, request := range hostileRequests(kind) {
			b.Run(strings.ReplaceAll(kind+"/"+name, " ", "-"), func(b *testing.B) {
				is := cost.Of(func() {
					for b.Loop() {
						decision.Decide(s, request, time.Now())
					}
				})
				b.ReportMetric(float64(is.Worked.Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// TestUnreadableRouteGivesNothingToOthers: otherwise what it owns would fall to a wider project.
func TestUnreadableRouteGivesNothingToOthers(t *testing.T) {
	s := open(t, Config{})
	g := group("acme")
	g.Projects = []*syncv1.Project{
		{Name: "secret", Routes: []*syncv1.Route{{Paths: []string{"/secret/**"}}, {Paths: []string{"/new/***"}}}},
		{Name: "website", Routes: []*syncv1.Route{{Paths: []string{"/**"}}}},
	}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{g}, CaughtUp: true})
	for _, project := range s.groups[g.Identity()].compiled.Projects {
		if project.OwnsAll || len(project.Routes) != 0 {
			t.Errorf("project %s owns something", project.Name)
		}
	}
}
