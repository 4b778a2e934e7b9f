package grant

import (
	"fmt"
	"maps"
	"slices"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Granted is what a Group grants of what a key asks: never more than both have.
type Granted struct {
	Projects    []v1alpha1.ProjectName
	Permissions []v1alpha1.PermissionName
	Context     map[string]v1alpha1.ContextValue
	// Problem is the first reason why that is not everything; nil if it is.
	Problem *Problem
}

// Whole is everything that the key asks.
func Whole(key *v1alpha1.ApiKey) Granted {
	return Granted{Projects: key.Spec.Projects, Permissions: key.Spec.Permissions, Context: key.Spec.Context}
}

// Grant returns what the group grants of what the subject asks; group is nil where there is none. A Group that is missing or
// does not admit the namespace grants nothing.
func Grant(subject Subject, group *v1alpha1.Group) Granted {
	granted := Granted{
		Projects: subject.Projects, Permissions: subject.Permissions, Context: subject.Context, Problem: Check(subject, group),
	}
	switch {
	case granted.Problem == nil:
	case CheckReference(subject, group) != nil:
		granted.Projects, granted.Permissions, granted.Context = nil, nil, nil
	default:
		granted.Projects = both(subject.Projects, Projects(group))
		granted.Permissions = both(subject.Permissions, Permissions(group))
		granted.Context = allowedContext(subject.Context, group)
	}
	return granted
}

// Partly reports whether a part of what the key asks is granted, and not all, with which the key is of use: at least a project
// and a permission.
func (g Granted) Partly() bool {
	return g.Problem != nil && len(g.Projects) > 0 && len(g.Permissions) > 0
}

// Narrowed is the problem of a key that goes on with the part that is granted.
func (g Granted) Narrowed() *Problem {
	problem := *g.Problem
	if problem.Reason == v1alpha1.ReasonAddressesRequired {
		problem.Message += "; until then the key is refused with 403 address_denied, and goes on being rotated"
		return &problem
	}
	problem.Message += fmt.Sprintf("; until then the key goes on with what is granted: projects %s, permissions %s",
		join(g.Projects), join(g.Permissions))
	if len(g.Context) > 0 {
		problem.Message += ", context " + join(slices.Sorted(maps.Keys(g.Context)))
	}
	return &problem
}

// LessThan reports whether less is granted than before.
func (g Granted) LessThan(before Granted) bool {
	return len(both(before.Projects, g.Projects)) < len(before.Projects) || len(both(before.Permissions, g.Permissions)) < len(before.Permissions) ||
		lacks(g.Context, before.Context)
}

// both returns the names that are also in have, in their order.
func both[T comparable](names, have []T) []T {
	var common []T
	for _, name := range names {
		if slices.Contains(have, name) {
			common = append(common, name)
		}
	}
	return common
}
