package group

import (
	"fmt"
	"strings"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/routing"
)

// Bounds of the search for overlaps, which compares every route with every other.
const (
	// maxPositions is how many positions of patterns are compared for one Group: 50 ms at most on an ordinary machine.
	// This is a count and not a time, so that the same Group always has the same result.
	maxPositions = 1 << 22
	maxNamed     = 5
)

// overlaps names the routes of different projects that claim some request equally well. Complete is false if the search
// ended early.
func overlaps(projects []v1alpha1.Project) (found []string, complete bool) {
	type compiled struct {
		project string
		name    string
		matcher routing.Matcher
	}
	var all []compiled
	for i := range projects {
		for j := range projects[i].Routes {
			matcher, err := routing.Compile(grant.Route(&projects[i].Routes[j]))
			if err != nil {
				continue // reported as an invalid route, and not in force
			}
			name := fmt.Sprintf("spec.projects[%d].routes[%d]", i, j)
			all = append(all, compiled{string(projects[i].Name), name, matcher})
		}
	}
	search := routing.NewSearch(maxPositions)
	for i := range all {
		for j := range all[:i] {
			if all[i].project == all[j].project {
				continue
			}
			if len(found) == maxNamed {
				return found, false
			}
			ties := search.Ties(&all[i].matcher, &all[j].matcher)
			if search.Exhausted() {
				return found, false
			}
			if ties {
				found = append(found, fmt.Sprintf("%s (%s) and %s (%s)", all[j].name, all[j].project, all[i].name, all[i].project))
			}
		}
	}
	return found, true
}

func describeOverlaps(found []string, complete bool) (reason, message string) {
	if len(found) == 0 {
		if !complete {
			return v1alpha1.ReasonNoOverlap, "none was found among the first comparisons; the routes are too many, or have too many " +
				"wildcards, to compare all of them"
		}
		return v1alpha1.ReasonNoOverlap, "no two projects claim the same requests equally well"
	}
	more := ""
	if !complete {
		more = "; there may be more"
	}
	return v1alpha1.ReasonRoutesOverlap, fmt.Sprintf(
		"requests that both match go to the first project by name: %s%s; make one of each pair more specific", strings.Join(found, ", "), more)
}
