package decision

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/internal/routing"
)

func TestPreflight(t *testing.T) {
	const allowed = "https://www.acme.com"
	type want struct {
		code           Code
		origin, method bool
	}
	for name, c := range map[string]struct {
		want    want
		arrange func(*setup)
	}{
		"allowed":               {want{Preflight, true, true}, func(*setup) {}},
		"a key does not matter": {want{Preflight, true, true}, func(s *setup) { s.request.Credential = Credential{Form: Malformed} }},
		"foreign":               {want{OriginDenied, false, false}, func(s *setup) { s.request.Origin = "https://evilacme.com" }},
		"opaque":                {want{OriginDenied, false, false}, func(s *setup) { s.request.Origin = "null" }},
		"unreadable":            {want{OriginDenied, false, false}, func(s *setup) { s.request.Origin = allowed + "/" }},
		"localhost":             {want{Preflight, true, true}, func(s *setup) { s.request.Origin = "http://localhost:5173" }},
		"another project":       {want{OriginDenied, false, false}, func(s *setup) { s.request.Path = "/api/scenes/prd-1" }},
		"no project":            {want{OriginDenied, false, false}, func(s *setup) { s.request.Path = "/none" }},
		"trusted project": {want{Preflight, true, true},
			func(s *setup) { s.request.Path, s.request.TrustedProject = "/none", "marketing" }},
		"other trusted project": {want{OriginDenied, false, false}, func(s *setup) { s.request.TrustedProject = "product" }},
		"a group of many": {want{Preflight, true, true}, func(s *setup) {
			s.snapshot.groups = append([]*Group{{}, {Projects: []Project{{Name: "default", OwnsAll: true}}}}, s.snapshot.groups...)
		}},
		"no group":                  {want{OriginDenied, false, false}, func(s *setup) { s.snapshot.groups = nil }},
		"too many groups":           {want{Preflight, true, true}, func(s *setup) { s.snapshot.groups, s.snapshot.tooMany = nil, true }},
		"too many, opaque":          {want{OriginDenied, false, false}, func(s *setup) { s.snapshot.tooMany, s.request.Origin = true, "null" }},
		"a frozen group":            {want{Preflight, true, true}, func(s *setup) { s.match.Group.State = Frozen }},
		"a method of no capability": {want{Preflight, true, false}, func(s *setup) { s.request.PreflightMethod = "DELETE" }},
		"a method of a capability": {want{Preflight, true, true}, func(s *setup) {
			s.request.PreflightMethod, s.request.Path = "POST", "/shared/checkout"
		}},
		"ambiguous path": {want{PathAmbiguous, true, false}, func(s *setup) { s.request.Path = "//" }},
		"ambiguous path, foreign": {want{PathAmbiguous, false, false},
			func(s *setup) { s.request.Path, s.request.Origin = "//", "https://evil.com" }},
		"too long": {want{PathTooLong, true, false},
			func(s *setup) { s.request.Path = "/" + strings.Repeat("a", routing.MaxPath) }},
		"invalid host":    {want{HostInvalid, true, false}, func(s *setup) { s.request.Host = "a..b" }},
		"ambiguous query": {want{QueryAmbiguous, true, false}, func(s *setup) { s.request.RawQuery = "#" }},
		"a parameter read in two ways": {want{OriginDenied, false, false}, func(s *setup) {
			s.addRoute(t, 2, routing.Route{Paths: []string{"/api/scenes/*"}, Query: map[string][]string{"id": {"1"}}})
			s.match.Group.Projects[1].Routes = routes(t, routing.Route{Paths: []string{"/**"}})
			s.request.RawQuery = "id[]=1"
		}},
		"a group that takes too much work": {want{Preflight, true, true}, func(s *setup) {
			s.match.Group.Projects[2].Routes = nil
			for range SearchWork >> 12 {
				s.addRoute(t, 2, routing.Route{Paths: []string{"/*" + strings.Repeat("a", 1000) + "b*"}})
			}
			s.request.Path, s.request.PreflightMethod = "/"+strings.Repeat("a", routing.MaxPath-1), "DELETE"
		}},
		"not synced": {want{NotSynced, false, false}, func(s *setup) { s.snapshot.health = Unsynced }},
		"stale":      {want{Stale, false, false}, func(s *setup) { s.snapshot.health = TooStale }},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot, match := acme(t)
			snapshot.groups = []*Group{match.Group}
			s := setup{snapshot, match, &Request{Method: "OPTIONS", PreflightMethod: "GET", Host: "cdn.acme.com",
				Path: "/api/scenes/mkt-1", Origin: allowed}}
			c.arrange(&s)
			got := Decide(s.snapshot, s.request, now)
			if (want{got.Code, got.OriginAllowed, got.MethodAllowed}) != c.want {
				t.Errorf("got %v, origin %v, method %v", got.Code, got.OriginAllowed, got.MethodAllowed)
			}
		})
	}
}

// TestOriginAllowed: a page may read the response if its origin is allowed, by the project if that is known, or by those
// that may be the project.
func TestOriginAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		want    bool
		code    Code
		arrange func(*setup)
	}{
		"allowed":        {true, Allowed, func(*setup) {}},
		"no origin":      {false, Allowed, func(s *setup) { s.request.Origin = "" }},
		"by referer":     {false, Allowed, func(s *setup) { s.request.Origin, s.request.Referer = "", "https://www.acme.com/" }},
		"no permission":  {true, PermissionDenied, func(s *setup) { s.request.Method = "POST" }},
		"foreign":        {false, OriginDenied, func(s *setup) { s.request.Origin = "https://evil.com" }},
		"opaque":         {false, OriginDenied, func(s *setup) { s.request.Origin = "null" }},
		"no key":         {true, KeyMissing, func(s *setup) { s.request.Credential = Credential{} }},
		"no key, opaque": {false, KeyMissing, func(s *setup) { s.request.Credential, s.request.Origin = Credential{}, "null" }},
		"no key, foreign": {false, KeyMissing,
			func(s *setup) { s.request.Credential, s.request.Origin = Credential{}, "https://evil.com" }},
		"no key, unowned content": {false, KeyMissing, func(s *setup) { s.request.Credential, s.request.Path = Credential{}, "/none" }},
		"no key, too many groups": {true, KeyMissing, func(s *setup) { s.request.Credential, s.snapshot.tooMany = Credential{}, true }},
		"revoked":                 {true, KeyRevoked, func(s *setup) { s.match.Version.Revoked = true }},
		"frozen":                  {true, GroupFrozen, func(s *setup) { s.match.Group.State = Frozen }},
		"frozen, foreign": {false, GroupFrozen,
			func(s *setup) { s.match.Group.State, s.request.Origin = Frozen, "https://evil.com" }},
		"unowned content":               {true, ProjectUnknown, func(s *setup) { s.request.Path = "/none" }},
		"another project":               {false, ProjectDenied, func(s *setup) { s.request.Path = "/api/scenes/prd-1" }},
		"ambiguous path":                {true, PathAmbiguous, func(s *setup) { s.request.Path = "//" }},
		"not synced":                    {false, NotSynced, func(s *setup) { s.snapshot.health = Unsynced }},
		"options without asking for it": {true, PermissionDenied, func(s *setup) { s.request.Method = "OPTIONS" }},
	} {
		t.Run(name, func(t *testing.T) {
			snapshot, match := acme(t)
			snapshot.groups = []*Group{match.Group}
			s := setup{snapshot, match, &Request{Credential: Credential{WellFormed, digest}, Method: "GET", Path: "/api/scenes/mkt-1",
				Origin: "https://www.acme.com"}}
			c.arrange(&s)
			s.snapshot.matches[digest] = *s.match
			if got := Decide(s.snapshot, s.request, now); got.Code != c.code || got.OriginAllowed != c.want {
				t.Errorf("got %v, %v", got.Code, got.OriginAllowed)
			}
		})
	}
}
