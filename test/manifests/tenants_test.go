package manifests

import (
	"slices"
	"testing"
)

// TestTenantsServeTheirNamespace: the validation server of the pattern per-tenant requests the platform's Groups, and is
// authorized for no others. No customer is bound to a role that may write Groups.
func TestTenantsServeTheirNamespace(t *testing.T) {
	b := build(t, "samples/patterns/per-tenant/validator")
	if len(b.deployments) != 1 || !slices.Contains(b.deployments[0].Spec.Template.Spec.Containers[0].Args, "--namespace=tenants") {
		t.Errorf("it does not ask for one namespace: %+v", b.deployments)
	}
	if len(b.clusterWide) != 0 || len(b.bindings) != 1 || b.bindings[0].Namespace != "tenants" ||
		b.bindings[0].RoleRef.Name != "keyward-validator" {
		t.Errorf("it is bound by %+v and %+v", b.clusterWide, b.bindings)
	}
	customers := build(t, "samples/patterns/per-tenant")
	if len(customers.clusterWide) != 0 || len(customers.bindings) != 2 {
		t.Fatalf("customers are bound by %+v", customers.bindings)
	}
	for _, binding := range customers.bindings {
		if binding.RoleRef.Name != "admin" || binding.Namespace == "tenants" {
			t.Errorf("%s/%s binds %s", binding.Namespace, binding.Name, binding.RoleRef.Name)
		}
	}
}

// TestGroupsAreOfNoBuiltInRole: an admin of a namespace may not write its Groups.
func TestGroupsAreOfNoBuiltInRole(t *testing.T) {
	found := map[string]bool{}
	for _, role := range build(t, "default").clusterRoles {
		found[role.Name] = true
		aggregated := false
		for label := range role.Labels {
			aggregated = aggregated || label != "app.kubernetes.io/name" && label != "app.kubernetes.io/component"
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				if aggregated && slices.Contains(rule.Resources, "groups") && !slices.Contains([]string{"get", "list", "watch"}, verb) {
					t.Errorf("%s gives %s on Groups to a built-in role", role.Name, verb)
				}
				if verb == "*" || verb == "manage" && role.Name != "keyward-platform" {
					t.Errorf("%s has the verb %s", role.Name, verb)
				}
			}
		}
	}
	if !found["keyward-platform"] || !found["keyward-group-owner"] {
		t.Errorf("roles are %v", found)
	}
}
