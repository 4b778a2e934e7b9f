package gitops

import (
	"fmt"
	"slices"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// sampleDirs are all directories of config/samples that are applied on their own.
var sampleDirs = []string{"config/samples", "config/samples/life", "config/samples/patterns", "config/samples/sidecar"}

// rotations is how often each key of the samples rotates.
const rotations = 3

// TestSamples applies all samples with Flux: they become healthy, nothing drifts while their keys rotate, no event is a
// warning, and what is removed from Git is gone.
func TestSamples(t *testing.T) {
	c := needCluster(t)
	for _, dir := range sampleDirs {
		t.Run(dir, func(t *testing.T) {
			f := c.flux(t, kustomizev1.Kustomization{})
			objects := f.build(t, dir, kustomizev1.Kustomization{})
			f.reconciles(t, objects)
			var ours []*unstructured.Unstructured
			var keys []client.ObjectKey
			for _, u := range objects {
				if u.GroupVersionKind().Group == v1alpha1.GroupVersion.Group {
					ours = append(ours, u)
				}
				if u.GetKind() == "ApiKey" {
					keys = append(keys, client.ObjectKeyFromObject(u))
				}
			}
			f.heals(t, ours) // there is no node, so Deployments do not become available
			for n := range int64(rotations + 1) {
				for _, key := range keys {
					c.awaitKey(t, key.Namespace, key.Name, fmt.Sprintf("version %d", n+1), inState(v1alpha1.KeyActive, n+1))
				}
				if drifted := f.drift(t, objects); len(drifted) > 0 {
					t.Errorf("drift after %d rotations: %q", n, drifted)
				}
				if changed := f.reconciles(t, objects); len(changed) > 0 {
					t.Errorf("Flux changes %q after %d rotations", changed, n)
				}
				if n == rotations {
					break
				}
				for _, key := range keys {
					c.claim(t, key)
					c.patch(t, "rotation", "ApiKey", key.Namespace, key.Name,
						fmt.Sprintf(`{"metadata":{"annotations":{"keyward.dev/rotate-requested-at":"%d"}}}`, n))
				}
			}
			c.noWarnings(t, ours)
			if err := f.prune(t, slices.DeleteFunc(objects, isTenants)); err != nil {
				t.Error(err)
			}
		})
	}
}

// isTenants reports whether an object is the namespace tenants, which more than one test has.
func isTenants(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Namespace" && u.GetName() == "tenants"
}

// claim claims a key that is revealed once: it does not rotate before, without a loss of the earlier version.
func (c *cluster) claim(t *testing.T, of client.ObjectKey) {
	t.Helper()
	key, err := c.key(t.Context(), of.Namespace, of.Name)
	if err != nil {
		t.Fatal(err)
	}
	if key.Spec.Secret.Reveal != v1alpha1.RevealOnce {
		return
	}
	id := latest(key)
	c.patch(t, "claim", "ApiKey", of.Namespace, of.Name,
		fmt.Sprintf(`{"metadata":{"annotations":{%q:"%s-%d"}}}`, v1alpha1.AnnotationClaimedVersion, key.Status.KeyID, id))
	c.awaitKey(t, of.Namespace, of.Name, "claimed", func(key *v1alpha1.ApiKey) bool {
		return key.Status.Versions[len(key.Status.Versions)-1].ClaimedAt != nil
	})
}

// noWarnings requires that no event about the objects is a warning.
func (c *cluster) noWarnings(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	namespaces := map[string]bool{}
	for _, u := range objects {
		namespaces[u.GetNamespace()] = true
	}
	for namespace := range namespaces {
		warnings := metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning}
		events, err := c.core.CoreV1().Events(namespace).List(t.Context(), warnings)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events.Items {
			if event.Reason == "ClusterIPNotAllocated" {
				continue // the API server repairs what it has just allocated itself
			}
			t.Errorf("event about %s %s: %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
		}
	}
}
