package decision

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/routing"
)

// claiming is a Snapshot in which all groups may claim every request: those that name a host first.
type claiming struct {
	*memory

	named, others []*Group
}

func (c *claiming) Claiming(string, string) (named, others []*Group) { return c.named, c.others }

func public(t *testing.T, name string, paths []string, list ...routing.Route) Project {
	t.Helper()
	project := Project{Name: name, Routes: routes(t, list...)}
	for _, path := range paths {
		project.Public = append(project.Public, routes(t, routing.Public(path))...)
	}
	return project
}

func groupOf(name string, projects ...Project) *Group {
	g := &Group{Identity: "tenants/" + name, State: Active, Projects: projects}
	for i := range projects {
		g.HasPublic = g.HasPublic || len(projects[i].Public) > 0
	}
	return g
}

// site is a group with one project that has public paths, and others with parts of it.
func site(t *testing.T) *Group {
	t.Helper()
	host := []string{"www.acme.com"}
	return groupOf("acme",
		public(t, "admin", nil, routing.Route{Hosts: host, Paths: []string{"/static/admin/**", "/static/Desk/**", "/static/run.php", "/static/exit"}}),
		public(t, "members", nil, routing.Route{Hosts: host, Paths: []string{"/static/list"}, Query: map[string][]string{"for": {"members"}}}),
		public(t, "web", []string{"/robots.txt", "/.well-known/**", "/static/**", "/health/", "/icons/*.png", "/index.php"}, routing.Route{Hosts: host}),
	)
}

func TestPublic(t *testing.T) {
	const host = "www.acme.com"
	lenient, folding := routing.Reading{Parameters: true}, routing.Reading{IgnoreCase: true}
	for _, c := range []struct {
		request string // METHOD path
		query   string
		reading routing.Reading
		want    Code
	}{
		{request: "GET /robots.txt", want: Public},
		{request: "HEAD /robots.txt", want: Public},
		{request: "OPTIONS /robots.txt", want: Public},
		{request: "GET /robots.txt", query: "v=1&for=members", want: Public},
		{request: "GET /%72obots.txt", want: Public}, // another spelling of the same path for everybody
		{request: "GET /.well-known", want: Public},
		{request: "GET /.well-known/acme-challenge/x", want: Public},
		{request: "GET /icons/a.png", want: Public},
		{request: "GET /static/a/b", want: Public},
		{request: "GET /health/", want: Public},
		{request: "GET /index.php", want: Public},

		// Methods that are not safe.
		{request: "POST /robots.txt", want: KeyMissing},
		{request: "DELETE /static/a", want: KeyMissing},
		{request: "get /robots.txt", want: KeyMissing},
		{request: "QUERY /robots.txt", want: KeyMissing},
		{request: "CONNECT /robots.txt", want: KeyMissing},

		// Other paths, however little they differ.
		{request: "GET /", want: KeyMissing},
		{request: "GET /robots.txt/", want: KeyMissing},
		{request: "GET /robots.txt/x", want: KeyMissing},
		{request: "GET /robots.txt2", want: KeyMissing},
		{request: "GET /health", want: KeyMissing},
		{request: "GET /health/x", want: KeyMissing},
		{request: "GET /.well-knownx", want: KeyMissing},
		{request: "GET /index.php/admin", want: KeyMissing},
		{request: "GET /icons/.png/x", want: KeyMissing},
		{request: "GET /icons/a/b.png", want: KeyMissing},
		{request: "GET /ROBOTS.TXT", want: KeyMissing},
		{request: "GET /ROBOTS.TXT", reading: folding, want: Public},
		{request: "GET /Static/a", want: KeyMissing},

		// What is another project's, for any content server.
		{request: "GET /static/admin", want: KeyMissing},
		{request: "GET /static/admin/x", want: KeyMissing},
		{request: "GET /static/ADMIN/x", want: KeyMissing},
		{request: "GET /static/admİn/x", want: KeyMissing},
		{request: "GET /static/%61dmin/x", want: KeyMissing},
		{request: "GET /static/desk/x", want: KeyMissing},
		{request: "GET /static/exit/", want: KeyMissing},
		{request: "GET /static/run.php/x", want: KeyMissing},
		{request: "GET /static/RUN.php/x", want: KeyMissing},
		{request: "GET /static/list", query: "for=members", want: KeyMissing},
		{request: "GET /static/list", query: "for=others", want: Public},
		{request: "GET /static/list", query: "for=members&for=others", want: KeyMissing},
		{request: "GET /static/list", query: "FOR=members", want: KeyMissing},
		{request: "GET /static/ADMIN~1/x", want: KeyMissing}, // a short name of Windows

		// What servers cut off or resolve.
		{request: "GET /static/../secret", want: PathAmbiguous},
		{request: "GET /static/%2e%2e/secret", want: PathAmbiguous},
		{request: "GET /static/..;/secret", reading: lenient, want: PathAmbiguous},
		{request: "GET /static//x", want: PathAmbiguous},
		{request: "GET /static/a%2f..%2fx", want: PathAmbiguous},
		{request: "GET /static/a;x=y", reading: lenient, want: KeyMissing},
		{request: "GET /static/a.", reading: lenient, want: KeyMissing},
		{request: "GET /static/admin./x", reading: lenient, want: KeyMissing},
	} {
		t.Run(c.request+"?"+c.query, func(t *testing.T) {
			group := site(t)
			method, path, _ := strings.Cut(c.request, " ")
			request := &Request{Method: method, Host: host, Path: path, RawQuery: c.query, Reading: c.reading}
			got := Decide(&claiming{memory: &memory{health: Synced}, named: []*Group{group}}, request, now)
			checkPublic(t, got, c.want, group)
		})
	}
}

// checkPublic compares a decision with what is wanted, and holds each to what belongs to it.
func checkPublic(t *testing.T, got Decision, want Code, group *Group) {
	t.Helper()
	if got.Code != want || got.Allowed() != (want == Public) {
		t.Fatalf("%v, want %v", got.Code, want)
	}
	if want != Public {
		if got.Group != nil || got.Project != nil {
			t.Errorf("a denial without a key is of group %v, project %v", got.Group, got.Project)
		}
		return
	}
	if got.Group != group || got.Project == nil || got.Project.Name != "web" || got.Key != (Key{Scope: noKeys}) || got.Charged() != nil {
		t.Errorf("group %v, project %v, key %v, charged %v", got.Group, got.Project, got.Key, got.Charged())
	}
}

// TestWhoseIsAPublicRequest: a request without a key is public only if one group alone claims it.
func TestWhoseIsAPublicRequest(t *testing.T) {
	all := []string{"/**"}
	open := func(name string, list ...routing.Route) *Group { return groupOf(name, public(t, "web", all, list...)) }
	closed := func(name string, list ...routing.Route) *Group { return groupOf(name, public(t, "web", nil, list...)) }
	exact, wild := routing.Route{Hosts: []string{"www.acme.com"}}, routing.Route{Hosts: []string{"*.acme.com"}}
	part := routing.Route{Hosts: []string{"www.acme.com"}, Paths: []string{"/x/y"}}
	elsewhere := routing.Route{Hosts: []string{"www.acme.com"}, Paths: []string{"/elsewhere"}}
	anyHost := routing.Route{Paths: []string{"/x/**"}}
	asked := routing.Route{Hosts: []string{"www.acme.com"}, Query: map[string][]string{"a": {"1"}}}
	implicit := groupOf("implicit", Project{Name: "default", OwnsAll: true})
	inactive := func(group *Group, state State) *Group {
		group.State = state
		return group
	}
	type groups = []*Group
	for _, c := range []struct {
		name          string
		named, others groups
		query         string
		project       string
		want          Code
	}{
		{name: "nobody's", want: KeyMissing},
		{name: "one with the host", named: groups{open("acme", exact)}, want: Public},
		{name: "one for any host", others: groups{open("acme", anyHost)}, want: Public},
		{name: "one that is there twice", named: groups{open("acme", exact, anyHost)}, others: groups{}, want: Public},
		{name: "two with the host", named: groups{open("acme", exact), closed("other", exact)}, want: KeyMissing},
		{name: "two with the host, the other way round", named: groups{closed("other", exact), open("acme", exact)}, want: KeyMissing},
		{name: "two that both open it", named: groups{open("acme", exact), open("other", exact)}, want: KeyMissing},
		{name: "the other is more specific", named: groups{open("acme", wild), closed("other", part)}, want: KeyMissing},
		{name: "the other is less specific", named: groups{open("acme", part), closed("other", wild)}, want: KeyMissing},
		{name: "the other has the host for another path", named: groups{open("acme", exact), closed("other", elsewhere)}, want: Public},
		{name: "the other may have it, as some read the query", named: groups{open("acme", exact), closed("other", asked)},
			query: "a=1&a=2", want: KeyMissing},
		{name: "the host comes before any host", named: groups{open("acme", wild)}, others: groups{implicit, closed("other", anyHost)}, want: Public},
		{name: "any host comes after the host", named: groups{closed("other", wild)}, others: groups{open("acme", anyHost)}, want: KeyMissing},
		{name: "two for any host", others: groups{open("acme", anyHost), implicit}, want: KeyMissing},
		{name: "the host is for another path, and any host is one's", named: groups{closed("other", elsewhere)},
			others: groups{open("acme", anyHost)}, want: Public},
		{name: "suspended", named: groups{inactive(open("acme", exact), Suspended)}, want: KeyMissing},
		{name: "frozen", named: groups{inactive(open("acme", exact), Frozen)}, want: KeyMissing},
		{name: "the other is suspended, and keeps what is its", named: groups{open("acme", exact), inactive(closed("other", exact), Suspended)},
			want: KeyMissing},
		{name: "a named project", named: groups{open("acme")}, project: "web", want: Public},
		{name: "a named project that two have", named: groups{open("acme"), closed("other")}, project: "web", want: KeyMissing},
		{name: "a named project without public paths", named: groups{closed("acme")}, project: "web", want: KeyMissing},
		{name: "two projects that tie", named: groups{groupOf("acme", public(t, "web", all, exact), public(t, "zoo", nil, exact))}, want: KeyMissing},
		{name: "two projects that tie, of which the later opens it",
			named: groups{groupOf("acme", public(t, "app", nil, exact), public(t, "web", all, exact))}, want: KeyMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := &Request{Method: "GET", Host: "www.acme.com", Path: "/x/y", RawQuery: c.query, TrustedProject: c.project}
			got := Decide(&claiming{&memory{health: Synced}, c.named, c.others}, request, now)
			var owner *Group
			for _, group := range append(c.named, c.others...) {
				if group.HasPublic {
					owner = group
				}
			}
			checkPublic(t, got, c.want, owner)
		})
	}
}

// TestAKeyIsJudgedOnPublicPaths: whoever presents a key hears about that key, also where none is needed.
func TestAKeyIsJudgedOnPublicPaths(t *testing.T) {
	group := site(t)
	snapshot := &claiming{memory: &memory{health: Synced, matches: map[keyformat.Digest]Match{}}, named: []*Group{group}}
	for form, want := range map[Form]Code{Absent: Public, Malformed: KeyMalformed, WellFormed: KeyUnknown, Foreign: KeyMalformed} {
		request := &Request{Method: "GET", Host: "www.acme.com", Path: "/robots.txt", Credential: Credential{Form: form}}
		if got := Decide(snapshot, request, now); got.Code != want {
			t.Errorf("form %d: %v, want %v", form, got.Code, want)
		}
	}
	snapshot.matches[digest] = Match{Group: group, Key: Key{ID: "k1", Scope: &Scope{Projects: []string{"web"}, Permissions: []string{"read"}}}}
	request := &Request{Method: "GET", Host: "www.acme.com", Path: "/robots.txt", Credential: Credential{WellFormed, digest}}
	if got := Decide(snapshot, request, now); got.Code != OriginMissing {
		t.Errorf("a good key where its project demands an origin: %v", got.Code)
	}
	group.Projects[2].Origins.AllowMissing = true
	if got := Decide(snapshot, request, now); got.Code != Allowed || got.Key.ID != "k1" || got.Charged() != group {
		t.Errorf("a good key: %v of %q", got.Code, got.Key.ID)
	}
}

// TestPublicIsNoWayAround: what asks about a key, and what nobody can decide on yet, needs a key or waits.
func TestPublicIsNoWayAround(t *testing.T) {
	snapshot := &claiming{memory: &memory{health: Synced}, named: []*Group{site(t)}}
	request := Request{Method: "GET", Host: "www.acme.com", Path: "/robots.txt", AboutKey: true}
	if got := Decide(snapshot, &request, now); got.Code != KeyMissing {
		t.Errorf("about a key: %v", got.Code)
	}
	request.AboutKey = false
	for health, want := range map[Health]Code{Unsynced: NotSynced, TooStale: Stale} {
		snapshot.health = health
		if got := Decide(snapshot, &request, now); got.Code != want {
			t.Errorf("health %d: %v", health, got.Code)
		}
	}
	if got := Decide(&memory{health: Synced}, &request, now); got.Code != KeyMissing {
		t.Errorf("a snapshot without claims: %v", got.Code)
	}
}

// TestPagesReadPublicPaths: who may read the response is what the project's allowlists say, as with a key.
func TestPagesReadPublicPaths(t *testing.T) {
	group := site(t)
	group.Projects[2].Origins.Patterns = patterns(t, "https://shop.example")
	snapshot := &claiming{memory: &memory{health: Synced}, named: []*Group{group}}
	for from, readable := range map[string]bool{"https://shop.example": true, "https://evil.example": false, "null": false, "": false} {
		request := &Request{Method: "GET", Host: "www.acme.com", Path: "/robots.txt", Origin: from}
		if got := Decide(snapshot, request, now); got.Code != Public || got.OriginAllowed != readable {
			t.Errorf("%q: %v, readable %v", from, got.Code, got.OriginAllowed)
		}
	}
}

// TestPublicWorkIsBounded: the largest groups that their owners can write cost a stranger's request no more than the bound.
func TestPublicWorkIsBounded(t *testing.T) {
	var paths []string
	for i := range 30 {
		paths = append(paths, "/*a*b*c*d*e"+strings.Repeat("f", i)+"*/**")
	}
	var groups []*Group
	for range 500 {
		groups = append(groups, groupOf("other", public(t, "web", nil, routing.Route{Paths: paths})))
	}
	groups = append(groups, groupOf("acme", public(t, "web", []string{"/**"}, routing.Route{Paths: []string{"/**"}})))
	e := evaluation{request: &Request{Path: "/" + strings.Repeat("abcde", 1000)}}
	e.routing.Method, e.routing.Path = "GET", e.request.Path
	if got := e.public(nil, groups); got != KeyMissing {
		t.Errorf("beyond the bound: %v", got)
	}
	if over := e.routing.Spent() - routing.MaxWork; over > publicWork/4 {
		t.Errorf("%d units more than the bound", over)
	}
}
