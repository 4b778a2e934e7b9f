// Package grant decides whether a Group grants what an object requests, and finds what is wrong with objects that their
// schema cannot refuse: pure functions over API objects that admission, the controllers and publishing share. Each
// check has two forms: one returns all problems, for admission; the other returns the first one, for conditions.
package grant

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Subject is what an object requests of a Group.
type Subject struct {
	// Namespace is that of the object; NamespaceLabels are the labels of the namespace.
	Namespace       string
	NamespaceLabels map[string]string

	// Allowlist reports whether the object is a DomainAllowlist. A Group admits these by a field of their own, because
	// an allowlist applies to all keys of a project and not only to those of its namespace.
	Allowlist bool

	GroupRef    v1alpha1.GroupReference
	Projects    []v1alpha1.ProjectName
	Permissions []v1alpha1.PermissionName
	// Addresses are those from which a key is accepted; none are all.
	Addresses []v1alpha1.AddressPrefix
	// Context is what the object lays over the context of the Group.
	Context map[string]v1alpha1.ContextValue
}

// ForKey returns what an ApiKey requests.
func ForKey(key *v1alpha1.ApiKey, namespaceLabels map[string]string) Subject {
	return Subject{
		Namespace:       key.Namespace,
		NamespaceLabels: namespaceLabels,
		GroupRef:        key.Spec.GroupRef,
		Projects:        key.Spec.Projects,
		Permissions:     key.Spec.Permissions,
		Addresses:       key.Spec.Addresses,
		Context:         key.Spec.Context,
	}
}

// ForAllowlist returns what a DomainAllowlist requests.
func ForAllowlist(list *v1alpha1.DomainAllowlist, namespaceLabels map[string]string) Subject {
	return Subject{
		Namespace:       list.Namespace,
		NamespaceLabels: namespaceLabels,
		Allowlist:       true,
		GroupRef:        list.Spec.GroupRef,
		Projects:        list.Spec.Projects,
	}
}

// CheckAll returns all reasons why the group does not grant what the subject requests; group is nil where there is none.
// A Group that is missing or does not admit the namespace is the only problem then: what else it has is not for that
// namespace to see.
func CheckAll(subject Subject, group *v1alpha1.Group) Problems {
	return check(subject, group, maxProblems+1)
}

// Check returns the first problem of CheckAll, or nil where the group grants everything.
func Check(subject Subject, group *v1alpha1.Group) *Problem {
	return check(subject, group, 1).First()
}

func check(subject Subject, group *v1alpha1.Group, most int) Problems {
	if problem := CheckReference(subject, group); problem != nil {
		return Problems{problem}
	}
	problems := projectsExist(subject, group, most)
	problems = append(problems, permissionsExist(subject, group, most-len(problems))...)
	problems = append(problems, contextAllowed(subject, group, most-len(problems))...)
	return append(problems, addressesDeclared(subject, group, most-len(problems))...)
}

// CheckReference returns why the group does not admit a reference by the subject at all, or nil. Projects and permissions do
// not matter for that.
func CheckReference(subject Subject, group *v1alpha1.Group) *Problem {
	if problem := groupExists(subject, group); problem != nil {
		return problem
	}
	return namespaceAllowed(subject, group)
}

// Admitted reports whether the problems are about what a Group grants to a namespace that it admits, and not about the
// Group that is missing or does not admit the namespace.
func (p Problems) Admitted() bool {
	first := p.First()
	return first == nil || first.Reason != v1alpha1.ReasonGroupNotFound && first.Reason != v1alpha1.ReasonNamespaceNotAllowed
}

// GroupKey returns the namespace and the name of the Group that a reference in an object of the
// namespace names.
func GroupKey(ref v1alpha1.GroupReference, namespace string) (groupNamespace, name string) {
	if ref.Namespace != "" {
		return ref.Namespace, ref.Name
	}
	return namespace, ref.Name
}

// Projects returns the names of the group's projects, including the implicit one.
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
		Reason: v1alpha1.ReasonGroupNotFound, Type: field.ErrorTypeNotFound, Elsewhere: true,
		Field: "spec.groupRef", Value: namespace + "/" + name,
		Message: fmt.Sprintf("there is no Group %q in namespace %q; create it, or correct the reference", name, namespace),
	}
}

// notAdmitted returns the same problem whether the Group of another namespace is missing or does not admit this namespace:
// which Groups exist is for that namespace to disclose.
func notAdmitted(s Subject) *Problem {
	namespace, name := GroupKey(s.GroupRef, s.Namespace)
	admitting, what := "spec.allowedNamespaces", "references"
	if s.Allowlist {
		admitting, what = "spec.allowlistsFrom", "DomainAllowlists"
	}
	return &Problem{
		Reason: v1alpha1.ReasonNamespaceNotAllowed, Type: field.ErrorTypeForbidden, Elsewhere: true,
		Field: "spec.groupRef",
		Message: fmt.Sprintf("no Group %q in namespace %q admits %s from namespace %q; correct the reference, "+
			"let %s of the Group admit this namespace, or label this namespace so that its selector matches",
			name, namespace, what, s.Namespace, admitting),
	}
}

// Admits returns from which namespaces the group admits objects like the subject, and the field that declares it.
func Admits(s Subject, group *v1alpha1.Group) (from v1alpha1.AllowedNamespaces, path string) {
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

func projectsExist(s Subject, group *v1alpha1.Group, most int) Problems {
	have := Projects(group)
	var problems Problems
	for i, name := range s.Projects {
		if len(problems) == most {
			break
		}
		if !slices.Contains(have, name) {
			problems = append(problems, &Problem{
				Reason: v1alpha1.ReasonProjectNotFound, Type: field.ErrorTypeNotFound, Elsewhere: true,
				Field: fmt.Sprintf("spec.projects[%d]", i), Value: string(name),
				Message: fmt.Sprintf("Group %s/%s has no project %q; it has %s: add it there, or correct the reference", group.Namespace, group.Name, name, join(have)),
			})
		}
	}
	return problems
}

// Permissions returns the names of the permissions that keys of the group may have.
func Permissions(group *v1alpha1.Group) []v1alpha1.PermissionName {
	names := make([]v1alpha1.PermissionName, 0, 1+len(group.Spec.Capabilities))
	names = append(names, v1alpha1.PermissionRead)
	for i := range group.Spec.Capabilities {
		names = append(names, group.Spec.Capabilities[i].Name)
	}
	return names
}

func permissionsExist(s Subject, group *v1alpha1.Group, most int) Problems {
	have := Permissions(group)
	var problems Problems
	for i, name := range s.Permissions {
		if len(problems) == most {
			break
		}
		if !slices.Contains(have, name) {
			problems = append(problems, &Problem{
				Reason: v1alpha1.ReasonPermissionNotFound, Type: field.ErrorTypeNotSupported, Elsewhere: true,
				Field: fmt.Sprintf("spec.permissions[%d]", i), Value: string(name),
				Message: fmt.Sprintf("Group %s/%s has no capability %q; keys may have %s: add it there, or correct the reference", group.Namespace, group.Name, name, join(have)),
			})
		}
	}
	return problems
}

// KeyLimitReached is the problem of a key that is not minted because its Group has as many ApiKeys as it may have.
func KeyLimitReached(group *v1alpha1.Group, limit int32) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonKeyLimitReached, Type: field.ErrorTypeForbidden, Elsewhere: true,
		Field: "spec.groupRef",
		Message: fmt.Sprintf("Group %s/%s may have %d ApiKeys, and has them; "+
			"delete or revoke one, or raise spec.limits.keys or spec.tier of the Group", group.Namespace, group.Name, limit),
	}
}

// join lists names for a message, as many of them as a person reads.
func join[T ~string](names []T) string {
	const most = 16
	quoted := make([]string, 0, min(len(names), most))
	for i, name := range names {
		if i == most {
			return fmt.Sprintf("%s and %d more", strings.Join(quoted, ", "), len(names)-most)
		}
		quoted = append(quoted, fmt.Sprintf("%q", string(name)))
	}
	return strings.Join(quoted, ", ")
}

// maxName is how many characters the name of an object has at most.
const maxName = 253

// defaultKeyName returns the problem of a default key whose name, which is made of that of the Group, is too long.
func defaultKeyName(group *v1alpha1.Group) Problems {
	name, enabled := DefaultKeyName(group), group.Spec.DefaultKey.Enabled
	if enabled == nil || !*enabled || len(name) <= maxName {
		return nil
	}
	return Problems{invalid("spec.defaultKey.name", nil, fmt.Sprintf(
		"by default it is that of the Group and \"-default\", which has %d characters; names have at most %d: write a shorter one", len(name), maxName))}
}

// DefaultKeyName is the name of the ApiKey that is created with a Group.
func DefaultKeyName(group *v1alpha1.Group) string {
	if name := group.Spec.DefaultKey.Name; name != "" {
		return name
	}
	return group.Name + "-default"
}
