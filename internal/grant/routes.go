package grant

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/routing"
	"github.com/keyward-dev/keyward/internal/tier"
)

// GroupProblems returns all that is wrong with the group alone and that its schema could not refuse.
// The routes that it names are not published; the rest of the group is in force.
func GroupProblems(group *v1alpha1.Group) Problems {
	problems := append(keyPolicy(group), defaultKeyName(group)...)
	problems = append(problems, invalidSpec(tier.ValidateLimits(&group.Spec.Limits, field.NewPath("spec", "limits")))...)
	for i := range group.Spec.Projects {
		problems = problems.addRoutes(fmt.Sprintf("spec.projects[%d]", i), group.Spec.Projects[i].Routes)
		problems = problems.addPublic(fmt.Sprintf("spec.projects[%d].public", i), group.Spec.Projects[i].Public)
	}
	for i := range group.Spec.Capabilities {
		problems = problems.addRoutes(fmt.Sprintf("spec.capabilities[%d]", i), group.Spec.Capabilities[i].Routes)
	}
	if problem := routesTooLarge(group); problem != nil {
		problems = append(problems, problem)
	}
	for _, subject := range []Subject{{}, {Allowlist: true}} {
		if from, path := Admits(subject, group); from.Selector != nil {
			if _, err := metav1.LabelSelectorAsSelector(from.Selector); err != nil {
				problems = append(problems, invalid(path+".selector", nil, err.Error()))
			}
		}
	}
	return problems
}

// Group returns the first problem of GroupProblems, or nil.
func Group(group *v1alpha1.Group) *Problem { return GroupProblems(group).First() }

// RoutesTooLarge reports whether the group has more routes than validation servers keep and compare requests with. A Group beyond
// the bound owns no request: with only a part of its routes, requests of the missing ones would go to the projects of the others.
func RoutesTooLarge(group *v1alpha1.Group) bool { return sizeOfRoutes(group) > routing.MaxSize }

func sizeOfRoutes(group *v1alpha1.Group) (size int) {
	add := func(routes []v1alpha1.Route) {
		for i := range routes {
			route := Route(&routes[i])
			size += route.Size()
		}
	}
	for i := range group.Spec.Projects {
		add(group.Spec.Projects[i].Routes)
		for _, path := range group.Spec.Projects[i].Public {
			public := routing.Public(path)
			size += public.Size()
		}
	}
	for i := range group.Spec.Capabilities {
		add(group.Spec.Capabilities[i].Routes)
	}
	return size
}

func routesTooLarge(group *v1alpha1.Group) *Problem {
	size := sizeOfRoutes(group)
	if size <= routing.MaxSize {
		return nil
	}
	return invalid("spec.projects", nil, fmt.Sprintf("all routes of projects and capabilities together have a size of %d, and may have %d "+
		"(their texts, with 32 bytes for a path, 64 for a query parameter and so on): write fewer or shorter ones, "+
		"such as a subtree /** in place of its paths, or a second Group; no route of it is in force until then", size, routing.MaxSize))
}

// Route returns the declared route in the form that routing compiles.
func Route(route *v1alpha1.Route) routing.Route {
	query := make(map[string][]string, len(route.Query))
	for name, values := range route.Query {
		query[name] = values
	}
	return routing.Route{Methods: route.Methods, Hosts: route.Hosts, Paths: route.Paths, Query: query}
}

func (p Problems) addRoutes(owner string, declared []v1alpha1.Route) Problems {
	for i := range declared {
		if p.full() {
			break
		}
		for _, wrong := range routing.Check(Route(&declared[i]), maxProblems+1) {
			path := fmt.Sprintf("%s.routes[%d]", owner, i)
			if wrong.Field != "" {
				path += "." + wrong.Field
			}
			p = append(p, invalid(path, wrong.Value, wrong.Message))
		}
	}
	return p
}
