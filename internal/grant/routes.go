package grant

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/origin"
	"github.com/keyward-dev/keyward/internal/routing"
)

// Group returns what is wrong with the group by itself that its schema could not refuse, or
// nil. What it names is left out of what is published; the rest of the group is in force.
func Group(group *v1alpha1.Group) *Problem {
	if problem := KeyPolicy(group); problem != nil {
		return problem
	}
	for i := range group.Spec.Projects {
		if problem := routes(fmt.Sprintf("spec.projects[%d]", i), group.Spec.Projects[i].Routes); problem != nil {
			return problem
		}
	}
	for i := range group.Spec.Capabilities {
		if problem := routes(fmt.Sprintf("spec.capabilities[%d]", i), group.Spec.Capabilities[i].Routes); problem != nil {
			return problem
		}
	}
	if problem := size(group); problem != nil {
		return problem
	}
	for _, subject := range []Subject{{}, {Allowlist: true}} {
		if from, field := Admits(subject, group); from.Selector != nil {
			if _, err := metav1.LabelSelectorAsSelector(from.Selector); err != nil {
				return invalid(field+".selector", err)
			}
		}
	}
	return nil
}

// size bounds what validation servers have to hold, and to compare requests with. A Group beyond
// it owns nothing there: a part of its routes would leave what the others own to the rest.
func size(group *v1alpha1.Group) *Problem {
	size := 0
	add := func(routes []v1alpha1.Route) {
		for i := range routes {
			route := Route(&routes[i])
			size += route.Size()
		}
	}
	for i := range group.Spec.Projects {
		add(group.Spec.Projects[i].Routes)
	}
	for i := range group.Spec.Capabilities {
		add(group.Spec.Capabilities[i].Routes)
	}
	if size <= routing.MaxSize {
		return nil
	}
	return invalid("spec.projects", fmt.Errorf("all routes of projects and capabilities together have a size of %d, and may have %d (their texts, with 32 bytes for a path, 64 for a query parameter and so on): write fewer or shorter ones, such as a subtree /** in place of its paths, or a second Group; no route of it is in force until then",
		size, routing.MaxSize))
}

// Domains returns what is wrong with the domains of an allowlist, or nil.
func Domains(list *v1alpha1.DomainAllowlist) *Problem {
	for i, domain := range list.Spec.Domains {
		if _, err := origin.ParsePattern(domain); err != nil {
			return invalid(fmt.Sprintf("spec.domains[%d]", i), err)
		}
	}
	return nil
}

// Route is the declared route in the form that routing compiles.
func Route(route *v1alpha1.Route) routing.Route {
	query := make(map[string][]string, len(route.Query))
	for name, values := range route.Query {
		query[name] = values
	}
	return routing.Route{Methods: route.Methods, Hosts: route.Hosts, Paths: route.Paths, Query: query}
}

func routes(owner string, declared []v1alpha1.Route) *Problem {
	for i := range declared {
		if _, err := routing.Compile(Route(&declared[i])); err != nil {
			return invalid(fmt.Sprintf("%s.routes[%d]", owner, i), err)
		}
	}
	return nil
}

func invalid(field string, err error) *Problem {
	return &Problem{Reason: v1alpha1.ReasonInvalidSpec, Field: field, Message: err.Error()}
}
