package store

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestSharedOriginsAreOfTheirProjects: patterns that several projects allow count for these and for no other, and the
// group is found by them.
func TestSharedOriginsAreOfTheirProjects(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{{
		Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE,
		Projects: []*syncv1.Project{{Name: "c"}, {Name: "a", Origins: &syncv1.OriginPolicy{Patterns: []string{"own.example"}}}, {Name: "b"}},
		SharedOrigins: []*syncv1.SharedOrigins{
			{Owners: []uint32{0, 1}, Patterns: []string{"*.shared.example", "*"}},
			{Owners: []uint32{2, 3}, Patterns: []string{"b.example"}},
		},
	}}})
	for _, c := range []struct{ origin, projects string }{
		{"https://www.shared.example", "a c"}, {"https://b.example", "b"}, {"https://own.example", "a"}, {"https://other.example", ""},
	} {
		from, err := origin.Parse(c.origin)
		if err != nil {
			t.Fatal(err)
		}
		var allowing []string
		found, _ := s.Allowing(from, func(group *decision.Group) bool {
			for i := range group.Projects {
				o := &group.Projects[i].Origins
				for _, patterns := range append([][]origin.Pattern{o.Patterns}, o.Shared...) {
					for _, pattern := range patterns {
						if pattern.Matches(from) {
							allowing = append(allowing, group.Projects[i].Name)
						}
					}
				}
			}
			return true
		})
		if got := strings.Join(allowing, " "); got != c.projects || found != (c.projects != "") {
			t.Errorf("%s is allowed by the projects %q, want %q; the group is found: %v", c.origin, got, c.projects, found)
		}
	}
}

// TestGroupWithMostOriginsCostsLittleMemory: a group with the most patterns that it may have, in 64 projects each.
func TestGroupWithMostOriginsCostsLittleMemory(t *testing.T) {
	wire := &syncv1.Group{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_ACTIVE}
	var owners []uint32
	for i := range 64 {
		wire.Projects = append(wire.Projects, &syncv1.Project{Name: fmt.Sprintf("p%02d", i)})
		owners = append(owners, uint32(i))
	}
	for i := range 4096 { // as many lists, each for 32 or more of the projects
		wire.SharedOrigins = append(wire.SharedOrigins, &syncv1.SharedOrigins{
			Owners: owners[i%32:], Patterns: []string{fmt.Sprintf("https://*.d%04d.%s.example:8443", i, strings.Repeat("x", 35))},
		})
	}
	s := open(t, Config{})
	live := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := live()
	apply(t, s, &syncv1.Update{Groups: []*syncv1.Group{wire}})
	if took := live() - before; took > 12<<20 {
		t.Errorf("it takes %d KiB", took>>10)
	}
	runtime.KeepAlive(s)
}

func TestWithProject(t *testing.T) {
	s := open(t, Config{})
	update := &syncv1.Update{CaughtUp: true}
	for _, name := range []string{"c", "a", "b", "d"} {
		g := group(name)
		g.Projects = []*syncv1.Project{{Name: "web"}, {Name: "only-" + name}}
		update.Groups = append(update.Groups, g)
	}
	apply(t, s, update)
	for _, c := range []struct {
		project, group string
		want           string
	}{
		{"web", "", "[tenants/a tenants/b tenants/c] 1"}, {"only-b", "", "[tenants/b] 0"}, {"none", "", "[] 0"},
		{"web", "tenants/d", "[tenants/d] 0"}, {"only-b", "tenants/d", "[] 0"}, {"web", "tenants/none", "[] 0"},
	} {
		found, more := s.WithProject(c.project, c.group, 3)
		names := []string{}
		for _, g := range found {
			names = append(names, g.Identity)
		}
		if got := fmt.Sprint(names, more); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.project, c.group, got, c.want)
		}
	}
}
