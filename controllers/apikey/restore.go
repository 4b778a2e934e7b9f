package apikey

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// maxRestoredID limits the ids of versions that a Secret may claim; later versions count on from there.
const maxRestoredID = 1 << 31

// belongs reports whether the Secret is the key's. This includes a Secret of an earlier ApiKey of the name that a backup
// restored without its owner: it is recognized by its annotation, and by its text if the status still has versions.
func belongs(key *v1alpha1.ApiKey, secret *corev1.Secret, digest string) bool {
	if metav1.IsControlledBy(secret, key) {
		return true
	}
	if metav1.GetControllerOf(secret) != nil {
		return false // it belongs to an ApiKey that was deleted, and so revoked, and is deleted with it
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

// isOther reports whether the owner of a Secret is another ApiKey than this one, or one that had its name.
func isOther(owner *metav1.OwnerReference, key *v1alpha1.ApiKey) bool {
	return owner != nil && owner.APIVersion == v1alpha1.GroupVersion.String() && owner.Kind == "ApiKey" && owner.Name != key.Name
}

// gatherRestorable reads what a Secret says about the version that it carries, for a key whose status has none. This is
// trusted if the manager has sealed it, and the text has not ended.
func (r *Reconciler) gatherRestorable(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	if f.secret == nil || f.input.Secret.Digest == "" || len(key.Status.Versions) > 0 {
		return nil
	}
	refuse := func(reason, format string, args ...any) {
		f.input.Secret.RestoreProblem = restoreProblem(f.secret, reason, format, args...)
	}
	text, err := keyOf(string(f.secret.Data[v1alpha1.SecretKeyAPIKey]))
	if err != nil {
		refuse(v1alpha1.ReasonRestoreRefused, "holds no key: %v", err)
		return nil
	}
	other, err := r.holderOf(ctx, key, f.keys, text.Digest())
	if err != nil {
		return err
	}
	if other != "" {
		refuse(v1alpha1.ReasonRestoreRefused, "holds the key of %s", other)
		return nil
	}
	over, allowed, err := r.endedEarlier(ctx, key, f.keys, text.Digest())
	if err != nil {
		return err
	}
	if over != "" && allowed == "" {
		refuse(v1alpha1.ReasonTextRevoked, "holds a key that %s, which is not accepted again", over)
		return nil
	}
	f.input.Secret.Restorable, f.input.Secret.RestoreAllowedBy = restorableVersion(f.secret, text), allowed
	if f.keys.Verify(sealed(key, f.secret), f.secret.Annotations[v1alpha1.AnnotationSeal]) {
		return nil
	}
	until, err := r.restoringUntil(ctx, key.Namespace)
	switch {
	case err != nil:
		return err
	case until == "":
		refuse(v1alpha1.ReasonRestoreRefused, "has no seal of this manager for what it holds: it was made or changed by somebody "+
			"else, or the manager's secret was lost")
	default:
		f.input.Secret.RestoreAllowedBy = "has no seal of this manager; it is taken over because its namespace allows that until " + until
	}
	return nil
}

func restoreProblem(secret *corev1.Secret, reason, format string, args ...any) *grant.Problem {
	return &grant.Problem{
		Reason: reason, Field: "spec.secret.name",
		Message: fmt.Sprintf("Secret %q of an earlier ApiKey of this name ", secret.Name) + fmt.Sprintf(format, args...) +
			"; delete the Secret, and a new key is minted, or see \"Lost and restored\" in docs/lifecycle.md",
	}
}

// restorableVersion is the version as the annotations of its Secret describe it.
func restorableVersion(secret *corev1.Secret, text keyformat.Key) *v1alpha1.KeyVersion {
	version := &v1alpha1.KeyVersion{ID: 1, Preview: text.Preview(), MintedAt: secret.CreationTimestamp}
	if id, err := strconv.ParseInt(secret.Annotations[v1alpha1.AnnotationVersion], 10, 64); err == nil && id > 0 && id < maxRestoredID {
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

// holderOf describes another ApiKey that has a version with the text of that plain digest; it is empty if there is none. An ApiKey
// of another namespace is not named: the user who creates ApiKeys here may not be allowed to know of it.
func (r *Reconciler) holderOf(ctx context.Context, key *v1alpha1.ApiKey, keys *seal.Keys, plain keyformat.Digest) (string, error) {
	found := ""
	for _, digest := range keys.Identities(plain) {
		holders, err := cache.CachedKeysWithDigest(ctx, r.Client, digest)
		if err != nil {
			return "", fmt.Errorf("looking for another ApiKey with the same key: %w", err)
		}
		for i := range holders {
			switch other := &holders[i]; {
			case other.UID == key.UID:
			case other.Namespace == key.Namespace:
				return "ApiKey " + other.Name, nil
			default:
				found = "another ApiKey"
			}
		}
	}
	return found, nil
}
