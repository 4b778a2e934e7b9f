package e2e

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestRevealedOnce claims a key: its text leaves the cluster and does not return, and the key continues to work.
func TestRevealedOnce(t *testing.T) {
	w := newWorld(t)
	m := w.lead(managerSetup{})
	v := w.startValidators("one")[0]
	w.createGroup()
	first := w.mint("partner", func(key *v1alpha1.ApiKey) {
		key.Spec.Secret.Reveal = v1alpha1.RevealOnce
		key.Spec.Rotation.Overlap = "0s"
	})
	w.claim("partner")
	w.awaitSecretDeleted("partner", first)
	v.requires(t, first, "allowed")

	m.kill()
	w.lead(managerSetup{})
	w.mint("another") // by then the new manager has looked at all keys
	w.awaitSecretDeleted("partner", first)
	v.requires(t, first, "allowed")

	w.trigger("partner", "lost at the partner's")
	w.awaitKey("partner", "waiting to be claimed",
		func(key *v1alpha1.ApiKey) bool { return key.Status.SecretRef != nil && len(key.Status.Versions) == 2 })
	second := w.plaintext("partner")
	for _, key := range []string{first, second} {
		v.requires(t, key, "allowed")
	}
	w.claim("partner")
	w.awaitSecretDeleted("partner", first, second)
	v.awaits(first, "key_retired")
	v.requires(t, second, "allowed")
}

// claim records that somebody has the text.
func (w *world) claim(name string) {
	w.t.Helper()
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = w.namespace, name
	patch := client.RawPatch("application/merge-patch+json",
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"true"}}}`, v1alpha1.AnnotationClaimed))
	if err := w.admin.Patch(w.ctx, secret, patch); err != nil {
		w.t.Fatal(err)
	}
}

// awaitSecretDeleted waits until the Secret is deleted, and then searches for the texts in everything that is stored.
func (w *world) awaitSecretDeleted(name string, texts ...string) {
	w.t.Helper()
	eventually(w.t, "Secret "+name+" to be gone", patience, func() error {
		err := w.admin.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, &corev1.Secret{})
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("it is there"), err)
		}
		return nil
	})
	w.awaitKey(name, "ready without a Secret",
		func(key *v1alpha1.ApiKey) bool { return isReady(key) && key.Status.SecretRef == nil && live(key) == 1 })
	keys := map[string]string{}
	for _, text := range texts {
		keys[text] = name
	}
	search := searchFor(keys)
	for place, value := range w.etcd() {
		if len(search.in(value)) > 0 {
			w.t.Errorf("etcd has the plaintext of %s in %s", name, place)
		}
	}
}
