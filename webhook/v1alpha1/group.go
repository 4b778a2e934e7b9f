package v1alpha1

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/tier"
)

type groups struct {
	reader client.Reader
	clock  clock.PassiveClock
	tiers  *tier.Catalogue
	access *access
}

// ValidateCreate checks what the schema could not check, and who sets it. It only warns of a tier that is unknown: the
// catalogue may be about to have it.
func (w *groups) ValidateCreate(ctx context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	forbidden, err := w.guard(ctx, &v1alpha1.Group{}, group)
	if err != nil {
		return nil, err
	}
	taken, err := w.takenDefaultKey(ctx, &v1alpha1.Group{}, group)
	if err != nil {
		return nil, err
	}
	public, err := w.publicWarnings(ctx, &v1alpha1.Group{}, group)
	if err != nil {
		return nil, err
	}
	return slices.Concat(w.warnings(group), taken, public), refuse(ctx, "Group", group.Name, append(grant.GroupProblems(group), forbidden...))
}

// takenDefaultKey warns of an ApiKey that has the name of the default key, and is not the Group's: it is left as it is.
func (w *groups) takenDefaultKey(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	enabled := group.Spec.DefaultKey.Enabled
	if enabled == nil || !*enabled || equality.Semantic.DeepEqual(old.Spec.DefaultKey, group.Spec.DefaultKey) {
		return nil, nil
	}
	key := &v1alpha1.ApiKey{}
	err := w.reader.Get(ctx, client.ObjectKey{Namespace: group.Namespace, Name: grant.DefaultKeyName(group)}, key)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the default key: %w", err)
	case metav1.IsControlledBy(key, group):
		return nil, nil
	case cache.GroupName(key.Spec.GroupRef, key.Namespace) == client.ObjectKeyFromObject(group):
		return admission.Warnings{fmt.Sprintf("spec.defaultKey.name: ApiKey %s exists already, and is its default key, as it is", key.Name)}, nil
	}
	return admission.Warnings{fmt.Sprintf("spec.defaultKey.name: ApiKey %s exists already, and stays as it is: no default key is created; "+
		"write another name if the Group is to have one", key.Name)}, nil
}

// warnings are about what a Group may declare, and probably should not.
func (w *groups) warnings(group *v1alpha1.Group) admission.Warnings {
	var warnings admission.Warnings
	if warning := w.tiers.Warning(group); warning != "" {
		warnings = append(warnings, warning)
	}
	for _, allowlist := range []bool{false, true} {
		from, path := grant.Admits(grant.Subject{Allowlist: allowlist}, group)
		if s := from.Selector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			warnings = append(warnings, path+".selector: it is empty, so it admits every namespace; "+
				"name labels, or write from: All if that is intended")
		}
	}
	return warnings
}

// ValidateUpdate checks a changed Group and who changes what. It warns about the Group's tier, and about keys that are no
// longer accepted with the change: of a project or capability that is gone, or of a namespace that is no longer admitted; and
// about those whose lifetime is no longer allowed.
// The fields of the platform stay protected while the Group is being deleted, which can take long with a finalizer.
func (w *groups) ValidateUpdate(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	forbidden, err := w.guard(ctx, old, group)
	if err != nil {
		return nil, err
	}
	if group.DeletionTimestamp != nil || equality.Semantic.DeepEqual(old.Spec, group.Spec) {
		return nil, refuse(ctx, "Group", group.Name, forbidden)
	}
	if err := refuse(ctx, "Group", group.Name, append(grant.GroupProblems(group), forbidden...)); err != nil {
		return nil, err
	}
	taken, err := w.takenDefaultKey(ctx, old, group)
	if err != nil {
		return nil, err
	}
	public, err := w.publicWarnings(ctx, old, group)
	if err != nil {
		return nil, err
	}
	affected, err := w.affected(ctx, old, group)
	warnings := slices.Concat(w.warnings(group), taken, public, affected)
	if warning := w.tiers.PeriodWarning(old, group, w.clock.Now()); warning != "" {
		warnings = append(warnings, warning)
	}
	return warnings, err
}

// ValidateDelete refuses to delete what the platform has set, and warns about the keys that stop working with the Group.
func (w *groups) ValidateDelete(ctx context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	if err := w.guardDeletion(ctx, group); err != nil {
		return nil, err
	}
	if err := guardObject(ctx, "Group", group); err != nil {
		return nil, err
	}
	keys, err := cache.CachedKeys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range keys {
		if lifecycle.Counts(&keys[i]) {
			n++
		}
	}
	if n == 0 {
		return nil, nil
	}
	return admission.Warnings{fmt.Sprintf("%d ApiKeys of the Group are no longer accepted", n)}, nil
}
