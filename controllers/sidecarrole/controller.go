// Package sidecarrole lets the sidecars of a Group's namespace validate for it, where the Namespace and the Group say so.
package sidecarrole

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
)

// Nobody can grant what they may not do. The manager's own right to validate means nothing else: only the manager asks for it.
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=keyward.dev,resources=groups,verbs=validate
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch

// conflictDelay is how often a name that is taken is looked at again.
const conflictDelay = time.Minute

// Reconciler keeps a Role and a RoleBinding for each Group that is to have them.
type Reconciler struct {
	Client   client.Client
	Live     client.Reader
	Recorder events.EventRecorder
}

// Name is the name of the Role, and of the RoleBinding, of a Group.
func Name(group string) string { return "keyward-sidecars-" + group }

// Reconcile creates, corrects or deletes the Role and the RoleBinding of one Group. Those of a Group that is gone are deleted by
// the garbage collector.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	group, err := cache.Group(ctx, r.Client, request.NamespacedName)
	if err != nil || group == nil || group.DeletionTimestamp != nil {
		return reconcile.Result{}, err
	}
	wanted, err := r.wanted(ctx, group)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !wanted {
		return reconcile.Result{}, r.remove(ctx, group)
	}
	free, err := r.ensure(ctx, group)
	if err != nil || free {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: conflictDelay}, nil
}

// wanted reports whether both who decides on the Namespace and who decides on the Group allow it. Without the first, the owner of a
// Group could give rights to Pods of others; without the second, whoever creates Pods in the namespace could have any Group in it.
func (r *Reconciler) wanted(ctx context.Context, group *v1alpha1.Group) (bool, error) {
	if group.Annotations[v1alpha1.AnnotationInjectionRoles] != v1alpha1.InjectionRolesAutomatic {
		return false, nil
	}
	namespace := cache.NamespaceMetadata()
	if err := r.Client.Get(ctx, types.NamespacedName{Name: group.Namespace}, namespace); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading namespace %s: %w", group.Namespace, err)
	}
	return namespace.Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionEnabled &&
		namespace.Annotations[v1alpha1.AnnotationInjectionRoles] == v1alpha1.InjectionRolesAutomatic, nil
}

// desired returns the Role and the RoleBinding. Its subjects are all ServiceAccounts of the Group's namespace: whoever creates Pods
// there chooses their ServiceAccount, so that it would make no difference to name those of the Pods with sidecars, for which
// the manager would have to read all Pods of the cluster.
func desired(group *v1alpha1.Group) (*rbacv1.Role, *rbacv1.RoleBinding) {
	meta := metav1.ObjectMeta{
		Namespace: group.Namespace, Name: Name(group.Name),
		Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(group, v1alpha1.GroupVersion.WithKind("Group")),
		},
	}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"groups"},
		ResourceNames: []string{group.Name}, Verbs: []string{v1alpha1.VerbValidate},
	}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: *meta.DeepCopy(),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:serviceaccounts:" + group.Namespace,
		}},
	}
	return role, binding
}

// ensure reports whether the Role and the RoleBinding are there, or false if another object has their name.
func (r *Reconciler) ensure(ctx context.Context, group *v1alpha1.Group) (bool, error) {
	role, binding := desired(group)
	currentRole, currentBinding := &rbacv1.Role{}, &rbacv1.RoleBinding{}
	free, err := r.ensureOne(ctx, group, role, currentRole, func() bool {
		changed := !equality.Semantic.DeepEqual(currentRole.Rules, role.Rules)
		currentRole.Rules = role.Rules
		return changed
	})
	if err != nil || !free {
		return free, err
	}
	return r.ensureOne(ctx, group, binding, currentBinding, func() bool {
		changed := !equality.Semantic.DeepEqual(currentBinding.Subjects, binding.Subjects) || currentBinding.RoleRef != binding.RoleRef
		currentBinding.Subjects = binding.Subjects
		return changed
	})
}

// ensureOne creates the object, or has it updated if correct reports that the current one differs.
func (r *Reconciler) ensureOne(ctx context.Context, group *v1alpha1.Group, object, current client.Object, correct func() bool) (bool, error) {
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(object), current)
	if apierrors.IsNotFound(err) { // or it has no label of Keyward, and is not in the cache
		if err = r.Client.Create(ctx, object); apierrors.IsAlreadyExists(err) {
			err = r.Live.Get(ctx, client.ObjectKeyFromObject(object), current)
		} else if err == nil {
			return true, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("ensuring %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	if !metav1.IsControlledBy(current, group) {
		r.Recorder.Eventf(group, nil, corev1.EventTypeWarning, v1alpha1.ReasonRoleConflict, "Grant",
			"%T %s exists and is not Keyward's: sidecars may not validate for the Group; delete it, or remove the annotation %s",
			object, object.GetName(), v1alpha1.AnnotationInjectionRoles)
		return false, nil
	}
	if !correct() {
		return true, nil
	}
	if binding, is := current.(*rbacv1.RoleBinding); is && binding.RoleRef != object.(*rbacv1.RoleBinding).RoleRef {
		err = r.Client.Delete(ctx, current) // its RoleRef cannot change; the deletion reconciles again
	} else {
		err = r.Client.Update(ctx, current)
	}
	if err != nil {
		return false, fmt.Errorf("correcting %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	return true, nil
}

// remove deletes the Role and the RoleBinding if they are the Group's.
func (r *Reconciler) remove(ctx context.Context, group *v1alpha1.Group) error {
	key := client.ObjectKey{Namespace: group.Namespace, Name: Name(group.Name)}
	for _, object := range []client.Object{&rbacv1.RoleBinding{}, &rbacv1.Role{}} { // the right goes first
		err := r.Client.Get(ctx, key, object)
		if err == nil && controllerutil.HasControllerReference(object) && metav1.IsControlledBy(object, group) {
			err = r.Client.Delete(ctx, object)
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %T %s: %w", object, key, err)
		}
	}
	return nil
}
