package syncserver

import (
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
)

const (
	// ofTheToken is the prefix of the names of attributes of a ServiceAccount's token, such as its Pod.
	ofTheToken = "authentication.kubernetes.io/"
	podName    = ofTheToken + "pod-name"

	serviceAccountPrefix = "system:serviceaccount:"
)

// identity is the authenticated identity of a validation server. Its rights are those of the user; which server it is
// depends on the Pod that the token is bound to, too: the name that a server gives itself distinguishes servers within
// that only.
type identity struct {
	user authenticationv1.UserInfo
	pod  string
}

func identityOf(user authenticationv1.UserInfo) identity {
	i := identity{user: user}
	if names := user.Extra[podName]; len(names) == 1 {
		i.pod = names[0]
	}
	return i
}

// server distinguishes it from all other servers that may give themselves the same instance. Two Pods of one name never
// exist at the same time, so the later one counts as the earlier one, reconnected.
func (i identity) server() string { return i.user.Username + "\x00" + i.pod }

// owner is the identity in a readable form: namespace/serviceaccount, and the Pod where it is known.
func (i identity) owner() string {
	owner := i.user.Username
	if name, ok := strings.CutPrefix(owner, serviceAccountPrefix); ok {
		owner = strings.ReplaceAll(name, ":", "/")
	}
	if i.pod != "" {
		owner += "/" + i.pod
	}
	return owner
}

// namespace is the namespace of the ServiceAccount; "" if the user is not a ServiceAccount.
func (i identity) namespace() string {
	name, ok := strings.CutPrefix(i.user.Username, serviceAccountPrefix)
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(name, ":")
	return namespace
}

// extra has the attributes that authorization uses besides name and groups. Attributes of the token are left out, so that
// all servers of a ServiceAccount have the same rights, which are asked for once.
func (i identity) extra() map[string]authorizationv1.ExtraValue {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range i.user.Extra {
		if !strings.HasPrefix(key, ofTheToken) {
			extra[key] = authorizationv1.ExtraValue(values)
		}
	}
	return extra
}

// rightsKey is the same for all identities that share their rights.
func (i identity) rightsKey() string {
	parts := append([]string{i.user.Username, i.user.UID}, slices.Sorted(slices.Values(i.user.Groups))...)
	extra := i.extra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		parts = append(append(parts, key), extra[key]...)
	}
	return strings.Join(parts, "\x00")
}
