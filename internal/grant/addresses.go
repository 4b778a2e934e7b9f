package grant

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// RequiresAddresses reports whether keys of the group must declare from which addresses they are accepted.
func RequiresAddresses(group *v1alpha1.Group) bool {
	required := group.Spec.KeyPolicy.RequireAddresses
	return required != nil && *required
}

// addressesDeclared returns the problem of a key without addresses where the group requires them. What both name is empty then:
// a key that was delivered goes on, and is accepted from no address.
func addressesDeclared(s Subject, group *v1alpha1.Group, most int) Problems {
	if most <= 0 || s.Allowlist || len(s.Addresses) > 0 || !RequiresAddresses(group) {
		return nil
	}
	return Problems{&Problem{
		Reason: v1alpha1.ReasonAddressesRequired, Type: field.ErrorTypeRequired, Elsewhere: true, Field: "spec.addresses",
		Message: fmt.Sprintf("Group %s/%s requires addresses: declare those from which the key is used, or change "+
			"spec.keyPolicy.requireAddresses of the Group", group.Namespace, group.Name),
	}}
}
