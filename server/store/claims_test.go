package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

var _ decision.Claims = (*Store)(nil)

// web is a group with one project, whose routes are for the hosts, each on its own, where "" is any host.
func web(name string, public []string, hosts ...string) *syncv1.Group {
	project := &syncv1.Project{Name: "web-" + name, PublicPaths: public}
	for _, host := range hosts {
		route := &syncv1.Route{Paths: []string{"/**"}}
		if host != "" {
			route.Hosts = []string{host}
		}
		project.Routes = append(project.Routes, route)
	}
	return &syncv1.Group{Namespace: "tenants", Name: name, State: syncv1.GroupState_GROUP_STATE_ACTIVE, Projects: []*syncv1.Project{project}}
}

func names(groups []*decision.Group) string {
	var all []string
	for _, group := range groups {
		all = append(all, strings.TrimPrefix(group.Identity, "tenants/"))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

func claiming(s *Store, host, project string) string {
	named, others := s.Claiming(host, project)
	return names(named) + " | " + names(others)
}

func TestClaiming(t *testing.T) {
	s := open(t, Config{})
	implicit := &syncv1.Group{Namespace: "tenants", Name: "implicit", Projects: []*syncv1.Project{{Name: "default", OwnsAll: true}}}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{web("a", nil, "www.acme.com"), web("b", nil, "*.acme.com"), web("c", nil, ""), implicit}})
	if got := claiming(s, "www.acme.com", ""); got != " | " || s.claims != nil {
		t.Errorf("without public paths %q claim it, and there is an index of %d", got, len(s.claims))
	}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{web("d", []string{"/**"}, "*.www.acme.com", "[2001:db8::1]", "")}})
	for host, want := range map[string]string{
		"www.acme.com": "a b | c d implicit", "cdn.acme.com": "b | c d implicit", "x.www.acme.com": "b d | c d implicit",
		"acme.com": " | c d implicit", "[2001:db8::1]": "d | c d implicit", "": " | c d implicit", "www.acme.com.example": " | c d implicit",
	} {
		if got := claiming(s, host, ""); got != want {
			t.Errorf("%q is claimed by %q, want %q", host, got, want)
		}
	}
	for project, want := range map[string]string{"web-d": "d | ", "web-a": " | ", "default": " | ", "none": " | "} {
		if got := claiming(s, "www.acme.com", project); got != want {
			t.Errorf("project %q is that of %q, want %q", project, got, want)
		}
	}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{web("d", []string{"/**"}, "d.example")}})
	if got := claiming(s, "www.acme.com", ""); got != " | " { // nobody who claims it has public paths
		t.Errorf("after a change: %q", got)
	}
	if got := claiming(s, "d.example", ""); got != "d | c implicit" {
		t.Errorf("after a change: %q", got)
	}
	apply(t, s, &syncv1.Update{DeletedGroups: []string{"tenants/d"}})
	if got := claiming(s, "d.example", ""); got != " | " || s.claims != nil || s.public != 0 {
		t.Errorf("after the deletion %q claim it, and there is an index of %d", got, len(s.claims))
	}
}

// TestTooManyClaim: a host that very many groups claim is nobody's, and those that claim any host are left out if they are too many.
func TestTooManyClaim(t *testing.T) {
	s := open(t, Config{})
	var groups []*syncv1.Group
	for i := range maxClaiming {
		groups = append(groups, web(fmt.Sprintf("h%d", i), nil, "busy.example"), web(fmt.Sprintf("any%d", i), nil, ""))
	}
	apply(t, s, &syncv1.Update{Groups: append(groups, web("acme", []string{"/**"}, "busy.example", "acme.example", ""))})
	if got := claiming(s, "busy.example", ""); got != " | " {
		t.Errorf("a busy host is claimed by %q", got)
	}
	if got := claiming(s, "acme.example", ""); got != "acme | " {
		t.Errorf("a quiet host is claimed by %q", got)
	}
	if got := claiming(s, "other.example", ""); got != " | " {
		t.Errorf("any host is claimed by %q", got)
	}
}

// TestPublicPathsOfARecord: what cannot be used is not public, and what is cut off with the routes neither.
func TestPublicPathsOfARecord(t *testing.T) {
	s := open(t, Config{})
	acme := web("acme", []string{"/robots.txt", "robots.txt", "/a/../b", "/.well-known/**"}, "acme.example")
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{acme}})
	if got := s.groups["tenants/acme"].compiled.Projects[0].Public; len(got) != 2 {
		t.Errorf("%d of four public paths are in force, want the two that are valid", len(got))
	}
	if len(s.Rejections(true).GetRecords()) != 1 {
		t.Errorf("rejected: %v", s.Rejections(true))
	}
	broken := web("acme", []string{"/robots.txt"}, "acme.example", "not a host")
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{broken}})
	if got := claiming(s, "acme.example", ""); got != " | " {
		t.Errorf("without its routes the group claims it still: %q", got)
	}
	large := web("acme", nil, "acme.example")
	for i := range 2000 {
		large.Projects[0].PublicPaths = append(large.Projects[0].PublicPaths, fmt.Sprintf("/%d", i))
	}
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{large}})
	if compiled := s.groups["tenants/acme"].compiled; compiled.HasPublic || len(compiled.Projects[0].Routes) > 0 {
		t.Error("public paths beyond the size of all routes are in force")
	}
}

// TestClaimsFollowGroups changes groups at random. Regardless of what came before, the index is as if it had been made from what there is now.
func TestClaimsFollowGroups(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := open(t, Config{})
		for range rapid.IntRange(1, 30).Draw(r, "changes") {
			name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "group")
			if rapid.IntRange(0, 3).Draw(r, "deleted") == 0 {
				apply(t, s, &syncv1.Update{DeletedGroups: []string{"tenants/" + name}})
			} else {
				var public []string
				if rapid.Bool().Draw(r, "public") {
					public = []string{"/**"}
				}
				hosts := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a.example", "b.example", "*.example"}), 0, 3).Draw(r, "hosts")
				apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{web(name, public, hosts...)}})
			}
			compareClaims(r, s)
		}
	})
}

func compareClaims(t *rapid.T, s *Store) {
	want, public := map[claimed]string{}, 0
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		if s.groups[name].compiled.HasPublic {
			public++
		}
		for what := range claimsOf(s.groups[name].compiled) {
			want[what] += name + " "
		}
	}
	if public == 0 {
		want = map[claimed]string{}
	}
	got := map[claimed]string{}
	for what, records := range s.claims {
		var all []string
		for _, record := range records {
			all = append(all, record.compiled.Identity)
		}
		slices.Sort(all)
		got[what] = strings.Join(all, " ") + " "
	}
	if !maps.Equal(got, want) || s.public != public || s.opens.Load() != (public > 0) {
		t.Fatalf("%d groups with public paths, opens %v: %v, want %d: %v", s.public, s.opens.Load(), got, public, want)
	}
}
