package group

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// ensureDefaultKey creates the default ApiKey of the Group, if it does not exist. After that its owner may edit it.
func (r *Reconciler) ensureDefaultKey(ctx context.Context, group *v1alpha1.Group) error {
	if enabled := group.Spec.DefaultKey.Enabled; enabled == nil || !*enabled || group.DeletionTimestamp != nil {
		return nil
	}
	name := client.ObjectKey{Namespace: group.Namespace, Name: grant.DefaultKeyName(group)}
	switch err := r.Client.Get(ctx, name, &v1alpha1.ApiKey{}); {
	case err == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("reading ApiKey %s: %w", name, err)
	}
	key := &v1alpha1.ApiKey{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace, Name: name.Name,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(group, v1alpha1.GroupVersion.WithKind("Group"))},
		},
		Spec: v1alpha1.ApiKeySpec{
			GroupRef:    v1alpha1.GroupReference{Name: group.Name},
			Projects:    grant.Projects(group),
			Permissions: []v1alpha1.PermissionName{v1alpha1.PermissionRead},
			Description: fmt.Sprintf("The default key of Group %s", group.Name),
		},
	}
	switch err := r.Client.Create(ctx, key); {
	case apierrors.IsAlreadyExists(err):
		return nil // the cache does not have it yet
	case apierrors.IsInvalid(err):
		r.Recorder.Eventf(group, nil, "Warning", v1alpha1.ReasonInvalidSpec, "Create", "the default key %.253s is not created: %v",
			name.Name, err)
		return nil
	case err != nil:
		return fmt.Errorf("creating the default key %s: %w", name, err)
	}
	r.Recorder.Eventf(group, key, "Normal", v1alpha1.ReasonCreated, "Create", "ApiKey %s is created with the Group", name.Name)
	return nil
}
