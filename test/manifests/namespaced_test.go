package manifests

import (
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// granted returns each verb on each kind of object that the rules allow.
func granted(rules []rbacv1.PolicyRule) map[string]bool {
	all := map[string]bool{}
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all[strings.Join([]string{group, resource, strings.Join(rule.ResourceNames, ","), verb}, " ")] = true
				}
			}
		}
	}
	return all
}

// clusterWide are the resources that config/namespaced may allow in the whole cluster. None of them is in a namespace, and none
// can be read except namespaces, the webhook configurations and the ClusterTrustBundle of Keyward.
var clusterWide = []string{
	"namespaces", "tokenreviews", "subjectaccessreviews", "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
	"clustertrustbundles", "signers",
}

// TestNamespacedRoles: in config/namespaced, the manager may do what it may do in config/default, but in a namespace only with the
// Role of that namespace.
func TestNamespacedRoles(t *testing.T) {
	everywhere, b := build(t, "default"), build(t, "namespaced")
	whole := map[string]bool{}
	for _, role := range everywhere.clusterRoles {
		if role.Name == "keyward-manager" {
			whole = granted(role.Rules)
		}
	}
	parts := map[string]bool{}
	for _, role := range b.clusterRoles {
		if role.Name != "keyward-manager" {
			continue
		}
		maps.Copy(parts, granted(role.Rules))
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if !slices.Contains(clusterWide, resource) {
					t.Errorf("%s are allowed in the whole cluster", resource)
				}
			}
		}
	}
	roles := 0
	for _, role := range b.roles {
		if role.Namespace == "tenants" && role.Name == "keyward-manager-namespace" {
			maps.Copy(parts, granted(role.Rules))
			roles++
		}
	}
	if len(whole) == 0 || roles != 1 || !maps.Equal(whole, parts) {
		t.Errorf("%d roles; config/rbac allows\n  %s\nand config/namespaced\n  %s", roles,
			strings.Join(slices.Sorted(maps.Keys(whole)), "\n  "), strings.Join(slices.Sorted(maps.Keys(parts)), "\n  "))
	}
	for _, binding := range b.clusterWide {
		if binding.Name != "keyward-manager" {
			t.Errorf("%s is bound in the whole cluster", binding.RoleRef.Name)
		}
	}
	for _, d := range b.deployments {
		if d.Name == "keyward-manager" && !slices.Contains(d.Spec.Template.Spec.Containers[0].Args, "--watch-namespaces=tenants") {
			t.Errorf("the manager watches all namespaces: %q", d.Spec.Template.Spec.Containers[0].Args)
		}
	}
}

// TestAdmissionOfWatchedNamespaces: where a manager watches some namespaces only, others do not depend on it. Only Pods that ask for a
// sidecar are refused there, and no other Pods.
func TestAdmissionOfWatchedNamespaces(t *testing.T) {
	b := build(t, "namespaced")
	hooks := 0
	for _, configuration := range b.mutating {
		for _, hook := range configuration.Webhooks {
			hooks++
			if hook.NamespaceSelector == nil || hook.NamespaceSelector.MatchLabels["keyward.dev/watched"] != "true" {
				t.Errorf("%s is called for all namespaces", hook.Name)
			}
		}
	}
	for _, configuration := range b.validating {
		for _, hook := range configuration.Webhooks {
			hooks++
			if hook.Name == "pods.validating.keyward.dev" {
				labelled := slices.ContainsFunc(hook.ObjectSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
					return r.Key == "keyward.dev/inject" && r.Operator == metav1.LabelSelectorOpExists
				})
				if len(hook.NamespaceSelector.MatchLabels) > 0 || !labelled {
					t.Errorf("%s is not called for labelled Pods of all namespaces: %v", hook.Name, hook.NamespaceSelector)
				}
				continue
			}
			if hook.NamespaceSelector == nil || hook.NamespaceSelector.MatchLabels["keyward.dev/watched"] != "true" {
				t.Errorf("%s is called for all namespaces", hook.Name)
			}
		}
	}
	if hooks < 5 {
		t.Errorf("%d webhooks", hooks)
	}
}
