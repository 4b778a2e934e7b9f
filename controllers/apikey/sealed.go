package apikey

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// sealed is what the seal of a Secret confirms.
func sealed(key *v1alpha1.ApiKey, secret *corev1.Secret) seal.Sealed {
	return seal.Sealed{
		Namespace: key.Namespace, ApiKey: key.Name, Text: string(secret.Data[v1alpha1.SecretKeyAPIKey]),
		Version:   secret.Annotations[v1alpha1.AnnotationVersion],
		MintedAt:  secret.Annotations[v1alpha1.AnnotationMintedAt],
		ExpiresAt: secret.Annotations[v1alpha1.AnnotationExpiresAt],
	}
}

// keyOf reads a key of either form.
func keyOf(text string) (keyformat.Key, error) {
	key, err := keyformat.Parse(text)
	if err != nil {
		key, err = keyformat.Import(text)
	}
	return key, err
}

// digestOf is the digest of a text in the form of statuses. For a text that is no key it is one that no version has.
func digestOf(keys *seal.Keys, text string) string {
	if keyformat.WellFormed(text) {
		return keyformat.DigestOf(text).String()
	}
	return keys.Digests.Format(keys.Digests.Keyed(keyformat.DigestOf(text)))
}

// restoringUntil is the instant until which a namespace allows restoring what is refused otherwise; empty if it does not.
// Only platform administrators may annotate namespaces.
func (r *Reconciler) restoringUntil(ctx context.Context, namespace string) (string, error) {
	object := cache.NamespaceMetadata()
	if err := r.Client.Get(ctx, types.NamespacedName{Name: namespace}, object); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading namespace %s: %w", namespace, err)
	}
	until := object.GetAnnotations()[v1alpha1.AnnotationRestoringUntil]
	// A text that is no instant gives the zero time, which has passed.
	if at, _ := time.Parse(time.RFC3339, until); !r.Clock.Now().Before(at) {
		return "", nil
	}
	return until, nil
}

// rekey converts the digests of imported keys to the current form, with one write: an earlier release stored plain digests
// and the last characters, and the manager's secret may have been lost.
func (r *Reconciler) rekey(ctx context.Context, key *v1alpha1.ApiKey) (rekeyed bool, err error) {
	if !slices.ContainsFunc(key.Status.Versions, isKeyed) {
		return false, nil
	}
	keys, err := r.Seals.Keys(ctx)
	if err != nil {
		return false, err
	}
	before := key.DeepCopy()
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		read, err := keyformat.ReadDigest(v.Digest)
		switch {
		case err != nil, !isKeyed(*v):
			continue
		case read.SecretID == "":
			v.Digest, rekeyed = keys.Digests.Format(keys.Digests.Keyed(read.Digest)), true
			v.Preview = keyformat.ForeignPreview
		case read.SecretID != keys.Digests.ID() && v == lifecycle.Current(key.Status.Versions):
			digest, err := r.redigest(ctx, key, v, keys)
			if err != nil {
				return false, err
			}
			if digest != "" {
				v.Digest, rekeyed = digest, true
			}
		}
	}
	if !rekeyed {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, key, patch); err != nil {
		return false, fmt.Errorf("recording keyed digests: %w", err)
	}
	return true, nil
}

// isKeyed reports whether the digest of the version is keyed, or has to be.
func isKeyed(v v1alpha1.KeyVersion) bool {
	read, err := keyformat.ReadDigest(v.Digest)
	return err == nil && (read.SecretID != "" || keyformat.IsForeignPreview(v.Preview))
}

// redigest is the digest of the version under the current secret: of the hash by which it was imported, if that is still
// declared, or of the text in the key's own Secret, if its namespace allows trusting it; empty otherwise.
func (r *Reconciler) redigest(ctx context.Context, key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, keys *seal.Keys) (string, error) {
	if plain, problem := lifecycle.ImportDigest(key); problem == nil && lifecycle.ImportsDigest(key) && v.Cause == v1alpha1.CauseImported {
		return keys.Digests.Format(keys.Digests.Keyed(plain)), nil
	}
	until, err := r.restoringUntil(ctx, key.Namespace)
	if err != nil || until == "" {
		return "", err
	}
	name := types.NamespacedName{Namespace: key.Namespace, Name: lifecycle.SecretName(key)}
	secret := &corev1.Secret{}
	if err := r.APIReader.Get(ctx, name, secret); err != nil {
		return "", client.IgnoreNotFound(err)
	}
	text, err := keyOf(string(secret.Data[v1alpha1.SecretKeyAPIKey]))
	if err != nil || secret.Annotations[v1alpha1.AnnotationAPIKey] != key.Name {
		return "", nil //nolint:nilerr // it holds no key; the condition says so
	}
	r.event(key, true, v1alpha1.ReasonRestored, "Plan", fmt.Sprintf(
		"Secret %s is trusted to hold the key, though the manager's secret was lost, because its namespace allows that "+
			"until %s", name.Name, until))
	return keys.Digests.Of(text), nil
}

// unverifiable is the problem of versions whose digests were made with a secret that the manager has lost.
func (f *facts) unverifiable(key *v1alpha1.ApiKey) *grant.Problem {
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		read, err := keyformat.ReadDigest(v.Digest)
		if err != nil || read.SecretID == "" || read.SecretID == f.keys.Digests.ID() || v != lifecycle.Current(key.Status.Versions) {
			continue
		}
		return &grant.Problem{
			Reason: v1alpha1.ReasonRestoreRefused, Field: "spec.secret.name",
			Message: fmt.Sprintf("version %d was imported under another secret of the manager, which was lost since, so that its "+
				"text cannot be recognized; restore Secret %s of the manager's namespace and restart the manager, or see "+
				"\"Lost and restored\" in docs/lifecycle.md", v.ID, seal.SecretName),
		}
	}
	return nil
}

// stale is the result after something was recorded, or somebody else was faster: the next reconciliation reads the
// newer object.
func stale(err error) (ctrl.Result, error) {
	if err == nil || apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	}
	return ctrl.Result{}, err
}
