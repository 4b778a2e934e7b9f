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
)

type groups struct {
	reader client.Reader
}

// ValidateCreate checks what the schema could not.
func (w *groups) ValidateCreate(_ context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	return answer("Group", group.Name, grant.Group(group))
}

// ValidateUpdate checks a changed Group, and warns about keys that the change takes out of
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
	if stranded == 0 {
		return nil, nil
	}
	return admission.Warnings{fmt.Sprintf("%d ApiKeys are no longer accepted, for instance %s", stranded, example)}, nil
}

// ValidateDelete warns about the keys that stop with the Group.
func (w *groups) ValidateDelete(ctx context.Context, group *v1alpha1.Group) (admission.Warnings, error) {
	keys, err := lookup.Keys(ctx, w.reader, client.ObjectKeyFromObject(group))
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return admission.Warnings{fmt.Sprintf("%d ApiKeys of the Group are no longer accepted", len(keys))}, nil
}
