package group

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/internal/grant"
)

// ensureDefaultKey creates the default ApiKey of the Group, if it does not exist. After that its owner may edit it. It is not
// deleted with the Group: a Group that is created again has all keys that it had. It reports whether the key is denied, which
// has to be tried again.
func (r *Reconciler) ensureDefaultKey(ctx context.Context, group *v1alpha1.Group) (denied bool, err error) {
	if enabled := group.Spec.DefaultKey.Enabled; enabled == nil || !*enabled || group.DeletionTimestamp != nil {
		return false, nil
	}
	key := &v1alpha1.ApiKey{}
	name := client.ObjectKey{Namespace: group.Namespace, Name: grant.DefaultKeyName(group)}
	switch err := r.Client.Get(ctx, name, key); {
	case err == nil:
		return false, r.disown(ctx, group, key)
	case !apierrors.IsNotFound(err):
		return false, fmt.Errorf("reading ApiKey %s: %w", name, err)
	case cache.Terminating(ctx, r.Client, group.Namespace):
		return false, nil
	}
	key = &v1alpha1.ApiKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec: v1alpha1.ApiKeySpec{
			GroupRef:    v1alpha1.GroupReference{Name: group.Name},
			Projects:    grant.Projects(group),
			Permissions: []v1alpha1.PermissionName{v1alpha1.PermissionRead},
			Description: fmt.Sprintf("The default key of Group %s", group.Name),
		},
	}
	switch err := r.Client.Create(ctx, key); {
	case apierrors.IsAlreadyExists(err), denial.IsTerminating(err):
		return false, nil // the cache does not have it yet
	case denial.Is(err):
		r.Recorder.Eventf(group, nil, "Warning", v1alpha1.ReasonDefaultKeyRefused, "Create",
			"the default key %.253s is not created: %v", name.Name, err)
		return true, nil
	case err != nil:
		return false, fmt.Errorf("creating the default key %s: %w", name, err)
	}
	r.Recorder.Eventf(group, key, "Normal", v1alpha1.ReasonCreated, "Create", "ApiKey %s is created with the Group", name.Name)
	return false, nil
}

// disown removes the Group as an owner of its default key, as earlier releases set it: garbage collection would delete the key
// with the Group, and so revoke it.
func (r *Reconciler) disown(ctx context.Context, group *v1alpha1.Group, key *v1alpha1.ApiKey) error {
	before := key.DeepCopy()
	key.OwnerReferences = slices.DeleteFunc(key.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.UID == group.UID && ptr.Deref(owner.Controller, false)
	})
	if len(key.OwnerReferences) == len(before.OwnerReferences) || key.DeletionTimestamp != nil {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, key, patch); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing the owner of the default key %s: %w", key.Name, err)
	}
	return nil
}
