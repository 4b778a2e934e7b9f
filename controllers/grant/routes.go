package grant

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/origin"
	"github.com/keyward-dev/keyward/api/routing"
	"github.com/keyward-dev/keyward/api/v1alpha1"
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
	if problem := pathPatterns(group); problem != nil {
		return problem
	}
	if allowed := group.Spec.AllowedNamespaces; allowed.Selector != nil {
		if _, err := metav1.LabelSelectorAsSelector(allowed.Selector); err != nil {
			return invalid("spec.allowedNamespaces.selector", err)
		}
	}
	return nil
}

// pathPatterns bounds what validation servers have to compare a path with. A Group beyond it owns
// nothing there: a part of its routes would leave what the others own to the rest.
func pathPatterns(group *v1alpha1.Group) *Problem {
	size := 0
	add := func(routes []v1alpha1.Route) {
		for i := range routes {
			for _, path := range routes[i].Paths {
				size += len(path)
			}
		}
	}
	for i := range group.Spec.Projects {
		add(group.Spec.Projects[i].Routes)
	}
	for i := range group.Spec.Capabilities {
		add(group.Spec.Capabilities[i].Routes)
	}
	if size <= routing.MaxPatterns {
		return nil
	}
	return invalid("spec.projects", fmt.Errorf("all paths of projects and capabilities together have %d bytes, and may have %d: write fewer or shorter ones, such as a subtree /** in place of its paths, or a second Group; no route of it is in force until then",
		size, routing.MaxPatterns))
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
