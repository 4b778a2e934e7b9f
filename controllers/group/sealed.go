package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

// The Secrets of a sealed context, and the keys that seal them, are looked at between secretsInterval and a quarter more of it after the
// last time, which spreads the Groups of a new leader. They are not watched: the manager's cache has only Secrets that it has written.
const (
	secretsInterval = 48 * time.Second
	secretsJitter   = 0.25

	// secretsPatience is how long reading all of them may take. Other Groups wait meanwhile, and so does the rest of this one.
	secretsPatience = 2 * time.Second
)

// checkSecrets is when to look at the Secrets again; 0 is never.
func checkSecrets(group *v1alpha1.Group) time.Duration {
	if len(group.Spec.SealedContext) == 0 {
		return 0
	}
	return wait.Jitter(secretsInterval, secretsJitter)
}

// looks remembers when the Secrets of Groups were looked at: a Group is reconciled for many other reasons.
type looks struct {
	mu sync.Mutex
	at map[types.NamespacedName]look
}

type look struct {
	generation int64
	time       time.Time
}

// begin reports whether it is time to look at the Secrets of the Group, and remembers that it was done.
func (l *looks) begin(group *v1alpha1.Group, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := client.ObjectKeyFromObject(group)
	if last, done := l.at[name]; done && last.generation == group.Generation && now.Sub(last.time) < secretsInterval {
		return false
	}
	if l.at == nil {
		l.at = map[types.NamespacedName]look{}
	}
	l.at[name] = look{generation: group.Generation, time: now}
	return true
}

func (l *looks) forget(group types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.at, group)
}

// sooner returns the shorter of two times, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// sealContext brings the sealed context in the status up to date. No part of a value is in an error or in a condition, and the values
// are not kept: a value that has not changed is sealed to the same text. While a Secret cannot be read, what was sealed of it stays.
func (r *Reconciler) sealContext(ctx context.Context, group *v1alpha1.Group) {
	if len(group.Spec.SealedContext) == 0 {
		group.Status.SealedContext = nil
		meta.RemoveStatusCondition(&group.Status.Conditions, v1alpha1.ConditionContextSealed)
		r.looks.forget(client.ObjectKeyFromObject(group))
		return
	}
	if !r.looks.begin(group, r.Clock.Now()) {
		return
	}
	set := r.conditions(group)
	ring, err := r.ring()
	if err != nil {
		// A mistake in the keys must not take what was sealed with others from content servers.
		set.Set(v1alpha1.ConditionContextSealed, false, v1alpha1.ReasonNoSealingKey, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, secretsPatience)
	defer cancel()
	var sealed []v1alpha1.SealedValue
	var problems []string
	secrets := map[string]secretRead{}
	for i := range group.Spec.SealedContext {
		declared := &group.Spec.SealedContext[i]
		text, err := r.sealValue(ctx, ring, group, declared, secrets)
		var unusable *unusableError
		switch {
		case err == nil:
			sealed = append(sealed, v1alpha1.SealedValue{Name: declared.Name, Sealed: text})
			continue
		case !errors.As(err, &unusable):
			ctrl.LoggerFrom(ctx).Error(err, "A Secret of a sealed context cannot be read")
			unusable = &unusableError{fmt.Sprintf("Secret %q cannot be read now; what was sealed of it stays", declared.SecretKeyRef.Name)}
			sealed = append(sealed, earlier(group, declared.Name)...)
		}
		problems = append(problems, fmt.Sprintf("spec.sealedContext[%s].secretKeyRef: %s", declared.Name, unusable.message))
	}
	group.Status.SealedContext = sealed
	if len(problems) > 0 {
		set.Set(v1alpha1.ConditionContextSealed, false, v1alpha1.ReasonSecretUnusable, strings.Join(problems, "; "))
		return
	}
	set.Set(v1alpha1.ConditionContextSealed, true, v1alpha1.ReasonSealed, "every value of spec.sealedContext is sealed for content servers")
}

// earlier returns what was sealed as the name the last time, if there was anything.
func earlier(group *v1alpha1.Group, name v1alpha1.ContextName) []v1alpha1.SealedValue {
	i := slices.IndexFunc(group.Status.SealedContext, func(v v1alpha1.SealedValue) bool { return v.Name == name })
	if i < 0 {
		return nil
	}
	return group.Status.SealedContext[i : i+1 : i+1]
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

// secretRead is a Secret, or why it could not be read.
type secretRead struct {
	secret corev1.Secret
	err    error
}

// sealValue seals the entry of a Secret. It reads each Secret once.
func (r *Reconciler) sealValue(ctx context.Context, ring *sealedcontext.Ring, group *v1alpha1.Group, declared *v1alpha1.SealedContext,
	secrets map[string]secretRead,
) (string, error) {
	ref := declared.SecretKeyRef
	read, done := secrets[ref.Name]
	if !done {
		read.err = r.APIReader.Get(ctx, client.ObjectKey{Namespace: group.Namespace, Name: ref.Name}, &read.secret)
		secrets[ref.Name] = read
	}
	switch {
	case apierrors.IsNotFound(read.err):
		return "", unusable("there is no Secret %q in namespace %q; create it, or correct the reference", ref.Name, group.Namespace)
	case read.err != nil:
		return "", fmt.Errorf("reading Secret %s/%s: %w", group.Namespace, ref.Name, read.err)
	}
	value, has := read.secret.Data[ref.Key]
	switch {
	case !has:
		return "", unusable("Secret %q has no entry %q; add it, or correct the reference", ref.Name, ref.Key)
	case len(value) == 0 || len(value) > sealedcontext.MaxValue:
		return "", unusable("entry %q of Secret %q has %d bytes; write 1 to %d", ref.Key, ref.Name, len(value), sealedcontext.MaxValue)
	}
	return ring.Seal(group.Namespace+"/"+group.Name, string(declared.Name), value)
}
