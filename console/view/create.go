package view

import (
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/grant"
)

// EnteredKey is the form for a new key as somebody filled it in.
type EnteredKey struct {
	Name, Description              string
	Projects, Permissions, Clients []string
	Addresses                      []string
	Lifetime, Rotation, Reveal     string
}

// Lifetimes and rotations to choose from, where the Group allows them.
var (
	offeredLifetimes = []v1alpha1.Lifetime{"30d", "60d", "90d", v1alpha1.LifetimeNever}
	offeredRotations = []string{"", "30d", "60d"}
)

// NewKey is the form for a new key of a Group, with what was entered if that is not nil, and with what is wrong with it.
func (s *Sight) NewKey(group *v1alpha1.Group, entered *EnteredKey, problems map[string]string) page.Create {
	form := page.Create{Action: s.Group.Of("new-key"), Back: s.Group.Of()}
	lifetimes, recommended := lifetimesOf(group)
	if entered == nil {
		entered = &EnteredKey{
			Permissions: []string{string(v1alpha1.PermissionRead)}, Clients: []string{string(v1alpha1.ClientsAny)},
			Lifetime: recommended, Reveal: string(v1alpha1.RevealMounted),
		}
		if projects := grant.Projects(group); len(projects) == 1 {
			entered.Projects = []string{string(projects[0])}
		}
	}
	form.Problem = problems[""]
	form.Name = page.Input{Value: entered.Name, Error: problems["name"]}
	form.Description = page.Input{Value: entered.Description, Error: problems["description"]}
	form.Projects = page.Choices{Of: named(grant.Projects(group), entered.Projects), Error: problems["projects"]}
	form.Permissions = page.Choices{Of: named(grant.Permissions(group), entered.Permissions), Error: problems["permissions"]}
	form.Clients = page.Choices{Error: problems["clients"], Of: chosen([]page.Choice{
		{Value: string(v1alpha1.ClientsAny), Text: "Any"}, {Value: string(v1alpha1.ClientsBrowser), Text: "Browsers"},
		{Value: string(v1alpha1.ClientsServer), Text: "Servers"}}, entered.Clients...)}
	form.Addresses = page.Input{Value: strings.Join(entered.Addresses, "\n"), Error: problems["addresses"]}
	form.Lifetimes = page.Choices{Of: chosen(lifetimes, entered.Lifetime), Error: problems["lifetime"]}
	form.Rotations = page.Choices{Of: chosen(rotations(), entered.Rotation), Error: problems["rotation"]}
	form.Reveals = page.Choices{Error: problems["reveal"], Of: chosen([]page.Choice{
		{Value: string(v1alpha1.RevealMounted), Text: "in a Secret that applications mount"},
		{Value: string(v1alpha1.RevealOnce), Text: "once, to whoever claims it"}}, entered.Reveal)}
	return form
}

// named are names to choose from.
func named[T ~string](names []T, entered []string) []page.Choice {
	choices := make([]page.Choice, len(names))
	for i, name := range names {
		choices[i] = page.Choice{Value: string(name), Text: string(name)}
	}
	return chosen(choices, entered...)
}

// chosen marks those choices whose values were entered.
func chosen(choices []page.Choice, entered ...string) []page.Choice {
	for i := range choices {
		choices[i].Chosen = slices.Contains(entered, choices[i].Value)
	}
	return choices
}

// lifetimesOf are the lifetimes that the Group allows, with its default, which is recommended.
func lifetimesOf(group *v1alpha1.Group) (choices []page.Choice, recommended string) {
	usual := v1alpha1.Lifetime(grant.DefaultLifetime(group.Spec.KeyPolicy))
	offered := offeredLifetimes
	if !slices.ContainsFunc(offered, func(l v1alpha1.Lifetime) bool { return sameLength(v1alpha1.Duration(l), v1alpha1.Duration(usual)) }) {
		offered = append([]v1alpha1.Lifetime{usual}, offered...)
	}
	for _, lifetime := range offered {
		trial := &v1alpha1.ApiKey{Spec: v1alpha1.ApiKeySpec{ExpiresAfter: lifetime}}
		if _, problem := grant.Expiry(trial, group, time.Unix(0, 0)); problem != nil {
			continue
		}
		choice := page.Choice{Value: string(lifetime), Text: "never"}
		if lifetime != v1alpha1.LifetimeNever {
			choice.Text = durationText(v1alpha1.Duration(lifetime))
		}
		if sameLength(v1alpha1.Duration(lifetime), v1alpha1.Duration(usual)) {
			choice.Recommended, recommended = true, choice.Value
		}
		choices = append(choices, choice)
	}
	return choices, recommended
}

func rotations() []page.Choice {
	choices := make([]page.Choice, len(offeredRotations))
	for i, every := range offeredRotations {
		choices[i] = page.Choice{Value: every, Text: "on request only"}
		if every != "" {
			choices[i].Text = "every " + durationText(v1alpha1.Duration(every))
		}
	}
	return choices
}
