package apikey

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/keyformat"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grant"
	"github.com/keyward-dev/keyward/controllers/lookup"
)

// maxLeftID bounds the ids of versions that a Secret tells of; those to come count on from it.
const maxLeftID = 1 << 31

// belongs is whether the Secret is that of the key. One of an earlier life of it is, where a
// backup restores it without its owner. It is known by its annotation, and by the text, as
// far as the status still knows that.
func belongs(key *v1alpha1.ApiKey, secret *corev1.Secret, digest string) bool {
	if metav1.IsControlledBy(secret, key) {
		return true
	}
	if metav1.GetControllerOf(secret) != nil {
		return false // that of an ApiKey that was deleted, and so revoked, goes with it
	}
	if secret.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || secret.Annotations[v1alpha1.AnnotationAPIKey] != key.Name {
		return false
	}
	known := len(key.Status.Versions) == 0
	for i := range key.Status.Versions {
		known = known || key.Status.Versions[i].Digest == digest
	}
	return known
}

// gatherLeft reads what a Secret says about the version that it carries, for a key whose
// status knows of none.
func (r *Reconciler) gatherLeft(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	if f.secret == nil || f.input.Secret.Digest == "" || len(key.Status.Versions) > 0 {
		return nil
	}
	text, err := keyformat.Parse(string(f.secret.Data[v1alpha1.SecretKeyAPIKey]))
	if err != nil {
		text, err = keyformat.Import(string(f.secret.Data[v1alpha1.SecretKeyAPIKey]))
	}
	if err != nil {
		f.input.Secret.LeftProblem = restoreProblem(f.secret, "holds no key: %v", err)
		return nil
	}
	other, err := r.holderOf(ctx, key, f.input.Secret.Digest)
	if err != nil {
		return err
	}
	if other != "" {
		f.input.Secret.LeftProblem = restoreProblem(f.secret, "holds the key of %s", other)
		return nil
	}
	f.input.Secret.Left = left(f.secret, text)
	return nil
}

func restoreProblem(secret *corev1.Secret, format string, args ...any) *grant.Problem {
	return &grant.Problem{
		Reason: v1alpha1.ReasonRestoreRefused, Field: "spec.secret.name",
		Message: fmt.Sprintf("Secret %q of an earlier life of this ApiKey ", secret.Name) + fmt.Sprintf(format, args...) + "; delete the Secret, and a new key is minted",
	}
}

// left is the version as the annotations describe it.
func left(secret *corev1.Secret, text keyformat.Key) *v1alpha1.KeyVersion {
	version := &v1alpha1.KeyVersion{ID: 1, Preview: text.Preview(), MintedAt: secret.CreationTimestamp}
	if id, err := strconv.ParseInt(secret.Annotations[v1alpha1.AnnotationVersion], 10, 64); err == nil && id > 0 && id < maxLeftID {
		version.ID = id
	}
	if at, err := time.Parse(time.RFC3339, secret.Annotations[v1alpha1.AnnotationMintedAt]); err == nil && at.Before(version.MintedAt.Time) {
		version.MintedAt = metav1.Time{Time: at}
	}
	if at, err := time.Parse(time.RFC3339, secret.Annotations[v1alpha1.AnnotationExpiresAt]); err == nil {
		version.ExpiresAt = &metav1.Time{Time: at}
	}
	return version
}

// holderOf says which other ApiKey has a version of the digest, "" where none has. One of another namespace is not
// named: that would be for its own people to see.
func (r *Reconciler) holderOf(ctx context.Context, key *v1alpha1.ApiKey, digest string) (holder string, err error) {
	holders, err := lookup.KeysWithDigest(ctx, r.Client, digest)
	if err != nil {
		return "", fmt.Errorf("looking for another ApiKey with the same key: %w", err)
	}
	for i := range holders {
		switch other := &holders[i]; {
		case other.UID == key.UID:
		case other.Namespace == key.Namespace:
			return "ApiKey " + other.Name, nil
		default:
			holder = "another ApiKey"
		}
	}
	return holder, nil
}
