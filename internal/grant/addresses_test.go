package grant_test

import (
	"strings"
	"testing"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// TestRequiredAddresses: a key without addresses keeps what else it is granted, so that it goes on with its life, and says that it
// is accepted from nowhere. Allowlists have no addresses.
func TestRequiredAddresses(t *testing.T) {
	required := true
	g := group()
	g.Spec.KeyPolicy.RequireAddresses = &required
	key := &v1alpha1.ApiKey{}
	key.Namespace, key.Spec.GroupRef.Name = "tenants", "acme"
	key.Spec.Projects, key.Spec.Permissions = []v1alpha1.ProjectName{"marketing"}, []v1alpha1.PermissionName{"read"}

	granted := grant.Grant(grant.ForKey(key, nil), g)
	if granted.Problem == nil || granted.Problem.Reason != v1alpha1.ReasonAddressesRequired || granted.Problem.Field != "spec.addresses" ||
		!granted.Problem.Elsewhere || !granted.Partly() {
		t.Fatalf("%+v", granted)
	}
	if text := granted.Narrowed().Error(); !strings.Contains(text, "refused with 403 address_denied") ||
		strings.Contains(granted.Problem.Message, "address_denied") {
		t.Error(text)
	}
	key.Spec.Projects = append(key.Spec.Projects, "none")
	if all := grant.CheckAll(grant.ForKey(key, nil), g); len(all) != 2 || all[1].Reason != v1alpha1.ReasonAddressesRequired {
		t.Errorf("%v", all)
	}
	key.Spec.Projects = key.Spec.Projects[:1]
	key.Spec.Addresses = []v1alpha1.AddressPrefix{"192.0.2.0/24"}
	if granted := grant.Grant(grant.ForKey(key, nil), g); granted.Problem != nil {
		t.Errorf("%v", granted.Problem)
	}
	key.Spec.Addresses = nil
	*g.Spec.KeyPolicy.RequireAddresses = false
	if granted := grant.Grant(grant.ForKey(key, nil), g); granted.Problem != nil {
		t.Errorf("%v", granted.Problem)
	}
	*g.Spec.KeyPolicy.RequireAddresses = true
	list := &v1alpha1.DomainAllowlist{}
	list.Namespace, list.Spec.GroupRef.Name, list.Spec.Projects = "tenants", "acme", key.Spec.Projects
	if problem := grant.Check(grant.ForAllowlist(list, nil), g); problem != nil {
		t.Errorf("%v", problem)
	}
}
