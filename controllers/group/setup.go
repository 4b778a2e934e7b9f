package group

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// countDelay collects changes of keys before they are counted: a thousand keys that are minted at once cause a few writes of
// their Group's status, not a thousand.
const countDelay = time.Second

// allowlistDelay collects changes of allowlists, because for each of them all lists of the Group are read. Their publication does
// not wait for it.
const allowlistDelay = 100 * time.Millisecond

// workers is how many Groups are reconciled at a time, so that one whose routes take long to compare does not block the
// others.
const workers = 4

// Setup registers the reconciler with the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	r.counts = newCounts()
	return ctrl.NewControllerManagedBy(mgr).
		Named("group").
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: denial.RateLimiter()}).
		For(&v1alpha1.Group{}, builder.WithPredicates(notOnlyUsage())).
		Watches(&v1alpha1.DomainAllowlist{}, later(allowlistDelay, groupOfAllowlist),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ApiKey{}, later(countDelay, r.countAgain), builder.WithPredicates(activityChanged())).
		WatchesRawSource(r.enforcements()).
		WatchesRawSource(r.totals()).
		Complete(denial.Wrap(r))
}

// notOnlyUsage passes changes of anything except the usage, which the reconciler writes itself: a Group is not reconciled each
// time that its status shows other usage, but when a quota has become low or is used up, which ends with the month.
// Nor is it reconciled for its own count of keys, which would be counted repeatedly while it changes.
func notOnlyUsage() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, _ := e.ObjectOld.(*v1alpha1.Group)
		is, _ := e.ObjectNew.(*v1alpha1.Group)
		return was != nil && is != nil && (was.ResourceVersion == is.ResourceVersion || !equality.Semantic.DeepEqual(withoutUsage(was),
			withoutUsage(is)))
	}}
}

// withoutUsage is the Group without the fields that its usage and its keys change; it shares the rest with the Group.
func withoutUsage(group *v1alpha1.Group) *v1alpha1.Group {
	rest := *group
	rest.ResourceVersion, rest.ManagedFields = "", nil
	rest.Status.Usage, rest.Status.Keys = nil, nil
	return &rest
}

func groupOfAllowlist(object client.Object) (types.NamespacedName, bool) {
	list, ok := object.(*v1alpha1.DomainAllowlist)
	if !ok {
		return types.NamespacedName{}, false
	}
	return cache.GroupName(list.Spec.GroupRef, list.Namespace), true
}

// countAgain returns the Group of a key, whose keys are to be counted again.
func (r *Reconciler) countAgain(object client.Object) (types.NamespacedName, bool) {
	key, ok := object.(*v1alpha1.ApiKey)
	if !ok {
		return types.NamespacedName{}, false
	}
	name := cache.GroupName(key.Spec.GroupRef, key.Namespace)
	r.counts.forget(name)
	return name, true
}

// later enqueues the Group of an object after the delay, and once for many objects.
func later(delay time.Duration, groupOf func(client.Object) (types.NamespacedName, bool)) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(object client.Object, q queue) {
		if name, ok := groupOf(object); ok {
			q.AddAfter(reconcile.Request{NamespacedName: name}, delay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { enqueue(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q) },
	}
}

// activityChanged passes keys that were created or deleted, or became or ceased to be active.
func activityChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, _ := e.ObjectOld.(*v1alpha1.ApiKey)
		is, _ := e.ObjectNew.(*v1alpha1.ApiKey)
		return was != nil && is != nil && isActive(was) != isActive(is)
	}}
}

// enforcements reconciles a Group when its latest change is in force on every server.
func (r *Reconciler) enforcements() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.Hub.OnEnforced(func(subject publish.Subject) {
			if subject.Kind == publish.KindGroup {
				queue.Add(reconcile.Request{NamespacedName: subject.Object})
			}
		})
		return nil
	})
}
