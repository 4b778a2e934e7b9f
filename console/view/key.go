package view

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

// KeyRow is a row of the list of keys.
func (s *Sight) KeyRow(key *v1alpha1.ApiKey) page.Key {
	return page.Key{
		Name: s.name(key), Href: s.key(key).Of(), Preview: key.Status.Preview, Projects: join(key.Spec.Projects), Creator: key.Status.CreatedBy,
		State: s.keyState(key), LastUse: timeOf(key.Status.LastUsedAt), Expiry: timeOf(key.Status.ExpiresAt),
	}
}

// Key is the page of a key of the Group.
func (s *Sight) Key(group *v1alpha1.Group, key *v1alpha1.ApiKey) page.KeyDetail {
	detail := page.KeyDetail{
		Version: key.ResourceVersion, Live: s.key(key).Of("live"),
		Preview: orElse(key.Status.Preview, "none yet"), Description: key.Spec.Description, State: s.keyState(key), Managed: Managed(key),
		Problem: s.problem(key), Projects: join(key.Spec.Projects), Permissions: join(permissionsOf(key)), Clients: clientsText(key),
		Creator: key.Status.CreatedBy, LastUse: timeOf(key.Status.LastUsedAt), Expiry: timeOf(key.Status.ExpiresAt),
		Actions: s.actions(key), Enforcement: enforcement(key.Status.Enforcement), Mount: s.mount(group, key),
	}
	if keystate.Ended(key) == "" {
		detail.Rotation = timeOf(key.Status.NextRotationAt)
	}
	for i := range key.Status.Versions {
		detail.Versions = append(detail.Versions, s.version(key, &key.Status.Versions[i]))
	}
	return detail
}

// Refusals are why requests with a key were refused lately, newest first.
func (s *Sight) Refusals(recorded *v1alpha1.GroupUsage, key *v1alpha1.ApiKey) (refusals []page.Refusal) {
	for _, is := range usagequery.Refusals(recorded, key, s.Now) {
		refusals = append(refusals, page.Refusal{
			Since: is.FirstAt.Time, Last: is.LastAt.Time, Code: is.Code, Cause: is.Cause, Hint: is.Hint, Origin: is.Origin, Times: is.Requests,
		})
	}
	return refusals
}

// problem is what somebody should know first, in a sentence; empty if there is nothing.
func (s *Sight) problem(key *v1alpha1.ApiKey) string {
	all := keystate.Attentions(key, s.Now)
	if len(all) == 0 {
		return ""
	}
	return sentence(all[0].Message)
}

// sentence begins with a capital letter, and ends with a full stop.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

func permissionsOf(key *v1alpha1.ApiKey) []v1alpha1.PermissionName {
	return permissionsAsked(key.Spec.Permissions)
}

// shownPrefixes is how many prefixes of addresses are named.
const shownPrefixes = 4

// clientsText says who may present a key, and from where.
func clientsText(key *v1alpha1.ApiKey) string {
	text := "any client"
	switch key.Spec.Clients {
	case v1alpha1.ClientsBrowser:
		text = "browsers"
	case v1alpha1.ClientsServer:
		text = "servers"
	case v1alpha1.ClientsAny:
	}
	addresses := key.Spec.Addresses
	if len(addresses) == 0 {
		return text
	}
	return text + ", in " + first(shownPrefixes, addresses)
}

// first names at most so many of all, and says how many more there are.
func first[T ~string](most int, all []T) string {
	text := join(all[:min(len(all), most)])
	if more := len(all) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// mount is where the text of a key is, if it is somewhere.
func (s *Sight) mount(group *v1alpha1.Group, key *v1alpha1.ApiKey) page.Mount {
	mount := page.Mount{Namespace: key.Namespace, Item: v1alpha1.SecretKeyAPIKey, Address: address(group, key)}
	current := lifecycle.Current(key.Status.Versions)
	if key.Status.SecretRef != nil && keystate.Ended(key) == "" && current != nil && current.ClaimedAt == nil {
		mount.Secret = key.Status.SecretRef.Name
	}
	return mount
}

// anywhere stands for the address of content where no route names a host.
const anywhere = "https://content.example/"

// address returns an address of content that a key reads, from the routes of its projects: wildcards are filled in.
func address(group *v1alpha1.Group, key *v1alpha1.ApiKey) string {
	for _, name := range key.Spec.Projects {
		for i := range group.Spec.Projects {
			if project := &group.Spec.Projects[i]; project.Name == name {
				for j := range project.Routes {
					if route := &project.Routes[j]; len(route.Hosts) > 0 {
						return "https://" + strings.Replace(route.Hosts[0], "*.", "www.", 1) + examplePath(route)
					}
				}
			}
		}
	}
	return anywhere
}

func examplePath(route *v1alpha1.Route) string {
	if len(route.Paths) == 0 {
		return "/"
	}
	return strings.ReplaceAll(strings.TrimSuffix(route.Paths[0], "**"), "*", "1")
}

func join[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, name := range all {
		texts[i] = string(name)
	}
	return strings.Join(texts, ", ")
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
