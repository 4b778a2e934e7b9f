package view

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// EnteredRequest is the form that asks for a key as somebody filled it in.
type EnteredRequest struct {
	Namespace, Name, Group string
	Projects, Permissions  []string
	UseCase, Lifetime      string
}

// IsEmpty reports whether nothing was entered into a field.
func (e *EnteredRequest) IsEmpty(field string) bool {
	switch field {
	case "projects":
		return len(e.Projects) == 0
	case "permissions":
		return len(e.Permissions) == 0
	}
	return map[string]string{"namespace": e.Namespace, "name": e.Name, "group": e.Group, "useCase": e.UseCase, "lifetime": e.Lifetime}[field] == ""
}

// GroupNamed returns the Group that a text means in a namespace: one of it, or another as NAMESPACE/NAME.
func GroupNamed(text, namespace string) place.Group {
	if in, name, qualified := strings.Cut(text, "/"); qualified {
		return place.Group{Namespace: in, Name: name}
	}
	return place.Group{Namespace: namespace, Name: text}
}

// NewRequest is the form that asks for a key, with what was entered and what is wrong with it. The Group is nil for who may not see it: then its
// projects and permissions are written, and not chosen. What was entered is kept, also if it cannot be chosen.
func NewRequest(group *v1alpha1.Group, entered *EnteredRequest, problems map[string]string) page.Ask {
	form := page.Ask{
		Action: place.Ask, Back: place.Requests, Problem: problems[""],
		Namespace:   page.Input{Value: entered.Namespace, Error: problems["namespace"]},
		Name:        page.Input{Value: entered.Name, Error: problems["name"]},
		Group:       page.Input{Value: entered.Group, Error: problems["group"]},
		UseCase:     page.Input{Value: entered.UseCase, Error: problems["useCase"]},
		Projects:    page.Pick{Value: strings.Join(entered.Projects, "\n"), Error: problems["projects"]},
		Permissions: page.Pick{Value: strings.Join(entered.Permissions, "\n"), Error: problems["permissions"]},
		Lifetime:    page.Pick{Value: entered.Lifetime, Error: problems["lifetime"]},
	}
	if group == nil {
		return form
	}
	form.Back = place.Group{Namespace: group.Namespace, Name: group.Name}.Of()
	form.Note = notAccepting(group, entered.Namespace)
	form.Projects.Of = unlessUnknown(named(grant.Projects(group), nil), entered.Projects)
	form.Permissions.Of = unlessUnknown(named(grant.Permissions(group), nil), entered.Permissions)
	form.Lifetime.Of = unlessUnknown(askedLifetimes(group), []string{entered.Lifetime})
	return form
}

// Defaults fills in what most requests for a key of the Group have; it is nil for who may not see it.
func (e *EnteredRequest) Defaults(group *v1alpha1.Group) {
	e.Permissions = []string{string(v1alpha1.PermissionRead)}
	if group == nil {
		return
	}
	if projects := grant.Projects(group); len(projects) == 1 {
		e.Projects = []string{string(projects[0])}
	}
}

// unlessUnknown marks what was entered among the choices, and offers none if something else was entered, which would be lost.
func unlessUnknown(choices []page.Choice, entered []string) []page.Choice {
	for _, value := range entered {
		if !slices.ContainsFunc(choices, func(c page.Choice) bool { return c.Value == value }) {
			return nil
		}
	}
	return chosen(choices, entered...)
}

// askedLifetimes are the lifetimes to ask for: what the Group says, and those which it allows. No key is asked for that never ends.
func askedLifetimes(group *v1alpha1.Group) []page.Choice {
	choices := []page.Choice{{Text: durationText(grant.DefaultLifetime(group.Spec.KeyPolicy)), Recommended: true}}
	allowed, _ := lifetimesOf(group)
	for _, choice := range allowed {
		if choice.Value != string(v1alpha1.LifetimeNever) && !choice.Recommended {
			choices = append(choices, choice)
		}
	}
	return choices
}

// AcceptsRequests reports whether a Group accepts requests for keys at all.
func AcceptsRequests(group *v1alpha1.Group) bool {
	mode := group.Spec.KeyPolicy.Requests
	return mode == v1alpha1.RequestsManual || mode == v1alpha1.RequestsAutomatic
}

// notAccepting says why a Group that the person may see would not accept a request from a namespace; empty if nothing is known that would keep it from
// that. Which labels a namespace has is not known.
func notAccepting(group *v1alpha1.Group, namespace string) string {
	switch from := group.Spec.AllowedNamespaces.From; {
	case !AcceptsRequests(group):
		return "This Group accepts no requests for keys at present. Its owner can change that."
	case namespace != "" && namespace != group.Namespace && (from == "" || from == v1alpha1.NamespacesFromSame):
		return "This Group accepts no requests for keys from other namespaces than its own."
	}
	return ""
}

// AskFor returns the KeyRequest that the form describes, and what is wrong with it by the name of the field. The Group is nil for who may not see it. The
// KeyRequest is also returned with problems, as far as it is filled in.
func AskFor(group *v1alpha1.Group, entered *EnteredRequest) (*v1alpha1.KeyRequest, map[string]string) {
	problems := map[string]string{}
	wrong := func(field, message string) {
		if problems[field] == "" {
			problems[field] = sentence(message)
		}
	}
	request := &v1alpha1.KeyRequest{ObjectMeta: metav1.ObjectMeta{Namespace: entered.Namespace, Name: entered.Name}}
	if len(validation.IsDNS1123Label(request.Namespace)) > 0 {
		wrong("namespace", "use lower-case letters, digits and hyphens, at most 63")
	}
	if len(validation.IsDNS1123Subdomain(request.Name)) > 0 {
		wrong("name", "use lower-case letters, digits and hyphens, at most 253")
	}
	spec := &request.Spec
	of := GroupNamed(entered.Group, entered.Namespace)
	if spec.GroupRef.Name = of.Name; of.Namespace != entered.Namespace {
		spec.GroupRef.Namespace = of.Namespace
	}
	if len(validation.IsDNS1123Subdomain(of.Name)) > 0 || strings.Contains(entered.Group, "/") && len(validation.IsDNS1123Label(of.Namespace)) > 0 {
		wrong("group", "write its namespace, a slash and its name, such as acme/acme")
	}
	spec.Projects = namesOf[v1alpha1.ProjectName](entered.Projects, maxProjects, "projects", wrong)
	spec.Permissions = namesOf[v1alpha1.PermissionName](entered.Permissions, maxPermissions, "permissions", wrong)
	spec.UseCase = strings.TrimSpace(entered.UseCase)
	switch {
	case spec.UseCase == "":
		wrong("useCase", "say what the key is for, so that the owner of the Group can decide")
	case utf8.RuneCountInString(spec.UseCase) > maxDescription || !utf8.ValidString(spec.UseCase):
		wrong("useCase", "write at most 500 characters")
	case slices.ContainsFunc(strings.Fields(spec.UseCase), keyformat.WellFormed):
		wrong("useCase", "this has a key, which others would read: leave it out")
	}
	spec.Lifetime = v1alpha1.Duration(entered.Lifetime)
	if parsed, err := grant.ParseDuration(spec.Lifetime); spec.Lifetime != "" && (err != nil || parsed < time.Second) {
		wrong("lifetime", "write a duration such as 90d")
	}
	if group != nil {
		unknownTo(group, request, wrong)
	}
	return request, problems
}

// namesOf returns names that were entered, and refuses what is none.
func namesOf[T ~string](entered []string, most int, field string, wrong func(field, message string)) []T {
	names := distinct[T](entered, most)
	switch {
	case len(names) == 0:
		wrong(field, "name at least one")
	case len(names) > most:
		wrong(field, "these are too many")
	case slices.ContainsFunc(entered, func(name string) bool { return len(validation.IsDNS1123Label(name)) > 0 }):
		wrong(field, "use lower-case letters, digits and hyphens")
	}
	return names
}

// unknownTo finds projects and permissions that the Group does not have, and a lifetime beyond the longest of its keys. About everything else its owner
// decides.
func unknownTo(group *v1alpha1.Group, request *v1alpha1.KeyRequest, wrong func(field, message string)) {
	key := &v1alpha1.ApiKey{ObjectMeta: request.ObjectMeta, Spec: v1alpha1.ApiKeySpec{
		GroupRef: request.Spec.GroupRef, Projects: request.Spec.Projects, Permissions: request.Spec.Permissions, ExpiresAfter: v1alpha1.Lifetime(request.Spec.Lifetime),
	}}
	for _, problem := range grant.CheckAll(grant.ForKey(key, nil), group) {
		if field := FormField(problem.Field); field == "projects" || field == "permissions" {
			wrong(field, problem.Message)
		}
	}
	if _, problem := grant.Expiry(key, group, time.Unix(0, 0)); problem != nil && request.Spec.Lifetime != "" {
		wrong("lifetime", problem.Message)
	}
}
