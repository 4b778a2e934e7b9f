package e2e

import (
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// TestSamplesOfKeyLifecycle applies the patterns and the stages of a key's lifecycle, as a person would, and then does what
// the files say.
func TestSamplesOfKeyLifecycle(t *testing.T) {
	w := newWorld(t)
	w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	for _, dir := range []string{"config/samples/patterns", "config/samples/life"} {
		eventually(t, dir+" to be admitted", patience, func() error {
			_, err := w.kubectl("apply", "--server-side", "-k", filepath.Join(root, dir))
			return err
		})
	}
	for namespace, keys := range map[string][]string{
		"single-site":     {"website"},
		"per-environment": {"atlas-dev", "atlas-staging", "atlas-prod"},
		"tenants":         {"platform-website"},
		"globex":          {"storefront"},
		"initech":         {"storefront"},
	} {
		for _, name := range keys {
			p := *w
			p.namespace = namespace
			key := p.awaitKey(name, "ready", isReady)
			if at := key.Status.NextRotationAt; at == nil || !at.Before(key.Status.ExpiresAt) {
				t.Errorf("%s/%s rotates at %s and expires at %s", namespace, name, at, key.Status.ExpiresAt)
			}
		}
	}

	w.namespace = "key-life"
	for _, name := range []string{"catalogue", "partner", "kiosk"} {
		w.awaitKey(name, "ready", isReady)
	}
	legacy := w.plaintext("catalogue")
	if keyformat.WellFormed(legacy) {
		t.Error("the imported key was minted")
	}
	v.awaits(legacy, "allowed")
	w.trigger("catalogue", "cut-over")
	w.awaitKey("catalogue", "rotated", func(key *v1alpha1.ApiKey) bool {
		return lifecycle.Current(key.Status.Versions).ID == 2 && isReady(key) && live(key) == 2
	})
	v.requires(t, legacy, "allowed")
	v.requires(t, w.plaintext("catalogue"), "allowed")

	partner := w.plaintext("partner")
	if _, err := w.kubectl("-n", w.namespace, "annotate", "secret", "partner", "keyward.dev/claimed=true"); err != nil {
		t.Fatal(err)
	}
	w.awaitSecretDeleted("partner", partner)
	v.requires(t, partner, "allowed")

	w.trigger("kiosk", "now")
	kiosk := w.awaitKey("kiosk", "restarted", func(key *v1alpha1.ApiKey) bool {
		current := lifecycle.Current(key.Status.Versions)
		return current.ID == 2 && current.RestartedAt != nil && isReady(key)
	})
	workload := &appsv1.Deployment{}
	if err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "kiosk"}, workload); err != nil {
		t.Fatal(err)
	}
	if got := workload.Spec.Template.Annotations[v1alpha1.AnnotationRestartPrefix+kiosk.Status.KeyID]; got != "2" {
		t.Errorf("its pods were last rolled for version %q", got)
	}
	if _, err := w.kubectl("-n", w.namespace, "delete", "rolebinding", "keyward-restart"); err != nil {
		t.Fatal(err)
	}
	w.trigger("kiosk", "again")
	w.awaitEvent("kiosk", "Deployment kiosk", "bind its ServiceAccount to the ClusterRole keyward-restart in this namespace")
}
