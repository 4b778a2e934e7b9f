package view

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
)

const (
	// shownOfRoute is how many hosts, paths or values of a route are named.
	shownOfRoute = 8
	anyText      = "any"
)

// Projects is the page of the projects of a Group.
func Projects(group *v1alpha1.Group) page.Projects {
	shown := page.Projects{}
	for i := range group.Spec.Projects {
		project := &group.Spec.Projects[i]
		shown.Projects = append(shown.Projects, page.Project{Name: string(project.Name), Routes: routes(project.Routes), Public: some(project.Public, "")})
	}
	if len(shown.Projects) == 0 {
		shown.Projects = []page.Project{{Name: string(v1alpha1.DefaultProject), All: true}}
	}
	for i := range group.Spec.Capabilities {
		capability := &group.Spec.Capabilities[i]
		shown.Capabilities = append(shown.Capabilities, page.Capability{
			Name: string(capability.Name), Routes: routes(capability.Routes), Cost: int64(ptr.Deref(capability.Cost, 1)),
		})
	}
	return shown
}

func routes(of []v1alpha1.Route) []page.Route {
	shown := make([]page.Route, 0, len(of))
	for i := range of {
		route := &of[i]
		var query []string
		for _, name := range slices.Sorted(maps.Keys(route.Query)) {
			query = append(query, name+"="+some(route.Query[name], ""))
		}
		shown = append(shown, page.Route{Methods: some(route.Methods, anyText), Hosts: some(route.Hosts, anyText), Paths: some(route.Paths, anyText),
			Query: orElse(strings.Join(query, "; "), anyText)})
	}
	return shown
}

// some names the first of all.
func some(all []string, none string) string { return orElse(first(shownOfRoute, all), none) }
