package e2e

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// TestKilledDuringAMint kills the manager at each step of a mint. The next manager has to leave exactly one usable key, in
// exactly one Secret.
func TestKilledDuringAMint(t *testing.T) {
	w := newWorld(t)
	first := w.lead(managerSetup{})
	window := w.subscribe("window", 0)
	validators := w.startValidators("one", "two")
	w.createGroup()
	keeper := w.mint("keeper")
	first.kill()

	names := []string{"keeper"}
	for _, point := range failpoint.Mint {
		t.Run(point, func(t *testing.T) {
			w := *w
			w.t, w.ctx = t, t.Context()
			names = append(names, point)
			w.crash(point)

			second := w.lead(managerSetup{})
			key := w.awaitKey(point, "ready", isReady)
			plaintext := w.plaintext(point)
			for _, v := range validators {
				v.awaits(plaintext, "allowed") // as soon as it is connected again
			}
			eventually(t, "the window to be connected again", patience, func() error {
				if code := window.decide(keyformat.DigestOf(plaintext)); code != "allowed" {
					return errors.New("it answers " + code)
				}
				return nil
			})
			w.hasOneUsableKey(key, window)
			for _, v := range validators {
				v.requires(t, keeper, "allowed")
			}
			second.kill()
		})
	}
	w.hasNoOrphans(names)
}

// crash starts a manager that kills itself at the point, and mints a key with it.
func (w *world) crash(point string) {
	w.t.Helper()
	m := w.startManager(managerSetup{
		binary:      bin("e2e", "keyward-manager-failpoints"),
		environment: []string{"KEYWARD_FAILPOINT=" + point},
	})
	w.awaitReady(m)
	w.createKey(point)
	eventually(w.t, "the manager to kill itself "+point, patience, func() error {
		if !m.hasEnded() {
			return errors.New("it still runs")
		}
		return nil
	})
	if !m.killedItself() {
		w.t.Fatal(m.complaint())
	}
}

// hasOneUsableKey checks versions, Secrets, and the verdicts of the servers about every digest that ever existed.
func (w *world) hasOneUsableKey(key *v1alpha1.ApiKey, window *subscriber) {
	w.t.Helper()
	digest := keyformat.DigestOf(w.plaintext(key.Name))
	var live []v1alpha1.KeyVersion
	for _, version := range key.Status.Versions {
		if version.State == v1alpha1.VersionPending || version.State == v1alpha1.VersionActive {
			live = append(live, version)
		}
	}
	if len(live) != 1 || live[0].State != v1alpha1.VersionActive || live[0].Digest != digest.String() {
		w.t.Errorf("live versions are %+v; the Secret has %s", live, digest)
	}
	if len(w.secretsOf(key)) != 1 {
		w.t.Errorf("the Secrets are %v", w.secretsOf(key))
	}
	known := map[keyformat.Digest]bool{}
	for key := range w.minted.all() {
		known[keyformat.DigestOf(key)] = true
	}
	if !known[digest] {
		w.t.Error("the key in the Secret was not noticed")
	}
	for _, other := range window.digests() {
		if code := window.decide(other); !known[other] && code != "key_unknown" && code != "key_revoked" {
			w.t.Errorf("%s, which no Secret ever held, is answered %s", other, code)
		}
	}
}

// secretsOf names the Secrets that belong to the ApiKey.
func (w *world) secretsOf(key *v1alpha1.ApiKey) (names []string) {
	w.t.Helper()
	list := &corev1.SecretList{}
	if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	for _, secret := range list.Items {
		for _, owner := range secret.OwnerReferences {
			if owner.UID == key.UID {
				names = append(names, secret.Name)
			}
		}
	}
	return names
}

// hasNoOrphans compares the operator's Secrets with the ApiKeys.
func (w *world) hasNoOrphans(names []string) {
	w.t.Helper()
	list := &corev1.SecretList{}
	if err := w.admin.List(w.ctx, list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	left := map[string]bool{}
	for _, name := range names {
		left[name] = true
	}
	for _, secret := range list.Items {
		if !left[secret.Name] {
			w.t.Errorf("Secret %s belongs to no ApiKey", secret.Name)
		}
		delete(left, secret.Name)
	}
	if len(left) > 0 {
		w.t.Errorf("there is no Secret for %v", left)
	}
}
