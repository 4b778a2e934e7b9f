package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

// allows evaluates every project of a group.
func allows(g *decision.Group, from origin.Origin) bool {
	return slices.ContainsFunc(g.Projects, func(p decision.Project) bool {
		return p.Origins.AllowLocalhost && from.IsLocalhost() ||
			slices.ContainsFunc(p.Origins.Patterns, func(pattern origin.Pattern) bool { return pattern.Matches(from) })
	})
}

// allowsBeside reports whether a group may also be found by an origin that it does not allow: the index does not look
// into the label that a pattern has a '*' in.
func allowsBeside(g *decision.Group, from origin.Origin) bool {
	_, parent, _ := strings.Cut(from.Host, ".")
	return slices.ContainsFunc(g.Projects, func(p decision.Project) bool {
		return slices.ContainsFunc(p.Origins.Patterns, func(pattern origin.Pattern) bool {
			host, reach := pattern.Host()
			return reach == origin.OneLabel && host == parent
		})
	})
}

// TestAllowingFindsAll compares the index with evaluating every group, while groups are added, changed and deleted.
func TestAllowingFindsAll(t *testing.T) {
	patterns := []string{"acme.example", "*.acme.example", "https://www.acme.example", "*.shops.acme.example", "acme.example:8443",
		"localhost:3000", "[2001:db8::1]", "app-*.acme.example", "https://*-x.shops.acme.example", "capacitor://localhost"}
	hosts := []string{
		"https://acme.example", "http://www.acme.example", "https://a.b.shops.acme.example", "https://acme.example:8443", "http://localhost:3000",
		"http://127.0.0.1", "https://[2001:db8::1]", "https://evilacme.example", "https://example", "http://app.localhost",
		"https://app-1.acme.example", "http://app-1.acme.example", "https://a-x.shops.acme.example", "https://a.app-1.acme.example",
		"capacitor://localhost", "ionic://localhost",
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t, Config{})
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			g := group(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "group"))
			if rapid.IntRange(0, 3).Draw(rt, "gone") == 0 {
				apply(t, s, &syncv1.Update{DeletedGroups: []string{g.Identity()}})
				continue
			}
			for _, project := range []string{"p", "q"} {
				g.Projects = append(g.Projects, &syncv1.Project{Name: project, Origins: &syncv1.OriginPolicy{
					Patterns:       rapid.SliceOfN(rapid.SampledFrom(patterns), 0, 3).Draw(rt, "patterns"),
					AllowLocalhost: rapid.Bool().Draw(rt, "localhost"),
				}})
			}
			apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{g}})
		}
		for _, text := range hosts {
			from, err := origin.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var found []*decision.Group
			s.Allowing(from, func(g *decision.Group) bool {
				found = append(found, g)
				return false
			})
			for _, record := range s.groups {
				allowed, known := allows(record.compiled, from), slices.Contains(found, record.compiled)
				if allowed && !known || known && !allowed && !allowsBeside(record.compiled, from) {
					rt.Fatalf("%s: %s: found among %d", text, record.compiled.Identity, len(found))
				}
			}
			for _, g := range found {
				if s.groups[g.Identity].compiled != g {
					rt.Fatalf("%s: a group that was deleted", text)
				}
			}
		}
		for identity := range s.groups {
			apply(t, s, &syncv1.Update{DeletedGroups: []string{identity}})
		}
		if len(s.origins) > 0 {
			rt.Fatalf("without groups the index has %v", s.origins)
		}
	})
}

// tenants returns a store with n groups, each with a domain of its own and two that all have.
func tenants(t testing.TB, n int) *Store {
	t.Helper()
	s := open(t, Config{})
	update := &syncv1.Update{CaughtUp: true}
	for i := range n {
		g := group(fmt.Sprintf("tenant-%05d", i))
		g.Projects = []*syncv1.Project{{
			Name: "default", Routes: []*syncv1.Route{{Paths: []string{fmt.Sprintf("/tenants/%d/**", i)}}},
			Origins: &syncv1.OriginPolicy{Patterns: []string{fmt.Sprintf("*.tenant-%d.example", i), "app.platform.example"}, AllowLocalhost: true},
		}}
		update.Groups = append(update.Groups, g)
	}
	apply(t, s, update)
	return s
}

func preflight(from string) *decision.Request {
	return &decision.Request{Method: "OPTIONS", PreflightMethod: "GET", Host: "cdn.example", Path: "/tenants/7/x", Origin: from}
}

func TestOriginOfTooManyGroupsIsAllowed(t *testing.T) {
	s := tenants(t, maxAllowing+1)
	for from, want := range map[string]decision.Code{
		"https://www.tenant-7.example": decision.Preflight, "https://www.tenant-8.example": decision.OriginDenied,
		"https://app.platform.example": decision.Preflight, "http://app.platform.example:8080": decision.OriginDenied,
		"http://localhost:5173": decision.Preflight,
	} {
		if got := decision.Decide(s, preflight(from), time.Now()); got.Code != want {
			t.Errorf("%s: %v", from, got.Code)
		}
	}
}

func BenchmarkPreflight(b *testing.B) {
	s := tenants(b, 10_000)
	for name, from := range map[string]string{"OfOne": "https://www.tenant-7.example", "OfAll": "https://app.platform.example",
		"OfNone": "https://evil.example"} {
		b.Run(name, func(b *testing.B) {
			request, now := preflight(from), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				decision.Decide(s, request, now)
			}
		})
	}
	b.Run("OfTheMostThatAreAsked", func(b *testing.B) {
		s, request, now := tenants(b, maxAllowing), preflight("https://app.platform.example"), time.Now()
		request.Path = "/tenants/x"
		for b.Loop() {
			decision.Decide(s, request, now)
		}
	})
}
