package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/role"
)

// EnteredAllowlist is the editor of an allowlist as somebody filled it in.
type EnteredAllowlist struct {
	Domains, Projects []string
	Localhost         bool
	Missing           string
	Site              string // to check; empty: none
	Version           string // of the page that was filled in; empty: not known
}

// Bounds of an allowlist, which are those of the API.
const (
	maxDomains = 256
	maxDomain  = 272
)

// AllowlistLink leads to an allowlist of the Group.
func (s *Sight) AllowlistLink(list *v1alpha1.DomainAllowlist) page.Link {
	return page.Link{Text: s.name(list), Href: s.Group.Allowlist(list.Namespace, list.Name)}
}

// Allowlist is the editor of an allowlist, with what was entered if that is not nil, and with what is wrong with it.
func (s *Sight) Allowlist(group *v1alpha1.Group, list *v1alpha1.DomainAllowlist, entered *EnteredAllowlist, problems map[string]string) page.Allowlist {
	editor := page.Allowlist{
		Action: s.Group.Allowlist(list.Namespace, list.Name), Back: s.Group.Of("allowlists"), ReadOnly: !s.may(role.ChangeAllowlist),
		Managed: Managed(list), Problem: problems[""], Version: VersionOf(list),
	}
	shown := entered
	switch {
	case entered == nil:
		shown = EnteredOf(group, list)
	case editor.ReadOnly: // the fields of a form that is disabled are not sent
		shown = EnteredOf(group, list)
		shown.Site = entered.Site
	case entered.Version != "":
		editor.Version = entered.Version
	}
	editor.Domains = page.Input{Value: strings.Join(shown.Domains, "\n"), Error: problems["domains"]}
	editor.Warnings = sharedSites(shown.Domains)
	editor.Projects = page.Choices{Of: named(grant.Projects(group), shown.Projects), Error: problems["projects"]}
	editor.Localhost = shown.Localhost
	editor.Missing = page.Choices{Error: problems["missing"], Of: chosen([]page.Choice{
		{Value: string(v1alpha1.MissingOriginDeny), Text: "are refused"}, {Value: string(v1alpha1.MissingOriginAllow), Text: "are accepted"}},
		shown.Missing)}
	editor.Site = page.Input{Value: shown.Site, Error: problems["site"]}
	if shown.Site != "" && editor.Site.Error == "" {
		editor.Verdict, editor.Site.Error = Check(shown)
	}
	return editor
}

// shownWarnings is how many warnings a page has.
const shownWarnings = 5

// sharedSites says which patterns allow sites of strangers, as admission warns who applies them with kubectl.
func sharedSites(domains []string) (warnings []string) {
	list := &v1alpha1.DomainAllowlist{}
	list.Spec.Domains = domains[:min(len(domains), maxDomains)]
	for _, problem := range grant.SharedDomains(list) {
		if len(warnings) == shownWarnings {
			return append(warnings, "There are more such sites.")
		}
		warnings = append(warnings, problem.Error())
	}
	return warnings
}

// VersionOf identifies what an allowlist allows: what the manager says of it does not count.
func VersionOf(list *v1alpha1.DomainAllowlist) string {
	return string(list.UID) + "." + strconv.FormatInt(list.Generation, 10)
}

// EnteredOf returns an allowlist as the editor has it. One for all projects of the Group has none chosen.
func EnteredOf(group *v1alpha1.Group, list *v1alpha1.DomainAllowlist) *EnteredAllowlist {
	entered := &EnteredAllowlist{
		Domains: slices.Clone(list.Spec.Domains), Localhost: ptr.Deref(list.Spec.AllowLocalhost, true), Missing: string(list.Spec.MissingOrigin),
	}
	if entered.Missing == "" {
		entered.Missing = string(v1alpha1.MissingOriginDeny)
	}
	if !sameNames(grant.Projects(group), list.Spec.Projects) {
		for _, name := range list.Spec.Projects {
			entered.Projects = append(entered.Projects, string(name))
		}
	}
	return entered
}

func sameNames(a, b []v1alpha1.ProjectName) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// Edit returns the allowlist with what the editor has, and what is wrong with that by the name of the field: admission would refuse it for the same
// reasons.
func Edit(group *v1alpha1.Group, list *v1alpha1.DomainAllowlist, entered *EnteredAllowlist) (*v1alpha1.DomainAllowlist, map[string]string) {
	problems := map[string]string{}
	wrong := func(field, message string) {
		if problems[field] == "" {
			problems[field] = sentence(message)
		}
	}
	edited := list.DeepCopy()
	edited.Spec.Domains = nil
	for _, domain := range entered.Domains {
		switch domain = strings.TrimSpace(domain); {
		case domain == "":
			continue
		case len(edited.Spec.Domains) == maxDomains:
			wrong("domains", fmt.Sprintf("write at most %d", maxDomains))
		case utf8.RuneCountInString(domain) > maxDomain:
			wrong("domains", fmt.Sprintf("a site has at most %d characters", maxDomain))
		default:
			edited.Spec.Domains = append(edited.Spec.Domains, domain)
		}
	}
	if edited.Spec.Projects = distinct[v1alpha1.ProjectName](entered.Projects, maxProjects); len(edited.Spec.Projects) == 0 {
		edited.Spec.Projects = grant.Projects(group)
	}
	edited.Spec.AllowLocalhost = ptr.To(entered.Localhost)
	edited.Spec.MissingOrigin = oneOf([]string{entered.Missing}, wrong, "missing", v1alpha1.MissingOriginDeny, v1alpha1.MissingOriginAllow)
	found := grant.DomainProblems(edited)
	known := grant.Projects(group)
	for _, name := range edited.Spec.Projects {
		if !slices.Contains(known, name) {
			wrong("projects", fmt.Sprintf("the Group has no project %s", name))
		}
	}
	for _, problem := range found {
		wrong(FormField(problem.Field), problem.Message)
	}
	return edited, problems
}
