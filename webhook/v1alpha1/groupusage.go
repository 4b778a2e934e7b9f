package v1alpha1

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
)

// groupUsages guards what a quota is counted in: whoever could delete it, or have it deleted, would lose the days and months before,
// and might have the quota begin at 0. Its status is not written through here, but as groupusages/status, which only the manager may.
type groupUsages struct {
	reader client.Reader
	groups *groups
}

// ValidateCreate accepts everything: without a status, there is nothing in it.
func (w *groupUsages) ValidateCreate(context.Context, *v1alpha1.GroupUsage) (admission.Warnings, error) {
	return nil, nil
}

// ValidateUpdate refuses owners other than the Group, with which the garbage collector would delete it. The manager sets the Group.
func (w *groupUsages) ValidateUpdate(ctx context.Context, old, usage *v1alpha1.GroupUsage) (admission.Warnings, error) {
	set, err := ownersSet(ctx, old, usage)
	if err != nil || !set {
		return nil, err
	}
	group, err := cache.Group(ctx, w.reader, client.ObjectKeyFromObject(usage))
	if err != nil {
		return nil, err
	}
	if owners := usage.OwnerReferences; group != nil && len(owners) == 1 && owners[0].UID == group.UID && owners[0].Name == group.Name {
		return nil, nil
	}
	return nil, w.guard(ctx, usage, "with another owner, it would be deleted")
}

// ValidateDelete refuses to delete it while its Group exists.
func (w *groupUsages) ValidateDelete(ctx context.Context, usage *v1alpha1.GroupUsage) (admission.Warnings, error) {
	group, err := cache.Group(ctx, w.reader, client.ObjectKeyFromObject(usage))
	if err != nil || group == nil {
		return nil, err
	}
	if err := w.guard(ctx, usage, "the deletion would remove what was used"); err != nil {
		return nil, err
	}
	return admission.Warnings{"the days and months before are lost; the manager makes it again, with the quota of the running period as far as it knows"}, nil
}

// guard refuses the request of a user who may not manage the Group.
func (w *groupUsages) guard(ctx context.Context, usage *v1alpha1.GroupUsage, what string) error {
	user, err := w.groups.mayNot(ctx, authorizationv1.ResourceAttributes{
		Resource: "groups", Verb: v1alpha1.VerbManage, Namespace: usage.Namespace, Name: usage.Name,
	})
	if err != nil || user == "" {
		return err
	}
	return forbid(ctx, "GroupUsage", usage.Name, v1alpha1.ReasonManageRequired, fmt.Errorf("%s: %s", what, manageHint(user)))
}
