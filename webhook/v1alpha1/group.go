package v1alpha1

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/tier"
)

type groups struct {
	reader client.Reader
	tiers  *tier.Catalogue
	access *access
}

// ValidateCreate checks what the schema could not, and who sets it, and warns of a tier that nobody knows: the
// catalogue may be about to have it.
func (w *groups) ValidateCreate(ctx context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	forbidden, err := w.guard(ctx, &v1alpha1.Group{}, group)
	if err != nil {
		return nil, err
	}
	return w.warnings(group), refuseGroup(group, forbidden, grant.Group(group))
}

// refuseGroup returns all that is wrong with a Group as one error, or nil.
func refuseGroup(group *v1alpha1.Group, forbidden field.ErrorList, problem *grant.Problem) error {
	reason := v1alpha1.ReasonManageRequired
	if problem != nil {
		forbidden = append(forbidden, fieldError(problem))
		reason = problem.Reason
	}
	if len(forbidden) == 0 {
		return nil
	}
	return refuseFields("Group", group.Name, reason, forbidden)
}

// warnings are about what a Group may well say, and probably should not.
func (w *groups) warnings(group *v1alpha1.Group) admission.Warnings {
	var warnings admission.Warnings
	if warning := w.tiers.Warning(group); warning != "" {
		warnings = append(warnings, warning)
	}
	for name, from := range map[string]*v1alpha1.AllowedNamespaces{
		"allowedNamespaces": &group.Spec.AllowedNamespaces, "allowlistsFrom": &group.Spec.AllowlistsFrom,
	} {
		if s := from.Selector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			warnings = append(warnings, fmt.Sprintf(
				"spec.%s.selector: it is empty, and so admits every namespace; name labels, or write from: All if that is what is meant", name))
		}
	}
	return warnings
}

// ValidateUpdate checks a changed Group and who changes what, and warns about its tier, and about keys that the change
// takes out of use: of a project or capability that is gone, or of a namespace no longer admitted. What is of the
// platform stays so while the Group is being deleted, which a finalizer can make last.
func (w *groups) ValidateUpdate(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	forbidden, err := w.guard(ctx, old, group)
	if err != nil {
		return nil, err
	}
	if group.DeletionTimestamp != nil || equality.Semantic.DeepEqual(old.Spec, group.Spec) {
		return nil, refuseGroup(group, forbidden, nil)
	}
	if err := refuseGroup(group, forbidden, grant.Group(group)); err != nil {
		return nil, err
	}
	stranded, err := w.stranded(ctx, old, group)
	return append(w.warnings(group), stranded...), err
}

// stranded warns of keys that a change of the Group takes out of use. An example is named where it is in the Group's own
// namespace: those of others are not for its owner to see.
func (w *groups) stranded(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	keys, err := cache.CachedKeys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil {
		return nil, err
	}
	stranded, example := 0, ""
	for i := range keys {
		labels, err := cache.NamespaceLabels(ctx, w.reader, keys[i].Namespace)
		if err != nil {
			return nil, err
		}
		subject := grant.ForKey(&keys[i], labels)
		if problem := grant.Check(subject, group); problem != nil && grant.Check(subject, old) == nil {
			stranded++
			if keys[i].Namespace == group.Namespace {
				example = fmt.Sprintf(", for instance %s/%s: %s", keys[i].Namespace, keys[i].Name, problem.Message)
			}
		}
	}
	if stranded == 0 {
		return nil, nil
	}
	return admission.Warnings{fmt.Sprintf("%d ApiKeys are no longer accepted%s", stranded, example)}, nil
}

// ValidateDelete refuses to delete what is the platform's, and warns about the keys that stop with the Group.
func (w *groups) ValidateDelete(ctx context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	if err := w.guardDeletion(ctx, group); err != nil {
		return nil, err
	}
	keys, err := cache.CachedKeys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return admission.Warnings{fmt.Sprintf("%d ApiKeys of the Group are no longer accepted", len(keys))}, nil
}
