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
	"github.com/keyward-dev/keyward/internal/tier"
)

type apiKeys struct {
	reader client.Reader
	clock  clock.PassiveClock
	tiers  *tier.Catalogue
	access *access
}

// ValidateCreate checks the key against its Group and the Group's limit of keys, and warns of a Secret that is taken.
func (w *apiKeys) ValidateCreate(ctx context.Context, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	checked, err := w.check(ctx, key)
	if err != nil {
		return nil, err
	}
	problem, err := w.checkLimit(ctx, checked.group)
	if err != nil {
		return checked.warnings, err
	}
	if problem != nil {
		checked.problems = append(checked.problems, problem)
	}
	if err := w.decide(ctx, &v1alpha1.ApiKey{}, key, checked); err != nil {
		return checked.warnings, err
	}
	secret := types.NamespacedName{Namespace: key.Namespace, Name: lifecycle.SecretName(key)}
	others, err := cache.CachedKeysWithSecret(ctx, w.reader, secret)
	if err != nil {
		return checked.warnings, fmt.Errorf("looking for keys with the same Secret: %w", err)
	}
	if len(others) > 0 {
		checked.warnings = append(checked.warnings, fmt.Sprintf("spec.secret.name: Secret %q is that of ApiKey %q%s; "+
			"this key is not delivered until it is free", secret.Name, others[0].Name, andOthers(len(others)-1)))
	}
	return checked.warnings, nil
}

func andOthers(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d others", n)
}

// checkLimit returns the problem of a key for which its Group has no slot. The Group may have another tier,
// or fewer keys, by the time that the key is created again. There is no group where it does not admit the key.
func (w *apiKeys) checkLimit(ctx context.Context, group *v1alpha1.Group) (*grant.Problem, error) {
	if group == nil {
		return nil, nil
	}
	resolution := w.tiers.Resolve(group)
	limit := resolution.Keys()
	if limit == nil {
		return nil, nil
	}
	keys, err := cache.CachedKeys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil {
		return nil, err
	}
	count := 0
	for i := range keys {
		if !lifecycle.Counts(&keys[i]) {
			continue
		}
		if keys[i].Namespace != group.Namespace { // or else users who are not admitted could use up the slots
			labels, err := cache.NamespaceLabels(ctx, w.reader, keys[i].Namespace)
			if err != nil {
				return nil, err
			}
			if grant.Check(grant.ForKey(&keys[i], labels), group) != nil {
				continue
			}
		}
		count++
	}
	if count < int(*limit) {
		return nil, nil
	}
	return grant.KeyLimitReached(group, *limit), nil
}

// ValidateUpdate checks a changed key against its Group. What has not changed may have
// become wrong since, and must not prevent a change of a finalizer or a label then.
func (w *apiKeys) ValidateUpdate(ctx context.Context, old, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	const stamp = v1alpha1.AnnotationCreatedBy
	changed := key.DeletionTimestamp == nil && !equality.Semantic.DeepEqual(old.Spec, key.Spec) && !endsKey(old, key)
	checked := &checkedKey{}
	if changed {
		var err error
		if checked, err = w.check(ctx, key); err != nil {
			return nil, err
		}
	}
	if old.Annotations[stamp] != key.Annotations[stamp] {
		checked.problems = append(grant.Problems{{
			Reason: v1alpha1.ReasonInvalidSpec, Field: "metadata.annotations[" + stamp + "]",
			Message: "it is set when the object is created and cannot change; remove it from the manifest",
		}}, checked.problems...)
	}
	if !changed {
		return nil, refuse("ApiKey", key.Name, checked.problems)
	}
	return checked.warnings, w.decide(ctx, old, key, checked)
}

// finality warns of edits that end a key irreversibly, and of those that come too late.
func finality(key *v1alpha1.ApiKey, expiresAt, now time.Time) admission.Warnings {
	switch {
	case key.Status.State == v1alpha1.KeyExpired:
		return admission.Warnings{"the key is expired for good, and no change of spec revives it; create a new ApiKey"}
	case len(key.Status.Versions) > 0 && !expiresAt.IsZero() && !expiresAt.After(now):
		return admission.Warnings{fmt.Sprintf("with this change the key expired at %s, which is for good",
			expiresAt.UTC().Format(time.RFC3339))}
	}
	return nil
}

// endsKey reports whether the change only suspends or revokes the key: nothing may prevent that.
func endsKey(old, key *v1alpha1.ApiKey) bool {
	rest := key.Spec.DeepCopy()
	rest.Suspended, rest.Revoked = old.Spec.Suspended, old.Spec.Revoked
	return equality.Semantic.DeepEqual(old.Spec, *rest)
}

// ValidateDelete allows every deletion.
func (w *apiKeys) ValidateDelete(context.Context, *v1alpha1.ApiKey) (admission.Warnings, error) {
	return nil, nil
}

// checkedKey is the result of checking a key.
type checkedKey struct {
	problems grant.Problems
	warnings admission.Warnings
	// group is the Group where it exists and admits the key's namespace, or nil.
	group *v1alpha1.Group
}

// check finds all problems of a key, with the functions that the controller uses.
func (w *apiKeys) check(ctx context.Context, key *v1alpha1.ApiKey) (*checkedKey, error) {
	checked := &checkedKey{problems: grant.TemplateProblems(key)}
	if from := key.Spec.ImportFrom; from != nil && from.SecretKeyRef.Name == lifecycle.SecretName(key) {
		checked.problems = append(checked.problems, &grant.Problem{
			Reason: v1alpha1.ReasonImportRefused, Field: "spec.importFrom.secretKeyRef.name", Value: from.SecretKeyRef.Name,
			Message: "this is the Secret that the key is delivered in; give spec.secret.name another name",
		})
	}
	group, granted, err := cache.CachedGroupForKeyWithProblems(ctx, w.reader, key)
	if err != nil {
		return nil, err
	}
	if granted.Admitted() {
		checked.group = group
	}
	problems, warnings := split(granted)
	checked.warnings = warnings
	checked.problems = append(checked.problems, grant.RotationProblems(key, checked.group)...)
	checked.problems = append(checked.problems, problems...)
	if checked.group == nil {
		return checked, nil
	}
	now := w.clock.Now()
	expiresAt, problem := grant.Expiry(key, group, minting(key, now))
	if problem != nil {
		checked.problems = append(checked.problems, problem)
	} else if len(checked.problems) == 0 {
		checked.warnings = append(checked.warnings, finality(key, expiresAt, now)...)
	}
	return checked, nil
}

// decide refuses a key that has problems, or whose author lacks a right that it requires.
func (w *apiKeys) decide(ctx context.Context, old, key *v1alpha1.ApiKey, checked *checkedKey) error {
	if err := refuse("ApiKey", key.Name, checked.problems); err != nil {
		return err
	}
	return w.checkRights(ctx, old, key)
}

// minting returns when the version whose expiry is checked was or will be minted. To edit the
// instant to one in the past is how a key is made to expire now.
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
