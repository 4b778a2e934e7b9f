package gitops

import (
	"fmt"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// fluxKustomizations reads config/flux/kustomizations.yaml strictly, with Flux's own types.
func fluxKustomizations(t *testing.T) []kustomizev1.Kustomization {
	t.Helper()
	var all []kustomizev1.Kustomization
	for _, u := range parse(t, read(t, "config/flux/kustomizations.yaml")) {
		encoded, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var of kustomizev1.Kustomization
		if err := yaml.UnmarshalStrict(encoded, &of); err != nil {
			t.Fatal(err)
		}
		all = append(all, of)
	}
	return all
}

func fluxKustomization(t *testing.T, name string) kustomizev1.Kustomization {
	t.Helper()
	for _, of := range fluxKustomizations(t) {
		if of.Name == name {
			return of
		}
	}
	t.Fatalf("config/flux has no Kustomization %s", name)
	return kustomizev1.Kustomization{}
}

// TestKustomizations checks what Flux's types cannot: that each depends on one that is there and waits.
func TestKustomizations(t *testing.T) {
	waits := map[string]bool{}
	for _, of := range fluxKustomizations(t) {
		for _, on := range of.Spec.DependsOn {
			if !waits[on.Name] {
				t.Errorf("%s depends on %s, which is not before it or does not wait", of.Name, on.Name)
			}
		}
		waits[of.Name] = of.Spec.Wait
		if of.Spec.SourceRef.Name != "fleet" || of.Spec.Interval.Duration == 0 || !of.Spec.Prune {
			t.Errorf("%s has spec %+v", of.Name, of.Spec)
		}
	}
}

// TestTenant applies a tenant as Flux does: its variables are substituted, it becomes healthy, nothing drifts, and its key ends
// when it is removed from Git.
func TestTenant(t *testing.T) {
	c := needCluster(t)
	of := fluxKustomization(t, "tenant-hooli")
	f := c.flux(t, of)
	tenants := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tenants"}}
	if err := c.admin.Create(t.Context(), tenants); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	objects := f.build(t, "config/flux/tenant", of)
	f.reconciles(t, objects)
	f.heals(t, objects)
	key := c.awaitKey(t, "hooli", "storefront", "active", inState(v1alpha1.KeyActive, 1))
	if key.Spec.GroupRef.Name != "hooli" || key.Spec.Description != "The storefront of Hooli Inc" {
		t.Errorf("the key is %+v", key.Spec)
	}
	if drifted := f.drift(t, objects); len(drifted) > 0 {
		t.Errorf("drift: %q", drifted)
	}
	if err := f.prune(t, objects); err != nil {
		t.Error(err)
	}
	if _, err := c.key(t.Context(), "hooli", "storefront"); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the key is still there: %v", fmt.Sprint(err))
	}
}
