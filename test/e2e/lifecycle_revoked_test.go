package e2e

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestRevokedTextStaysRevoked plants a copy of a Secret beside an ApiKey that is created again, after the first one was
// revoked, its dependents were orphaned, and the manager was killed.
func TestRevokedTextStaysRevoked(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{startupGrace: quick})
	v := w.startValidators("one")[0]
	w.createGroup()
	text := w.mint("web")
	key, secret := &v1alpha1.ApiKey{}, &corev1.Secret{}
	at := client.ObjectKey{Namespace: w.namespace, Name: "web"}
	for _, object := range []client.Object{key, secret} {
		if err := w.admin.Get(w.ctx, at, object); err != nil {
			t.Fatal(err)
		}
	}
	w.revoke("web")
	v.awaits(text, "key_revoked")
	if err := w.admin.Delete(w.ctx, key, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "web and its Secret to be gone", patience, func() error {
		for _, object := range []client.Object{&v1alpha1.ApiKey{}, &corev1.Secret{}} {
			if err := w.admin.Get(w.ctx, at, object); !apierrors.IsNotFound(err) {
				return errors.Join(errors.New("it is there"), err)
			}
		}
		return nil
	})
	m.kill()

	secret.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: "web", Labels: secret.Labels, Annotations: secret.Annotations}
	planted := secret.DeepCopy()
	w.create(planted)
	w.allowRestores() // which is not about what was revoked
	w.lead(managerSetup{startupGrace: quick})
	w.create(w.newKey("web"))
	w.awaitKey("web", "refused", func(key *v1alpha1.ApiKey) bool {
		ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == v1alpha1.ReasonTextRevoked && len(key.Status.Versions) == 0
	})
	v.awaits(text, "key_unknown") // it may not have reached the new leader yet
	if err := w.admin.Delete(w.ctx, planted); err != nil {
		t.Fatal(err)
	}
	w.awaitKey("web", "ready", isReady)
	v.requires(t, text, "key_unknown")
	v.awaits(w.plaintext("web"), "allowed") // it comes to the new leader in its own time
}
