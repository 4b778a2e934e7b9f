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
	if !checked.over { // an Expired key does not count
		problem, err := w.checkLimit(ctx, checked.group)
		if err != nil {
			return nil, err
		}
		if problem != nil {
			checked.problems = append(checked.problems, problem)
		}
	}
	if err := checked.addQuota(w.checkQuota(ctx, &v1alpha1.ApiKey{}, key, checked.group)); err != nil {
		return nil, err
	}
	if problem := grant.RequestProblem(key); problem != nil { // its first version handles any other
		checked.problems = append(checked.problems, problem)
	}
	if warnings, err := w.decide(ctx, &v1alpha1.ApiKey{}, key, checked); err != nil {
		return warnings, err
	}
	secret := types.NamespacedName{Namespace: key.Namespace, Name: lifecycle.SecretName(key)}
	warnings := checked.allWarnings()
	others, err := cache.CachedKeysWithSecret(ctx, w.reader, secret)
	if err != nil {
		return warnings, fmt.Errorf("looking for keys with the same Secret: %w", err)
	}
	if len(others) > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.secret.name: Secret %q is that of ApiKey %q%s; "+
			"this key is not delivered until it is free", secret.Name, others[0].Name, andOthers(len(others)-1)))
	}
	return warnings, nil
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
	if key.DeletionTimestamp != nil {
		return nil, nil
	}
	checked, request := &checkedKey{}, requestProblems(old, key)
	if !equality.Semantic.DeepEqual(old.Spec, key.Spec) && !endsKey(old, key) {
		var err error
		if checked, err = w.check(ctx, key); err != nil {
			return nil, err
		}
		if err := checked.addQuota(w.checkQuota(ctx, old, key, checked.group)); err != nil {
			return nil, err
		}
		if problem := moved(old.Spec.GroupRef, key.Spec.GroupRef, key.Namespace); problem != nil {
			checked.problems = append(checked.problems, problem)
		}
		if old.Spec.ImportFrom == nil && key.Spec.ImportFrom != nil && len(key.Status.Versions) > 0 {
			checked.warnings = append(checked.warnings, "spec.importFrom: the key has a version already, so that nothing is imported; "+
				"remove it, or create a new ApiKey to import one")
		}
	}
	checked.problems = append(checked.problems, request...)
	checked.checkClaim(old, key)
	return w.decide(ctx, old, key, checked)
}

// requestProblems returns what is wrong with a rotation that the change requests. One that was requested before stays as it is.
func requestProblems(old, key *v1alpha1.ApiKey) grant.Problems {
	const request = v1alpha1.AnnotationRotateRequestedAt
	if old.Annotations[request] == key.Annotations[request] {
		return nil
	}
	problem := grant.RequestProblem(key)
	if problem == nil {
		problem = grant.RequestedOverlapProblem(key)
	}
	if problem == nil {
		return nil
	}
	return grant.Problems{problem}
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

// ValidateDelete refuses to delete a key that is annotated to prevent that.
func (w *apiKeys) ValidateDelete(ctx context.Context, key *v1alpha1.ApiKey) (admission.Warnings, error) {
	return nil, guardObject(ctx, "ApiKey", key)
}

// checkedKey is the result of checking a key.
type checkedKey struct {
	// problems include those that a change of another object would end: admission only warns of these.
	problems grant.Problems
	warnings admission.Warnings
	// group is the Group where it exists and admits the key's namespace, or nil.
	group *v1alpha1.Group
	// over is that the key has ended before it had a version.
	over bool
}

// allWarnings returns what the author of a key that is not refused is warned of.
func (c *checkedKey) allWarnings() admission.Warnings {
	_, elsewhere := c.problems.Split()
	return append(elsewhere.Warnings(), c.warnings...)
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
	if _, problem := lifecycle.ImportDigest(key); problem != nil {
		checked.problems = append(checked.problems, problem)
	}
	group, granted, problems, err := cache.CachedGroupForKeyWithProblems(ctx, w.reader, key)
	if err != nil {
		return nil, err
	}
	if problems.Admitted() {
		checked.group = group
	}
	checked.problems = append(checked.problems, grant.RotationProblems(key, checked.group)...)
	checked.problems = append(checked.problems, problems...)
	if len(problems) > 0 && len(key.Status.Versions) > 0 {
		until := "until that is so, validation servers refuse the key"
		if lifecycle.Refusal(key, granted) == nil {
			until = "until that is so, the key goes on with what is granted"
		}
		checked.warnings = append(checked.warnings, until)
	}
	if signs := key.Spec.SignedURLs; signs != nil && *signs && key.Spec.ImportFrom != nil {
		checked.warnings = append(checked.warnings, "spec.signedURLs: an imported key signs no URLs unless it has Keyward's own form; "+
			"the versions that replace it do")
	}
	now := w.clock.Now()
	if at := key.Spec.ExpiresAt; at != nil && len(key.Status.Versions) == 0 && !at.After(now) {
		checked.over = true
		checked.warnings = append(checked.warnings, fmt.Sprintf("spec.expiresAt: %s is over, so that the key is Expired from the start, and "+
			"no key is minted; give a later instant in a new ApiKey", at.UTC().Format(time.RFC3339)))
		return checked, nil
	}
	if checked.group != nil {
		checked.checkExpiry(key, now)
	}
	return checked, nil
}

// checkExpiry adds what the Group does not allow about the key's expiry, and what an edit of it ends.
func (c *checkedKey) checkExpiry(key *v1alpha1.ApiKey, now time.Time) {
	expiresAt, problem := grant.Expiry(key, c.group, minting(key, now))
	switch {
	case problem == nil && len(c.problems) == 0:
		c.warnings = append(c.warnings, finality(key, expiresAt, now)...)
	case problem == nil:
	case problem.Elsewhere && len(key.Status.Versions) > 0:
		c.warnings = append(c.warnings, problem.Error()+"; the version that exists keeps its expiry, and the next ones live as long as "+
			"is allowed")
	default:
		c.problems = append(c.problems, problem)
	}
}

// decide refuses a key that has problems of its own, or whose author lacks a right that it requires.
func (w *apiKeys) decide(ctx context.Context, old, key *v1alpha1.ApiKey, checked *checkedKey) (admission.Warnings, error) {
	guard, err := guardProblems(ctx, old, key)
	if err != nil {
		return nil, err
	}
	own, _ := append(checked.problems, guard...).Split()
	if err := refuse(ctx, "ApiKey", key.Name, own); err != nil {
		return checked.allWarnings(), err
	}
	return checked.allWarnings(), w.checkRights(ctx, old, key)
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
