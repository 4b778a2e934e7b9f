package v1alpha1

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/secrettemplate"
	"github.com/keyward-dev/keyward/internal/tier"
)

type apiKeys struct {
	reader client.Reader
	clock  clock.PassiveClock
	tiers  *tier.Catalogue
	access *access
}

// ValidateCreate checks the key against its Group and what that may have, and warns of a Secret that is taken.
func (w *apiKeys) ValidateCreate(ctx context.Context, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	warnings, err := w.validate(ctx, key)
	if err != nil {
		return warnings, err
	}
	if err := w.checkRights(ctx, &v1alpha1.ApiKey{}, key); err != nil {
		return warnings, err
	}
	if err := w.checkLimit(ctx, key); err != nil {
		return warnings, err
	}
	others, err := cache.CachedKeysWithSecret(ctx, w.reader, types.NamespacedName{Namespace: key.Namespace, Name: lifecycle.SecretName(key)})
	if err != nil {
		return warnings, fmt.Errorf("looking for keys with the same Secret: %w", err)
	}
	if len(others) > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.secret.name: Secret %q is that of ApiKey %q%s; this key is not delivered until it is free",
			lifecycle.SecretName(key), others[0].Name, andOthers(len(others)-1)))
	}
	return warnings, nil
}

func andOthers(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d others", n)
}

// checkLimit refuses a key that its Group has no place for. The Group may have another tier,
// or fewer keys, by the time that it is created again.
func (w *apiKeys) checkLimit(ctx context.Context, key *v1alpha1.ApiKey) error {
	name := cache.GroupName(key.Spec.GroupRef, key.Namespace)
	group, problem, err := cache.CachedGroupForKey(ctx, w.reader, key)
	if err != nil || group == nil || problem != nil {
		return err
	}
	resolution := w.tiers.Resolve(group)
	limit := resolution.Keys()
	if limit == nil {
		return nil
	}
	keys, err := cache.CachedKeys(ctx, w.reader, name)
	if err != nil {
		return err
	}
	count := 0
	for i := range keys {
		if !lifecycle.Counts(&keys[i]) {
			continue
		}
		if keys[i].Namespace != group.Namespace { // or else whoever is not admitted could use up the places
			labels, err := cache.NamespaceLabels(ctx, w.reader, keys[i].Namespace)
			if err != nil {
				return err
			}
			if grant.Check(grant.ForKey(&keys[i], labels), group) != nil {
				continue
			}
		}
		count++
	}
	if count < int(*limit) {
		return nil
	}
	problem = grant.KeyLimitReached(group, *limit)
	return refuse("ApiKey", key.Name, problem)
}

// ValidateUpdate checks a changed key against its Group; what has not changed may have
// become wrong since, and then must not be in the way of a finalizer or a label.
func (w *apiKeys) ValidateUpdate(ctx context.Context, old, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	const stamp = v1alpha1.AnnotationCreatedBy
	if old.Annotations[stamp] != key.Annotations[stamp] {
		return nil, refuse("ApiKey", key.Name, &grant.Problem{
			Reason: v1alpha1.ReasonInvalidSpec, Field: "metadata.annotations[" + stamp + "]",
			Message: "it is set when the object is created and cannot change; remove it from the manifest",
		})
	}
	if key.DeletionTimestamp != nil || equality.Semantic.DeepEqual(old.Spec, key.Spec) || endsKey(old, key) {
		return nil, nil
	}
	warnings, err := w.validate(ctx, key)
	if err != nil {
		return warnings, err
	}
	return warnings, w.checkRights(ctx, old, key)
}

// finality warns of edits that end a key for good, and of those that come too late.
func finality(key *v1alpha1.ApiKey, expiresAt, now time.Time) admission.Warnings {
	switch {
	case key.Status.State == v1alpha1.KeyExpired:
		return admission.Warnings{"the key is expired for good, whatever spec says now; create a new ApiKey"}
	case len(key.Status.Versions) > 0 && !expiresAt.IsZero() && !expiresAt.After(now):
		return admission.Warnings{fmt.Sprintf("by this the key ended at %s, which is for good", expiresAt.UTC().Format(time.RFC3339))}
	}
	return nil
}

// endsKey is whether the change suspends or revokes the key: nothing may be in the way of that.
func endsKey(old, key *v1alpha1.ApiKey) bool {
	rest := key.Spec.DeepCopy()
	rest.Suspended, rest.Revoked = old.Spec.Suspended, old.Spec.Revoked
	return equality.Semantic.DeepEqual(old.Spec, *rest)
}

// ValidateDelete allows every deletion.
func (w *apiKeys) ValidateDelete(context.Context, *v1alpha1.ApiKey) (admission.Warnings, error) {
	return nil, nil
}

func (w *apiKeys) validate(ctx context.Context, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	if err := secrettemplate.Check(key.Spec.Secret.Template.Data); err != nil {
		return nil, refuse("ApiKey", key.Name, &grant.Problem{
			Reason: v1alpha1.ReasonSecretTemplateInvalid, Field: "spec.secret.template.data", Message: err.Error(),
		})
	}
	if _, problem := grant.RotationOf(key); problem != nil {
		return answer("ApiKey", key.Name, problem)
	}
	if from := key.Spec.ImportFrom; from != nil && from.SecretKeyRef.Name == lifecycle.SecretName(key) {
		return nil, refuse("ApiKey", key.Name, &grant.Problem{
			Reason: v1alpha1.ReasonImportRefused, Field: "spec.importFrom.secretKeyRef.name",
			Message: "this is the Secret that the key is delivered in; give spec.secret.name another name",
		})
	}
	group, problem, err := cache.CachedGroupForKey(ctx, w.reader, key)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		return answer("ApiKey", key.Name, problem)
	}
	if _, problem := grant.RotationUnder(key, group); problem != nil {
		return answer("ApiKey", key.Name, problem)
	}
	now := w.clock.Now()
	expiresAt, problem := grant.Expiry(key, group, minting(key, now))
	if problem != nil {
		return answer("ApiKey", key.Name, problem)
	}
	return finality(key, expiresAt, now), nil
}

// minting is when the version whose expiry is in question was or will be minted. An edited
// instant in the past is how a key is made to end now.
func minting(key *v1alpha1.ApiKey, now time.Time) time.Time {
	versions := key.Status.Versions
	if len(versions) == 0 {
		return now
	}
	minted := versions[len(versions)-1].MintedAt.Time
	if at := key.Spec.ExpiresAt; at != nil && !at.After(minted) {
		return at.Add(-time.Second)
	}
	return minted
}
