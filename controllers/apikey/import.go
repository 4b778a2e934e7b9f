package apikey

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// credential is a key that is to become a version: one that was minted or imported, or only the digest of one.
type credential struct {
	text    keyformat.Key // zero if only the digest is known
	plain   keyformat.Digest
	digest  string // as in statuses
	preview string
}

// credentialOf returns a key whose text is known.
func credentialOf(keys *seal.Keys, text keyformat.Key) credential {
	return credential{text: text, plain: text.Digest(), digest: keys.Digests.Of(text), preview: text.Preview()}
}

// gatherImport finds the key that spec.importFrom names while it matters: before there is a first version, and until that
// is delivered, which another process may have begun.
func (r *Reconciler) gatherImport(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	pending := importPending(key)
	if key.Spec.ImportFrom == nil || len(key.Status.Versions) > 0 && (pending == nil || f.input.Pending != 0) {
		return nil
	}
	found, what, err := r.findImport(ctx, key, f)
	if err != nil || f.input.Import != nil {
		return err
	}
	other, err := r.holderOf(ctx, key, f.keys, found.plain)
	if err != nil {
		return err
	}
	if other != "" {
		f.refuseImport("%s is the key of %s already; each key has one ApiKey", what, other)
		return nil
	}
	over, allowed, err := r.endedEarlier(ctx, key, f.keys, found.plain)
	if err != nil {
		return err
	}
	if over != "" && allowed == "" {
		f.refuseImport("%s is of a key that %s; it is not accepted again: import another, or leave importFrom out, and a "+
			"new key is minted", what, over)
		f.input.Import.Reason = v1alpha1.ReasonTextRevoked
		return nil
	}
	f.imported = found
	if pending != nil && pending.Digest == found.digest {
		r.pending.put(key.UID, pending.ID, found)
		f.usePending(pending.ID, found.text)
	}
	return nil
}

// refuseImport notes why the key cannot be imported.
func (f *facts) refuseImport(format string, args ...any) {
	field := "spec.importFrom.secretKeyRef"
	if lifecycle.ImportsDigest(f.input.Key) {
		field = "spec.importFrom.sha256"
	}
	f.input.Import = &grant.Problem{Reason: v1alpha1.ReasonImportRefused, Field: field, Message: fmt.Sprintf(format, args...)}
}

// findImport returns the key to import, and what it is in words. It notes why there is none.
func (r *Reconciler) findImport(ctx context.Context, key *v1alpha1.ApiKey, f *facts) (found credential, what string, err error) {
	if lifecycle.ImportsDigest(key) {
		plain, problem := lifecycle.ImportDigest(key)
		if problem != nil {
			f.input.Import, f.importImpossible = problem, true
			return credential{}, "", nil //nolint:nilerr // the condition says so
		}
		// Its form is not known, so its digest is keyed in any case.
		return credential{
			plain: plain, digest: f.keys.Digests.Format(f.keys.Digests.Keyed(plain)), preview: lifecycle.ImportPreview(key),
		}, "the hash", nil
	}
	text, what, err := r.readImport(ctx, key, f)
	if err != nil || f.input.Import != nil {
		return credential{}, "", err
	}
	return credentialOf(f.keys, text), what, nil
}

// readImport reads the key from its Secret.
func (r *Reconciler) readImport(ctx context.Context, key *v1alpha1.ApiKey, f *facts) (text keyformat.Key, what string, err error) {
	ref := key.Spec.ImportFrom.SecretKeyRef
	if len(validation.IsDNS1123Subdomain(ref.Name)) > 0 { // an earlier schema allowed it
		f.refuseImport("%.253q is no name of a Secret; create another ApiKey, with one", ref.Name)
		f.importImpossible = true
		return text, "", nil
	}
	secret := &corev1.Secret{}
	switch err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: ref.Name}, secret); {
	case apierrors.IsNotFound(err):
		f.refuseImport("there is no Secret %q; create it", ref.Name)
		return text, "", nil
	case unreadable(err):
		f.refuseImport("Secret %q cannot be read: %.500s; let the manager get it", ref.Name, err.Error())
		return text, "", nil
	case err != nil:
		return text, "", fmt.Errorf("reading Secret %s: %w", ref.Name, err)
	}
	value, has := secret.Data[ref.Key]
	if !has {
		f.refuseImport("Secret %q has no entry %q; add it, or correct the reference", ref.Name, ref.Key)
		return text, "", nil
	}
	if text, err = keyformat.Import(string(value)); err != nil {
		f.refuseImport("entry %q of Secret %q is refused: %v", ref.Key, ref.Name, err)
		return text, "", nil
	}
	return text, fmt.Sprintf("entry %q of Secret %q", ref.Key, ref.Name), nil
}

// unreadable reports whether it is no use to read the same again until somebody acts.
func unreadable(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err)
}

// importPending is the imported version that is not in the key's Secret yet.
func importPending(key *v1alpha1.ApiKey) *v1alpha1.KeyVersion {
	for i := range key.Status.Versions {
		if v := &key.Status.Versions[i]; v.State == v1alpha1.VersionPending && v.Cause == v1alpha1.CauseImported {
			return v
		}
	}
	return nil
}
