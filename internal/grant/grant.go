// Package grant decides whether a Group grants what an object asks of it: pure functions
// over API objects, the same for admission, for the controllers and for what is published.
package grant

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Problem is why a Group does not grant what an object asks.
type Problem struct {
	// Reason is a condition reason of v1alpha1.
	Reason string
	// Field is the path of the field to mend, such as spec.projects[1].
	Field string
	// Message says what is wrong and what mends it, without the field's path.
	Message string
}

// Error is the problem in one line, field first.
func (p *Problem) Error() string { return p.Field + ": " + p.Message }

// Subject is what an object asks of a Group.
type Subject struct {
	// Namespace of the object, and its labels.
	Namespace       string
	NamespaceLabels map[string]string

	// Allowlist says that it is a DomainAllowlist, which a Group admits by a field of its own: it speaks for
	// all keys of a project, not for its own.
	Allowlist bool

	GroupRef    v1alpha1.GroupReference
	Projects    []v1alpha1.ProjectName
	Permissions []v1alpha1.PermissionName
}

// ForKey is what an ApiKey asks.
func ForKey(key *v1alpha1.ApiKey, namespaceLabels map[string]string) Subject {
	return Subject{
		Namespace:       key.Namespace,
		NamespaceLabels: namespaceLabels,
		GroupRef:        key.Spec.GroupRef,
		Projects:        key.Spec.Projects,
		Permissions:     key.Spec.Permissions,
	}
}

// ForAllowlist is what a DomainAllowlist asks.
func ForAllowlist(list *v1alpha1.DomainAllowlist, namespaceLabels map[string]string) Subject {
	return Subject{
		Namespace:       list.Namespace,
		NamespaceLabels: namespaceLabels,
		Allowlist:       true,
		GroupRef:        list.Spec.GroupRef,
		Projects:        list.Spec.Projects,
	}
}

// checks are the conditions of a grant, in order; the first that fails is the answer.
var checks = []func(Subject, *v1alpha1.Group) *Problem{
	groupExists,
	namespaceAllowed,
	projectsExist,
	permissionsExist,
}

// Check returns why the group, nil where there is none, does not grant what the subject
// asks, or nil where it does.
func Check(subject Subject, group *v1alpha1.Group) *Problem {
	for _, check := range checks {
		if problem := check(subject, group); problem != nil {
			return problem
		}
	}
	return nil
}

// GroupKey is the identity namespace/name of the Group that a reference in an object of the
// namespace names.
func GroupKey(ref v1alpha1.GroupReference, namespace string) (groupNamespace, name string) {
	if ref.Namespace != "" {
		return ref.Namespace, ref.Name
	}
	return namespace, ref.Name
}

// Projects are the names of the group's projects, the implicit one included.
func Projects(group *v1alpha1.Group) []v1alpha1.ProjectName {
	if len(group.Spec.Projects) == 0 {
		return []v1alpha1.ProjectName{v1alpha1.DefaultProject}
	}
	names := make([]v1alpha1.ProjectName, 0, len(group.Spec.Projects))
	for i := range group.Spec.Projects {
		names = append(names, group.Spec.Projects[i].Name)
	}
	return names
}

func groupExists(s Subject, group *v1alpha1.Group) *Problem {
	if group != nil {
		return nil
	}
	namespace, name := GroupKey(s.GroupRef, s.Namespace)
	if namespace != s.Namespace {
		return notAdmitted(s)
	}
	return &Problem{
		Reason:  v1alpha1.ReasonGroupNotFound,
		Field:   "spec.groupRef",
		Message: fmt.Sprintf("there is no Group %q in namespace %q; create it, or correct the reference", name, namespace),
	}
}

// notAdmitted is the same whether the Group of another namespace is not there or does not admit this one: which
// Groups there are is for that namespace to say.
func notAdmitted(s Subject) *Problem {
	namespace, name := GroupKey(s.GroupRef, s.Namespace)
	field, what := "spec.allowedNamespaces", "references"
	if s.Allowlist {
		field, what = "spec.allowlistsFrom", "DomainAllowlists"
	}
	return &Problem{
		Reason: v1alpha1.ReasonNamespaceNotAllowed,
		Field:  "spec.groupRef",
		Message: fmt.Sprintf("no Group %q in namespace %q admits %s from namespace %q; correct the reference, "+
			"let %s of the Group admit this namespace, or label this namespace so that its selector matches", name, namespace, what, s.Namespace, field),
	}
}

// Admits is which namespaces the group admits objects like the subject from, and the field that says so.
func Admits(s Subject, group *v1alpha1.Group) (from v1alpha1.AllowedNamespaces, field string) {
	if s.Allowlist {
		return group.Spec.AllowlistsFrom, "spec.allowlistsFrom"
	}
	return group.Spec.AllowedNamespaces, "spec.allowedNamespaces"
}

func namespaceAllowed(s Subject, group *v1alpha1.Group) *Problem {
	if s.Namespace == group.Namespace {
		return nil
	}
	switch allowed, _ := Admits(s, group); allowed.From {
	case v1alpha1.NamespacesFromAll:
		return nil
	case v1alpha1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
		if err == nil && allowed.Selector != nil && selector.Matches(labels.Set(s.NamespaceLabels)) {
			return nil
		}
	}
	return notAdmitted(s)
}

func projectsExist(s Subject, group *v1alpha1.Group) *Problem {
	have := Projects(group)
	for i, name := range s.Projects {
		if !slices.Contains(have, name) {
			return &Problem{
				Reason: v1alpha1.ReasonProjectNotFound,
				Field:  fmt.Sprintf("spec.projects[%d]", i),
				Message: fmt.Sprintf("Group %s/%s has no project %q; it has %s",
					group.Namespace, group.Name, name, join(have)),
			}
		}
	}
	return nil
}

func permissionsExist(s Subject, group *v1alpha1.Group) *Problem {
	have := []v1alpha1.PermissionName{v1alpha1.PermissionRead}
	for i := range group.Spec.Capabilities {
		have = append(have, group.Spec.Capabilities[i].Name)
	}
	for i, name := range s.Permissions {
		if !slices.Contains(have, name) {
			return &Problem{
				Reason: v1alpha1.ReasonPermissionNotFound,
				Field:  fmt.Sprintf("spec.permissions[%d]", i),
				Message: fmt.Sprintf("Group %s/%s has no capability %q; keys may have %s",
					group.Namespace, group.Name, name, join(have)),
			}
		}
	}
	return nil
}

// KeyLimitReached is why a key is not minted in a Group that has as many ApiKeys as it may have.
func KeyLimitReached(group *v1alpha1.Group, limit int32) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonKeyLimitReached,
		Field:  "spec.groupRef",
		Message: fmt.Sprintf("Group %s/%s may have %d ApiKeys, and has them; delete or revoke one, or raise spec.limits.keys or spec.tier of the Group",
			group.Namespace, group.Name, limit),
	}
}

func join[T ~string](names []T) string {
	quoted := make([]string, 0, len(names))
	for _, name := range names {
		quoted = append(quoted, fmt.Sprintf("%q", string(name)))
	}
	return strings.Join(quoted, ", ")
}
