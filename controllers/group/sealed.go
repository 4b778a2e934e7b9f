package group

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

// secretsInterval is how often the Secrets of a sealed context, and the keys that seal them, are looked at. They are not watched:
// the manager's cache has only Secrets that it has written.
const secretsInterval = time.Minute

// checkSecrets is when to look at the Secrets again; 0 is never.
func checkSecrets(group *v1alpha1.Group) time.Duration {
	if len(group.Spec.SealedContext) == 0 {
		return 0
	}
	return secretsInterval
}

// sooner returns the shorter of two times, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// sealContext brings the sealed context in the status up to date. No part of a value is in an error or in a condition, and the values
// are not kept: a value that has not changed is sealed to the same text.
func (r *Reconciler) sealContext(ctx context.Context, group *v1alpha1.Group) error {
	if len(group.Spec.SealedContext) == 0 {
		group.Status.SealedContext = nil
		meta.RemoveStatusCondition(&group.Status.Conditions, v1alpha1.ConditionContextSealed)
		return nil
	}
	set := r.conditions(group)
	ring, err := r.ring()
	if err != nil {
		// A mistake in the keys must not take what was sealed with others from content servers.
		set.Set(v1alpha1.ConditionContextSealed, false, v1alpha1.ReasonNoSealingKey, err.Error())
		return nil
	}
	var sealed []v1alpha1.SealedValue
	var problems []string
	secrets := map[string]*corev1.Secret{}
	for i := range group.Spec.SealedContext {
		declared := &group.Spec.SealedContext[i]
		text, err := r.sealValue(ctx, ring, group, declared, secrets)
		var unusable *unusableError
		switch {
		case errors.As(err, &unusable):
			problems = append(problems, fmt.Sprintf("spec.sealedContext[%s].secretKeyRef: %s", declared.Name, unusable.message))
		case err != nil:
			return err
		default:
			sealed = append(sealed, v1alpha1.SealedValue{Name: declared.Name, Sealed: text})
		}
	}
	group.Status.SealedContext = sealed
	if len(problems) > 0 {
		set.Set(v1alpha1.ConditionContextSealed, false, v1alpha1.ReasonSecretUnusable, strings.Join(problems, "; "))
		return nil
	}
	set.Set(v1alpha1.ConditionContextSealed, true, v1alpha1.ReasonSealed, "every value of spec.sealedContext is sealed for content servers")
	return nil
}

func (r *Reconciler) ring() (*sealedcontext.Ring, error) {
	if r.Ring == nil {
		return nil, errors.New("the manager has no keys that seal: run it with --sealed-context-keys")
	}
	ring, err := r.Ring()
	if err == nil && ring.Primary() == "" {
		err = errors.New("the keys of sealed contexts do not say which one seals: add an entry named primary with its id")
	}
	return ring, err
}

// unusableError says why an entry of a Secret cannot be sealed.
type unusableError struct{ message string }

func (e *unusableError) Error() string { return e.message }

func unusable(format string, args ...any) error { return &unusableError{fmt.Sprintf(format, args...)} }

// sealValue seals the entry of a Secret. It reads each Secret once.
func (r *Reconciler) sealValue(ctx context.Context, ring *sealedcontext.Ring, group *v1alpha1.Group, declared *v1alpha1.SealedContext,
	secrets map[string]*corev1.Secret,
) (string, error) {
	ref := declared.SecretKeyRef
	secret, read := secrets[ref.Name]
	if !read {
		secret = &corev1.Secret{}
		switch err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: group.Namespace, Name: ref.Name}, secret); {
		case apierrors.IsNotFound(err):
			secret = nil
		case err != nil:
			return "", fmt.Errorf("reading Secret %s/%s: %w", group.Namespace, ref.Name, err)
		}
		secrets[ref.Name] = secret
	}
	if secret == nil {
		return "", unusable("there is no Secret %q in namespace %q; create it, or correct the reference", ref.Name, group.Namespace)
	}
	value, has := secret.Data[ref.Key]
	switch {
	case !has:
		return "", unusable("Secret %q has no entry %q; add it, or correct the reference", ref.Name, ref.Key)
	case len(value) == 0 || len(value) > sealedcontext.MaxValue:
		return "", unusable("entry %q of Secret %q has %d bytes; write 1 to %d", ref.Key, ref.Name, len(value), sealedcontext.MaxValue)
	}
	return ring.Seal(group.Namespace+"/"+group.Name, string(declared.Name), value)
}
