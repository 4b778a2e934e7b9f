package manifests

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// built is the part of a built kustomization that tests look at.
type built struct {
	deployments  []appsv1.Deployment
	policies     []networkingv1.NetworkPolicy
	bindings     []rbacv1.RoleBinding
	clusterWide  []rbacv1.ClusterRoleBinding
	clusterRoles []rbacv1.ClusterRole
	roles        []rbacv1.Role
	mutating     []admissionv1.MutatingWebhookConfiguration
	validating   []admissionv1.ValidatingWebhookConfiguration
}

// build builds a directory below config, and refuses fields that do not exist.
func build(t *testing.T, dir string) *built {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../config/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	b := &built{}
	for _, r := range all.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		switch r.GetKind() {
		case "Deployment":
			b.deployments = add(t, b.deployments, text)
		case "NetworkPolicy":
			b.policies = add(t, b.policies, text)
		case "RoleBinding":
			b.bindings = add(t, b.bindings, text)
		case "ClusterRoleBinding":
			b.clusterWide = add(t, b.clusterWide, text)
		case "ClusterRole":
			b.clusterRoles = add(t, b.clusterRoles, text)
		case "Role":
			b.roles = add(t, b.roles, text)
		case "MutatingWebhookConfiguration":
			b.mutating = add(t, b.mutating, text)
		case "ValidatingWebhookConfiguration":
			b.validating = add(t, b.validating, text)
		}
	}
	return b
}

func add[T any](t *testing.T, all []T, text []byte) []T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return append(all, object)
}

// TestMemoryLimits: the limit of Go is below the limit of its container, and not far below.
func TestMemoryLimits(t *testing.T) {
	containers := 0
	for _, d := range build(t, "default").deployments {
		for _, c := range d.Spec.Template.Spec.Containers {
			containers++
			limit := c.Resources.Limits.Memory().Value()
			if got := goLimit(t, c.Env); got < limit*85/100 || got > limit*92/100 {
				t.Errorf("%s: GOMEMLIMIT is %d of %d", c.Name, got, limit)
			}
		}
	}
	if containers != 2 {
		t.Errorf("%d containers", containers)
	}
}

func goLimit(t *testing.T, env []corev1.EnvVar) int64 {
	t.Helper()
	for _, variable := range env {
		if variable.Name == "GOMEMLIMIT" {
			return parseGoLimit(t, variable.Value)
		}
	}
	return 0
}

// TestAvailableIsReachable: a Pod that is ready is reached through its Service only when the proxies of all nodes know it, about a second
// later. Who waits for a rollout and then applies an ApiKey must not find a webhook that refuses connections.
func TestAvailableIsReachable(t *testing.T) {
	for _, dir := range []string{"default", "namespaced"} {
		deployments := build(t, dir).deployments
		if len(deployments) != 2 {
			t.Errorf("%s has %d Deployments, want the manager and the validation server", dir, len(deployments))
		}
		for _, d := range deployments {
			if d.Spec.MinReadySeconds < 3 {
				t.Errorf("%s: %s: minReadySeconds: %d, so that it is available as soon as it is ready", dir, d.Name, d.Spec.MinReadySeconds)
			}
		}
	}
}
