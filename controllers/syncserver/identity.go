package syncserver

import (
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
)

const (
	// ofTheToken begins the names of what a ServiceAccount's token says of itself, such as its Pod.
	ofTheToken = "authentication.kubernetes.io/"
	podName    = ofTheToken + "pod-name"

	serviceAccount = "system:serviceaccount:"
)

// identity is who a validation server has proved to be. Its rights are those of the user; which server it is depends
// on the Pod that the token is bound to, too: a name that it gives itself is its own within that.
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

// server tells it from all other servers that may give themselves the same instance. Pods of one name follow one
// another, so that the later one is the earlier one back.
func (i identity) server() string { return i.user.Username + "\x00" + i.pod }

// owner is the identity as people read it: namespace/serviceaccount, and the Pod where it is known.
func (i identity) owner() string {
	owner := i.user.Username
	if account, ok := strings.CutPrefix(owner, serviceAccount); ok {
		owner = strings.ReplaceAll(account, ":", "/")
	}
	if i.pod != "" {
		owner += "/" + i.pod
	}
	return owner
}

// namespace is that of the ServiceAccount; "" where it is none.
func (i identity) namespace() string {
	account, ok := strings.CutPrefix(i.user.Username, serviceAccount)
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(account, ":")
	return namespace
}

// extra is what authorization goes by beside name and groups. What a token says of itself is left out, so that all
// servers of a ServiceAccount have the same rights, which are asked about once.
func (i identity) extra() map[string]authorizationv1.ExtraValue {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range i.user.Extra {
		if !strings.HasPrefix(key, ofTheToken) {
			extra[key] = authorizationv1.ExtraValue(values)
		}
	}
	return extra
}

// account names those who share their rights.
func (i identity) account() string {
	parts := append([]string{i.user.Username, i.user.UID}, slices.Sorted(slices.Values(i.user.Groups))...)
	extra := i.extra()
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		parts = append(append(parts, key), extra[key]...)
	}
	return strings.Join(parts, "\x00")
}
