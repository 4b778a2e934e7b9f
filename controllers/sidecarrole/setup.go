package sidecarrole

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/denial"
)

// Setup registers the reconciler with the manager. Of a Group only its annotations matter, and of a Namespace its metadata.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	changed := builder.WithPredicates(predicate.Or(predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	return ctrl.NewControllerManagedBy(mgr).
		Named("sidecarrole").
		For(&v1alpha1.Group{}, builder.WithPredicates(predicate.AnnotationChangedPredicate{})).
		Owns(&rbacv1.Role{}).
		Owns(&rbacv1.RoleBinding{}).
		WatchesMetadata(cache.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(r.groupsIn), changed).
		WithOptions(controller.Options{RateLimiter: denial.RateLimiter()}).
		Complete(denial.Wrap(r))
}

// groupsIn returns the Groups of a namespace that have the annotation.
func (r *Reconciler) groupsIn(ctx context.Context, namespace client.Object) (requests []reconcile.Request) {
	groups, err := cache.CachedGroups(ctx, r.Client)
	if err != nil {
		return nil // it comes from memory
	}
	for i := range groups {
		if groups[i].Namespace == namespace.GetName() && groups[i].Annotations[v1alpha1.AnnotationInjectionRoles] != "" {
			requests = append(requests, reconcile.Request{
				NamespacedName: types.NamespacedName{Namespace: groups[i].Namespace, Name: groups[i].Name},
			})
		}
	}
	return requests
}
