package apikey

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// workers is how many ApiKeys are reconciled at a time: each mostly waits for the API server.
const workers = 16

// Setup registers the reconciler with the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("apikey").
		For(&v1alpha1.ApiKey{}).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(keyOfSecret)).
		Watches(&v1alpha1.ApiKey{}, r.followSlots()).
		Watches(&v1alpha1.ApiKey{}, r.rememberDeleted()).
		Watches(&v1alpha1.Group{}, handler.EnqueueRequestsFromMapFunc(r.keysOfGroup),
			builder.WithPredicates(groupConcernsKeys())).
		Watches(cache.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(r.keysInNamespace),
			builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WatchesRawSource(r.enforcements()).
		WatchesRawSource(r.usageReports()).
		WatchesRawSource(r.freedSlots()).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: denial.RateLimiter()}).
		Complete(waitUntilPublished{r.Hub, denial.Wrap(r)})
}

// waitUntilPublished delays reconciliations until the records are published: a new leader brings the validation servers up
// to date before it reconciles every key.
type waitUntilPublished struct {
	hub *publish.Hub
	reconcile.Reconciler
}

// Reconcile implements reconcile.Reconciler.
func (a waitUntilPublished) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	select {
	case <-a.hub.Opened():
		return a.Reconciler.Reconcile(ctx, request)
	case <-ctx.Done():
		return ctrl.Result{}, ctx.Err()
	}
}

// keyOfSecret is the ApiKey that controls the Secret, as builder.Owns would find it. That looks up the scope of the kind
// each time, which takes a tenth of the time until a new leader of 100,000 keys is ready.
func keyOfSecret(_ context.Context, secret client.Object) []reconcile.Request {
	owner := metav1.GetControllerOfNoCopy(secret)
	if owner == nil || owner.Kind != "ApiKey" {
		return nil
	}
	if of, err := schema.ParseGroupVersion(owner.APIVersion); err != nil || of.Group != v1alpha1.GroupVersion.Group {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: secret.GetNamespace(), Name: owner.Name}}}
}

func (r *Reconciler) keysOfGroup(ctx context.Context, group client.Object) []reconcile.Request {
	keys, err := cache.CachedKeys(ctx, r.Client, client.ObjectKeyFromObject(group))
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A change of a Group reaches its keys with a delay")
		return nil
	}
	return requests(keys)
}

func (r *Reconciler) keysInNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	keys, err := cache.CachedKeysInNamespace(ctx, r.Client, namespace.GetName())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A change of a namespace reaches its keys with a delay")
		return nil
	}
	return requests(keys)
}

// enforcements reconciles a key when its latest change is in force on every server.
func (r *Reconciler) enforcements() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.Hub.OnEnforced(func(subject publish.Subject) {
			if subject.Kind == publish.KindKey {
				queue.Add(reconcile.Request{NamespacedName: subject.Object})
			}
		})
		return nil
	})
}

func requests(keys []v1alpha1.ApiKey) []reconcile.Request {
	all := make([]reconcile.Request, 0, len(keys))
	for i := range keys {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&keys[i])})
	}
	return all
}
