package apikey

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// gatherImport reads the key that spec.importFrom names while it matters: before there is a first version, and until that
// is delivered, which another process may have begun.
func (r *Reconciler) gatherImport(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	pending := importPending(key)
	if key.Spec.ImportFrom == nil || len(key.Status.Versions) > 0 && (pending == nil || f.input.Pending != 0) {
		return nil
	}
	ref := key.Spec.ImportFrom.SecretKeyRef
	refuse := func(format string, args ...any) {
		f.input.Import = &grant.Problem{
			Reason: v1alpha1.ReasonImportRefused, Field: "spec.importFrom.secretKeyRef", Message: fmt.Sprintf(format, args...),
		}
	}
	if len(validation.IsDNS1123Subdomain(ref.Name)) > 0 { // an earlier schema allowed it
		refuse("%.253q is no name of a Secret; create another ApiKey, with one", ref.Name)
		f.importImpossible = true
		return nil
	}
	secret := &corev1.Secret{}
	switch err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: ref.Name}, secret); {
	case apierrors.IsNotFound(err):
		refuse("there is no Secret %q; create it", ref.Name)
		return nil
	case unreadable(err):
		refuse("Secret %q cannot be read: %.500s; let the manager get it", ref.Name, err.Error())
		return nil
	case err != nil:
		return fmt.Errorf("reading Secret %s: %w", ref.Name, err)
	}
	value, has := secret.Data[ref.Key]
	if !has {
		refuse("Secret %q has no entry %q; add it, or correct the reference", ref.Name, ref.Key)
		return nil
	}
	text, err := keyformat.Import(string(value))
	if err != nil {
		refuse("entry %q of Secret %q is refused: %v", ref.Key, ref.Name, err)
		return nil
	}
	digest := f.keys.Digests.Of(text)
	other, err := r.holderOf(ctx, key, digest)
	if err != nil {
		return err
	}
	if other != "" {
		refuse("entry %q of Secret %q is the key of %s already; each key has one ApiKey", ref.Key, ref.Name, other)
		return nil
	}
	over, allowed, err := r.endedEarlier(ctx, key, digest)
	if err != nil {
		return err
	}
	if over != "" && allowed == "" {
		refuse("entry %q of Secret %q holds a key that %s; it is not accepted again: import another, or leave importFrom out, and a "+
			"new key is minted", ref.Key, ref.Name, over)
		f.input.Import.Reason = v1alpha1.ReasonTextRevoked
		return nil
	}
	f.imported = text
	if pending != nil && pending.Digest == digest {
		r.pending.put(key.UID, pending.ID, text)
		f.input.Pending = pending.ID
	}
	return nil
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
