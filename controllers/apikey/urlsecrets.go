package apikey

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

// updateURLSecrets records, encrypted, the secrets with which versions sign URLs, or removes them if the key signs none, with one
// write. A version gets its secret while its text is known: before it is delivered, and later as long as the text is in its
// Secret. So the secret outlives this process, and the text. A version that is over keeps it, because validation servers say of
// its URLs why they ended, and because removing it would be one more change to be acknowledged.
func (r *Reconciler) updateURLSecrets(ctx context.Context, key *v1alpha1.ApiKey, found *facts) (changed bool, err error) {
	signs := publish.SignsURLs(key)
	if !signs && !slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool { return v.URLSecret != "" }) {
		return false, nil
	}
	before := key.DeepCopy()
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		switch {
		case !signs:
			changed = changed || v.URLSecret != ""
			v.URLSecret = ""
			continue
		case lifecycle.Over(v.State):
			continue
		case v.URLSecret != "":
			if _, err := found.keys.OpenURLSecret(v.URLSecret, v.Digest); err == nil {
				continue
			} // the manager's secret was lost
		}
		secret, err := urltoken.Derive(r.textOf(key, v, found).Reveal())
		if err != nil {
			continue // the text is not known, or was imported and does not have Keyward's form
		}
		sealed, err := found.keys.SealURLSecret(secret, v.Digest, r.Random)
		if err != nil {
			return false, err
		}
		v.URLSecret, changed = sealed, true
	}
	if !changed {
		return false, nil
	}
	if err := r.Client.Status().Patch(ctx, key, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return false, fmt.Errorf("recording secrets of signed URLs: %w", err)
	}
	return true, nil
}

// textOf returns the text of a version, or a zero key if it is not known.
func (r *Reconciler) textOf(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, found *facts) keyformat.Key {
	if id, text := r.pending.get(key.UID); id == v.ID && !text.IsZero() && found.keys.Digests.Of(text) == v.Digest {
		return text
	}
	if found.secret == nil || found.input.Secret.Digest != v.Digest {
		return keyformat.Key{}
	}
	text, err := keyformat.Parse(string(found.secret.Data[v1alpha1.SecretKeyAPIKey]))
	if err != nil {
		return keyformat.Key{}
	}
	return text
}
