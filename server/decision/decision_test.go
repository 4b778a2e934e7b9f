package decision

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
)

// memory is a Snapshot in a map.
type memory struct {
	health  Health
	matches map[keyformat.Digest]Match
	groups  []*Group // for Allowing
	tooMany bool
}

func (m *memory) Health(time.Time) Health { return m.health }

func (m *memory) Find(digest keyformat.Digest) (Match, bool) {
	match, ok := m.matches[digest]
	return match, ok
}

func (m *memory) Allowing(from origin.Origin, matches func(*Group) bool) (found, tooMany bool) {
	return !m.tooMany && slices.ContainsFunc(m.groups, func(g *Group) bool { return g.Allows(from) && matches(g) }), m.tooMany
}

var (
	now    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	digest = keyformat.Digest{1}
)

func routes(t testing.TB, list ...routing.Route) []routing.Matcher {
	t.Helper()
	var compiled []routing.Matcher
	for _, route := range list {
		m, err := routing.Compile(route)
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, m)
	}
	return compiled
}

// acme is a group with two projects and one capability, and a key to the first project.
func acme(t testing.TB) (*memory, *Match) {
	t.Helper()
	pattern, err := origin.ParsePattern("*.acme.com")
	if err != nil {
		t.Fatal(err)
	}
	group := &Group{
		Identity: "tenants/acme", State: Active,
		Projects: []Project{
			{Name: "archive"},
			{Name: "marketing",
				Routes:  routes(t, routing.Route{Paths: []string{"/api/scenes/mkt-*"}}, routing.Route{Paths: []string{"/shared/**"}}),
				Origins: Origins{Patterns: []origin.Pattern{pattern}, AllowLocalhost: true, AllowMissing: true}},
			{Name: "product",
				Routes:  routes(t, routing.Route{Paths: []string{"/api/scenes/prd-*"}}, routing.Route{Paths: []string{"/shared/**"}}),
				Origins: Origins{}},
		},
		Capabilities: []Capability{{Name: "checkout",
			Routes: routes(t, routing.Route{Methods: []string{"POST"}, Paths: []string{"/shared/checkout"}})}},
	}
	match := &Match{Key: Key{ID: "k1", Scope: &Scope{Projects: []string{"marketing"}, Permissions: []string{"read"}}}, Group: group}
	return &memory{health: Synced, matches: map[keyformat.Digest]Match{}}, match
}

// setup is one case of TestDecide, before it is changed.
type setup struct {
	snapshot *memory
	match    *Match
	request  *Request
}

func TestDecide(t *testing.T) {
	instant := now.UnixMilli()
	for name, c := range map[string]struct {
		want    Code
		arrange func(*setup)
	}{
		"allowed":        {Allowed, func(*setup) {}},
		"head":           {Allowed, func(s *setup) { s.request.Method = "HEAD" }},
		"not synced":     {NotSynced, func(s *setup) { s.snapshot.health = Unsynced; s.request.Path = "//" }},
		"stale":          {Stale, func(s *setup) { s.snapshot.health = TooStale; s.request.Path = "//" }},
		"ambiguous path": {PathAmbiguous, func(s *setup) { s.request.Path = "/a/../b"; s.request.Credential = Credential{} }},
		"no path":        {PathAmbiguous, func(s *setup) { s.request.Path = "" }},
		"path too long": {PathTooLong, func(s *setup) {
			s.request.Path, s.request.Host, s.request.Credential = "//"+strings.Repeat("a", routing.MaxPath), "a..b", Credential{}
		}},
		"host invalid":    {HostInvalid, func(s *setup) { s.request.Host, s.request.Path, s.request.Credential = "a..b", "//", Credential{} }},
		"no host":         {Allowed, func(s *setup) { s.request.Host = "" }},
		"ambiguous query": {QueryAmbiguous, func(s *setup) { s.request.RawQuery, s.request.Credential = "a b", Credential{} }},
		"a parameter read in two ways": {QueryAmbiguous, func(s *setup) {
			s.addRoute(t, 2, routing.Route{Paths: []string{"/shared/**"}, Query: map[string][]string{"id": {"1"}}})
			s.request.Path, s.request.RawQuery = "/shared/x", "id[]=1"
		}},
		"a parameter read in two ways, of the same project": {Allowed, func(s *setup) {
			s.addRoute(t, 1, routing.Route{Paths: []string{"/shared/**"}, Query: map[string][]string{"id": {"1"}}})
			s.request.Path, s.request.RawQuery = "/shared/x", "id[]=1"
		}},
		"a parameter read in two ways, for a route that is less specific": {Allowed, func(s *setup) {
			s.addRoute(t, 2, routing.Route{Paths: []string{"/**"}, Query: map[string][]string{"id": {"1"}}})
			s.request.Path, s.request.RawQuery = "/shared/x", "id[]=1"
		}},
		"a parameter read in two ways, by a trusted project": {Allowed, func(s *setup) {
			s.addRoute(t, 2, routing.Route{Paths: []string{"/shared/**"}, Query: map[string][]string{"id": {"1"}}})
			s.request.Path, s.request.RawQuery, s.request.TrustedProject = "/shared/x", "id[]=1", "marketing"
		}},
		"routes that take too much work": {ProjectUnknown, func(s *setup) {
			var paths []string
			for i := range 32 {
				paths = append(paths, fmt.Sprintf("/*%s%d*", strings.Repeat("a", 1000), i))
			}
			for range 8 {
				s.addRoute(t, 2, routing.Route{Paths: paths})
			}
			s.addRoute(t, 1, routing.Route{Paths: []string{"/**"}})
			s.request.Path = "/" + strings.Repeat("a", routing.MaxPath-1)
		}},
		"a slash at the end": {Allowed, func(s *setup) { s.request.Path = "/api/scenes/mkt-1/" }},
		"a slash at the end, of another": {ProjectDenied, func(s *setup) {
			s.addRoute(t, 2, routing.Route{Paths: []string{"/shared/report"}})
			s.request.Path = "/shared/report/"
		}},
		"capability and a slash": {PermissionDenied, func(s *setup) {
			s.grant("checkout")
			s.request.Method, s.request.Path = "POST", "/shared/checkout/"
		}},
		"missing":   {KeyMissing, func(s *setup) { s.request.Credential = Credential{} }},
		"malformed": {KeyMalformed, func(s *setup) { s.request.Credential.Form = Malformed }},
		"imported":  {Allowed, func(s *setup) { s.request.Credential.Form = Foreign }},
		"not imported": {KeyMalformed, func(s *setup) {
			s.request.Credential = Credential{Form: Foreign, Digest: keyformat.Digest{2}}
		}},
		"a form of the future": {KeyMalformed, func(s *setup) { s.request.Credential.Form = 9 }},
		"unknown":              {KeyUnknown, func(s *setup) { s.request.Credential.Digest = keyformat.Digest{2} }},
		"revoked": {KeyRevoked, func(s *setup) {
			s.match.Version = Version{Revoked: true, ExpiresAtMillis: 1, RetiresAtMillis: 1}
		}},
		"expired":               {KeyExpired, func(s *setup) { s.match.Version = Version{ExpiresAtMillis: instant, RetiresAtMillis: 1} }},
		"expires in 1 ms":       {Allowed, func(s *setup) { s.match.Version.ExpiresAtMillis = instant + 1 }},
		"retired":               {KeyRetired, func(s *setup) { s.match.Version.RetiresAtMillis = instant; s.match.Key.Suspended = true }},
		"retires in 1 ms":       {Allowed, func(s *setup) { s.match.Version.RetiresAtMillis = instant + 1 }},
		"key suspended":         {KeySuspended, func(s *setup) { s.match.Key.Suspended = true; s.match.Group.State = Frozen }},
		"group frozen":          {GroupFrozen, func(s *setup) { s.match.Group.State = Frozen; s.request.Path = "/none" }},
		"group suspended":       {GroupSuspended, func(s *setup) { s.match.Group.State = Suspended }},
		"group of the future":   {GroupSuspended, func(s *setup) { s.match.Group.State = 9 }},
		"no project":            {ProjectUnknown, func(s *setup) { s.request.Path = "/none"; s.request.Origin = "null" }},
		"other project":         {ProjectDenied, func(s *setup) { s.request.Path = "/api/scenes/prd-1"; s.request.Origin = "null" }},
		"tie goes to the first": {Allowed, func(s *setup) { s.request.Path = "/shared/x" }},
		"most specific route": {ProjectDenied, func(s *setup) {
			s.match.Group.Projects[2].Routes = append(s.match.Group.Projects[2].Routes, routes(t, routing.Route{Paths: []string{"/shared/x"}})...)
			s.request.Path = "/shared/x"
		}},
		"trusted":                {Allowed, func(s *setup) { s.request.Path = "/none"; s.request.TrustedProject = "marketing" }},
		"trusted over routes":    {ProjectDenied, func(s *setup) { s.request.TrustedProject = "product" }},
		"trusted but unknown":    {ProjectUnknown, func(s *setup) { s.request.TrustedProject = "nope" }},
		"trusted without routes": {ProjectDenied, func(s *setup) { s.request.TrustedProject = "archive" }},
		"owns all":               {ProjectDenied, func(s *setup) { s.request.Path = "/none"; s.match.Group.Projects[0].OwnsAll = true }},
		"routes before owns all": {Allowed, func(s *setup) { s.match.Group.Projects[0].OwnsAll = true }},
		"origin allowed":         {Allowed, func(s *setup) { s.request.Origin = "https://www.acme.com" }},
		"origin foreign":         {OriginDenied, func(s *setup) { s.request.Origin = "https://evilacme.com" }},
		"origin null":            {OriginDenied, func(s *setup) { s.request.Origin = "null"; s.request.Referer = "https://www.acme.com/" }},
		"origin unreadable":      {OriginDenied, func(s *setup) { s.request.Origin = "https://a.acme.com, https://b.acme.com" }},
		"origin before referer": {OriginDenied, func(s *setup) {
			s.request.Origin, s.request.Referer = "https://evil.com", "https://www.acme.com/"
		}},
		"referer allowed":    {Allowed, func(s *setup) { s.request.Referer = "https://www.acme.com/page?x" }},
		"referer foreign":    {OriginDenied, func(s *setup) { s.request.Referer = "https://evil.com/www.acme.com" }},
		"referer unreadable": {OriginDenied, func(s *setup) { s.request.Referer = "android-app://com.acme" }},
		"localhost":          {Allowed, func(s *setup) { s.request.Origin = "http://localhost:3000" }},
		"localhost not allowed": {OriginDenied, func(s *setup) {
			s.request.Origin = "http://localhost"
			s.match.Group.Projects[1].Origins.AllowLocalhost = false
		}},
		"origin missing": {OriginMissing, func(s *setup) {
			s.match.Group.Projects[1].Origins.AllowMissing = false
			s.request.Method = "POST"
		}},
		"write":                  {PermissionDenied, func(s *setup) { s.request.Method = "POST" }},
		"lowercase method":       {PermissionDenied, func(s *setup) { s.request.Method = "get" }},
		"capability not granted": {PermissionDenied, func(s *setup) { s.request.Method, s.request.Path = "POST", "/shared/checkout" }},
		"capability granted": {Allowed, func(s *setup) {
			s.grant("checkout")
			s.request.Method, s.request.Path = "POST", "/shared/checkout"
		}},
		"capability elsewhere": {PermissionDenied, func(s *setup) {
			s.grant("checkout")
			s.request.Method, s.request.Path = "POST", "/shared/other"
		}},
		"capability without read":   {PermissionDenied, func(s *setup) { s.match.Key.Scope.Permissions = []string{"checkout"} }},
		"permission without a name": {PermissionDenied, func(s *setup) { s.match.Key.Scope.Permissions = []string{"gone"} }},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot, match := acme(t)
			s := setup{snapshot, match, &Request{Credential: Credential{WellFormed, digest}, Method: "GET", Host: "cdn.acme.com",
				Path: "/api/scenes/mkt-1"}}
			c.arrange(&s)
			s.snapshot.matches[digest] = *s.match
			got := Decide(s.snapshot, s.request, now)
			if got.Code != c.want {
				t.Errorf("got %v, want %v", got.Code, c.want)
			}
			if (got.Code == Allowed || got.Code >= ProjectDenied) != (got.Project != nil) {
				t.Errorf("%v with project %v", got.Code, got.Project)
			}
		})
	}
}

// addRoute adds a route to a project.
func (s *setup) addRoute(t *testing.T, project int, route routing.Route) {
	p := &s.match.Group.Projects[project]
	p.Routes = append(p.Routes, routes(t, route)...)
}

// grant adds a permission to the key.
func (s *setup) grant(permission string) {
	s.match.Key.Scope.Permissions = append(s.match.Key.Scope.Permissions, permission)
}

// TestNothingButTheRightKeyIsAllowed draws requests and keys: what is allowed has passed
// every check on its own.
func TestNothingButTheRightKeyIsAllowed(t *testing.T) {
	snapshot, match := acme(t)
	rapid.Check(t, func(t *rapid.T) {
		instant := func(label string) int64 {
			return rapid.SampledFrom([]int64{0, now.UnixMilli() - 1, now.UnixMilli(), now.UnixMilli() + 1}).Draw(t, label)
		}
		m := *match
		m.Version = Version{instant("expires"), instant("retires"), rapid.Bool().Draw(t, "revoked")}
		m.Key = Key{Suspended: rapid.Bool().Draw(t, "suspended"), Scope: &Scope{
			Projects:    rapid.SliceOf(rapid.SampledFrom([]string{"archive", "marketing", "product"})).Draw(t, "projects"),
			Permissions: rapid.SliceOf(rapid.SampledFrom([]string{"read", "checkout"})).Draw(t, "permissions"),
		}}
		snapshot.matches[digest] = m
		request := &Request{
			Credential: Credential{rapid.SampledFrom([]Form{Absent, Malformed, WellFormed}).Draw(t, "form"), digest},
			Method:     rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"),
			Path:       rapid.SampledFrom([]string{"/api/scenes/mkt-1", "/api/scenes/prd-1", "/shared/checkout", "/none", "//"}).Draw(t, "path"),
			Origin:     rapid.SampledFrom([]string{"", "null", "https://www.acme.com", "https://evil.com"}).Draw(t, "origin"),
		}
		d := Decide(snapshot, request, now)
		if !d.Allowed() {
			return
		}
		v := m.Version
		switch {
		case v.Revoked,
			v.ExpiresAtMillis != 0 && v.ExpiresAtMillis <= now.UnixMilli(),
			v.RetiresAtMillis != 0 && v.RetiresAtMillis <= now.UnixMilli():
			t.Fatal("a version that is over")
		case m.Key.Suspended, request.Credential.Form != WellFormed:
			t.Fatal("a key that is not good")
		case !slices.Contains(m.Key.Scope.Projects, d.Project.Name):
			t.Fatal("a project outside of the scope")
		case request.Origin == "https://evil.com" || request.Origin == "null":
			t.Fatal("a foreign origin")
		}
	})
}

func TestDecideDoesNotAllocate(t *testing.T) {
	snapshot, request := many(t, 1000)
	if n := testing.AllocsPerRun(100, func() {
		if !Decide(snapshot, request, now).Allowed() {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// many returns a snapshot of n keys, and a request with an origin for one of them.
func many(t testing.TB, n int) (*memory, *Request) {
	t.Helper()
	snapshot, match := acme(t)
	for i := range n {
		var d keyformat.Digest
		binary.BigEndian.PutUint64(d[:], uint64(i)*0x9e3779b97f4a7c15)
		snapshot.matches[d] = *match
	}
	snapshot.matches[digest] = *match
	return snapshot, &Request{
		Credential: Credential{WellFormed, digest}, Method: "GET", Host: "cdn.acme.com",
		Path: "/api/scenes/mkt-1", Origin: "https://www.acme.com",
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 1_000_000} {
		b.Run(map[bool]string{true: "OneKey", false: "MillionKeys"}[n == 1], func(b *testing.B) {
			snapshot, request := many(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				Decide(snapshot, request, now)
			}
		})
	}
}
