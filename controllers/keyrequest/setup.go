package keyrequest

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/denial"
)

// Setup registers the reconciler with the manager. It has one worker: requests are rare, and their order counts.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keyrequest").
		For(&v1alpha1.KeyRequest{}).
		Watches(&v1alpha1.KeyRequestReview{}, handler.EnqueueRequestsFromMapFunc(requestOfReview)).
		Watches(&v1alpha1.ApiKey{}, handler.EnqueueRequestsFromMapFunc(r.requestOfKey), builder.WithPredicates(existence())).
		Watches(&v1alpha1.Group{}, handler.EnqueueRequestsFromMapFunc(r.requestsOfGroup),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(cache.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(r.requestsInNamespace),
			builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(controller.Options{RateLimiter: denial.RateLimiter()}).
		Complete(denial.Wrap(r))
}

// existence allows only creations and deletions: nothing else of an ApiKey concerns its request.
func existence() predicate.Funcs {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

func requestOfReview(_ context.Context, object client.Object) []reconcile.Request {
	review, ok := object.(*v1alpha1.KeyRequestReview)
	if !ok {
		return nil
	}
	of := review.Spec.Request
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: of.Namespace, Name: of.Name}}}
}

// requestOfKey is the request of the name of an ApiKey, which may wait for the name.
func (r *Reconciler) requestOfKey(ctx context.Context, key client.Object) []reconcile.Request {
	name := client.ObjectKeyFromObject(key)
	if err := r.Client.Get(ctx, name, &v1alpha1.KeyRequest{}, client.UnsafeDisableDeepCopy); err != nil {
		return nil // most ApiKeys have no request; a new request is looked at anyway
	}
	return []reconcile.Request{{NamespacedName: name}}
}

func (r *Reconciler) requestsOfGroup(ctx context.Context, group client.Object) []reconcile.Request {
	return r.requests(ctx, client.MatchingFields{cache.ByGroup: client.ObjectKeyFromObject(group).String()})
}

func (r *Reconciler) requestsInNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(namespace.GetName()))
}

func (r *Reconciler) requests(ctx context.Context, which client.ListOption) []reconcile.Request {
	var requests v1alpha1.KeyRequestList
	if err := r.Client.List(ctx, &requests, which, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A change reaches its KeyRequests late")
		return nil
	}
	all := make([]reconcile.Request, 0, len(requests.Items))
	for i := range requests.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&requests.Items[i])})
	}
	return all
}
