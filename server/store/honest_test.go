package store

import (
	"fmt"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestOrdinarySearchesAreExact: the documentation states for how many preflights a second searches are made. Each group has
// two projects with a route of a host and a path, and allows the origin.
func TestOrdinarySearchesAreExact(t *testing.T) {
	for _, c := range []struct{ groups, most int }{{1, 150}, {10, 1200}, {maxAllowing, decision.SearchWork / 2}} {
		s := open(t, Config{})
		update := &syncv1.Update{CaughtUp: true}
		for i := range c.groups {
			g := group(fmt.Sprintf("honest-%03d", i))
			g.Projects = nil
			for _, name := range []string{"content", "website"} {
				g.Projects = append(g.Projects, &syncv1.Project{
					Name: name, Origins: &syncv1.OriginPolicy{AllowLocalhost: true, Patterns: []string{"https://app.example"}},
					Routes: []*syncv1.Route{{Hosts: []string{fmt.Sprintf("cdn%d.example", i)}, Paths: []string{"/" + name + "/**"}}},
				})
			}
			update.Groups = append(update.Groups, g)
		}
		apply(t, s, update)
		for host, want := range map[string]decision.Code{
			fmt.Sprintf("cdn%d.example", c.groups-1): decision.Preflight, "elsewhere.example": decision.OriginDenied,
		} {
			request := &decision.Request{Method: "OPTIONS", PreflightMethod: "GET", Host: host, Path: "/content/1", Origin: "https://app.example"}
			got := decision.Begin(s, request, time.Now())
			spent := got.Finish(s, request, true)
			if got.Code != want || spent > c.most || spent == 0 {
				t.Errorf("%d groups, %s: %v for %d units, want %v for at most %d", c.groups, host, got.Code, spent, want, c.most)
			}
			t.Logf("%d groups, %s: %d units", c.groups, host, spent)
		}
	}
}
