package group

import (
	"fmt"
	"strings"

	"github.com/keyward-dev/keyward/api/routing"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grant"
)

// Bounds of the search for overlaps, which compares every route with every other.
const (
	maxComparisons = 50_000
	maxNamed       = 5
)

// overlaps names the routes of different projects that claim some request equally well. It
// reports false for complete where the search was cut short.
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
	comparisons := 0
	for i := range all {
		for j := range all[:i] {
			if all[i].project == all[j].project {
				continue
			}
			if comparisons++; comparisons > maxComparisons || len(found) == maxNamed {
				return found, false
			}
			if routing.Ties(&all[i].matcher, &all[j].matcher) {
				found = append(found, fmt.Sprintf("%s (%s) and %s (%s)", all[j].name, all[j].project, all[i].name, all[i].project))
			}
		}
	}
	return found, true
}

func describeOverlaps(found []string, complete bool) (reason, message string) {
	if len(found) == 0 {
		if !complete {
			return v1alpha1.ReasonNoOverlap, "none was found among the first comparisons; there are too many routes to compare all of them"
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
