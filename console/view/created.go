package view

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Bounds of the form, which are those of the API.
const (
	maxDescription = 500
	maxProjects    = 64
	maxPermissions = 33
	maxAddresses   = 64
)

// Create returns the ApiKey that the form describes, and what is wrong with it by the name of the field: admission would refuse it for the
// same reasons. The ApiKey is also returned with problems, as far as it is filled in.
func (s *Sight) Create(group *v1alpha1.Group, entered *EnteredKey) (*v1alpha1.ApiKey, map[string]string) {
	problems := map[string]string{}
	wrong := func(field, message string) {
		if problems[field] == "" {
			problems[field] = sentence(message)
		}
	}
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: s.Group.Namespace, Name: strings.TrimSpace(entered.Name)}}
	spec := &key.Spec
	spec.GroupRef.Name, spec.Description = s.Group.Name, strings.TrimSpace(entered.Description)
	if reasons := validation.IsDNS1123Subdomain(key.Name); len(reasons) > 0 {
		wrong("name", "use lower-case letters, digits and hyphens, at most 253")
	}
	if utf8.RuneCountInString(spec.Description) > maxDescription || !utf8.ValidString(spec.Description) {
		wrong("description", "write at most 500 characters")
	}
	spec.Projects = distinct[v1alpha1.ProjectName](entered.Projects, maxProjects)
	if len(spec.Projects) == 0 {
		wrong("projects", "choose at least one")
	}
	spec.Permissions = distinct[v1alpha1.PermissionName](entered.Permissions, maxPermissions)
	if len(spec.Permissions) == 0 {
		wrong("permissions", "choose at least one")
	}
	spec.Clients = oneOf(entered.Clients, wrong, "clients", v1alpha1.ClientsAny, v1alpha1.ClientsBrowser, v1alpha1.ClientsServer)
	spec.Secret.Reveal = oneOf([]string{entered.Reveal}, wrong, "reveal", v1alpha1.RevealMounted, v1alpha1.RevealOnce)
	spec.Addresses = addressesOf(entered.Addresses, wrong)
	spec.ExpiresAfter = v1alpha1.Lifetime(entered.Lifetime)
	if spec.ExpiresAfter == "" || len(spec.ExpiresAfter) > 32 {
		wrong("lifetime", "choose when the key ends")
		spec.ExpiresAfter = ""
	}
	if spec.Rotation.Every = v1alpha1.Duration(entered.Rotation); len(entered.Rotation) > 32 {
		wrong("rotation", "choose how often")
		spec.Rotation.Every = ""
	}
	if spec.Rotation.Every != "" && isOnce(key) {
		wrong("rotation", "a key that is shown once cannot rotate automatically")
	}
	found := append(grant.CheckAll(grant.ForKey(key, nil), group), grant.RotationProblems(key, group)...)
	if _, problem := grant.Expiry(key, group, s.Now); problem != nil {
		found = append(found, problem)
	}
	for _, problem := range found {
		wrong(FormField(problem.Field), problem.Message)
	}
	return key, problems
}

// distinct returns the names that were entered, each once, and no more than there may be.
func distinct[T ~string](entered []string, most int) (names []T) {
	for _, name := range entered {
		if len(names) <= most && !slices.Contains(names, T(name)) && len(name) <= 63 {
			names = append(names, T(name))
		}
	}
	return names
}

// oneOf returns the choice, the first of those if nothing was entered.
func oneOf[T ~string](entered []string, wrong func(field, message string), field string, choices ...T) T {
	text := strings.Join(entered, "")
	if text == "" {
		return choices[0]
	}
	if i := slices.Index(choices, T(text)); i >= 0 {
		return choices[i]
	}
	wrong(field, "choose one of these")
	return choices[0]
}

func addressesOf(entered []string, wrong func(field, message string)) (prefixes []v1alpha1.AddressPrefix) {
	for _, text := range entered {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if len(prefixes) == maxAddresses {
			wrong("addresses", "write at most 64")
			break
		}
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil && len(text) > 64:
			wrong("addresses", "a line is no prefix: write one such as 192.0.2.0/24 on each")
		case err != nil || prefix.Addr().Is4In6():
			wrong("addresses", fmt.Sprintf("%s is not a prefix such as 192.0.2.0/24 or 2001:db8::/32", text))
		case prefix != prefix.Masked():
			wrong("addresses", fmt.Sprintf("%s has bits after the prefix: write %s", text, prefix.Masked()))
		case prefix.Bits() == 0:
			wrong("addresses", text+" is all addresses: leave it out")
		}
		prefixes = append(prefixes, v1alpha1.AddressPrefix(text))
	}
	return prefixes
}

// formFields are the fields of forms by the fields of the API that they are for: the longest that a path begins with counts.
var formFields = []struct{ path, field string }{
	{"metadata.name", "name"}, {"metadata.namespace", "namespace"}, {"spec.groupRef", "group"}, {"spec.useCase", "useCase"}, {"spec.lifetime", "lifetime"},
	{"spec.description", "description"}, {"spec.projects", "projects"}, {"spec.permissions", "permissions"},
	{"spec.clients", "clients"}, {"spec.addresses", "addresses"}, {"spec.expiresAfter", "lifetime"}, {"spec.expiresAt", "lifetime"},
	{"spec.rotation", "rotation"}, {"spec.secret.reveal", "reveal"}, {"spec.secret.name", "name"},
	{"spec.domains", "domains"}, {"spec.allowLocalhost", "localhost"}, {"spec.missingOrigin", "missing"}, {"spec.decision.reason", "reason"},
	{"metadata.annotations[" + v1alpha1.AnnotationRotateRequestedAt + "]", "overlap"},
}

// FormField returns the name of the field of a form that a path of the API is about; empty if there is none.
func FormField(path string) string {
	for _, of := range formFields {
		if rest, found := strings.CutPrefix(path, of.path); found && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return of.field
		}
	}
	return ""
}
