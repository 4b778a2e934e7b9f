package v1alpha1

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grant"
	"github.com/keyward-dev/keyward/controllers/lookup"
	"github.com/keyward-dev/keyward/controllers/tier"
)

type groups struct {
	reader client.Reader
	tiers  *tier.Catalogue
}

// ValidateCreate checks what the schema could not, and warns of a tier that nobody knows: the
// catalogue may be about to have it.
func (w *groups) ValidateCreate(_ context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	if problem := grant.Group(group); problem != nil {
		return answer("Group", group.Name, problem)
	}
	return w.tierWarnings(group), nil
}

func (w *groups) tierWarnings(group *v1alpha1.Group) admission.Warnings {
	if warning := w.tiers.Warning(group); warning != "" {
		return admission.Warnings{warning}
	}
	return nil
}

// ValidateUpdate checks a changed Group, and warns about its tier, and about keys that the change takes out of
// use: of a project or capability that is gone, or of a namespace no longer admitted.
func (w *groups) ValidateUpdate(ctx context.Context, old, group *v1alpha1.Group) (admission.Warnings, error) {
	if group.DeletionTimestamp != nil || equality.Semantic.DeepEqual(old.Spec, group.Spec) {
		return nil, nil
	}
	if problem := grant.Group(group); problem != nil {
		return answer("Group", group.Name, problem)
	}
	keys, err := lookup.Keys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil {
		return nil, err
	}
	stranded, example := 0, ""
	for i := range keys {
		labels, err := lookup.NamespaceLabels(ctx, w.reader, keys[i].Namespace)
		if err != nil {
			return nil, err
		}
		subject := grant.ForKey(&keys[i], labels)
		if problem := grant.Check(subject, group); problem != nil && grant.Check(subject, old) == nil {
			stranded++
			example = fmt.Sprintf("%s/%s: %s", keys[i].Namespace, keys[i].Name, problem.Message)
		}
	}
	warnings := w.tierWarnings(group)
	if stranded > 0 {
		warnings = append(warnings, fmt.Sprintf("%d ApiKeys are no longer accepted, for instance %s", stranded, example))
	}
	return warnings, nil
}

// ValidateDelete warns about the keys that stop with the Group.
func (w *groups) ValidateDelete(ctx context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	keys, err := lookup.Keys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return admission.Warnings{fmt.Sprintf("%d ApiKeys of the Group are no longer accepted", len(keys))}, nil
}
