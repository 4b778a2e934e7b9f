// Package domainallowlist reconciles DomainAllowlists: it reports whether what they list counts for their Group. How far it is
// in force is reported in the status of the Group, whose record they are a part of.
package domainallowlist

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Reconciler reconciles DomainAllowlists.
type Reconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
}

// +kubebuilder:rbac:groups=keyward.dev,resources=domainallowlists,verbs=get;list;watch
// +kubebuilder:rbac:groups=keyward.dev,resources=domainallowlists/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings the status of one DomainAllowlist up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	list := &v1alpha1.DomainAllowlist{}
	if err := r.Client.Get(ctx, request.NamespacedName, list); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	_, problem, err := cache.CachedGroupForAllowlist(ctx, r.Client, list)
	if err != nil {
		return ctrl.Result{}, err
	}
	if problem == nil {
		problem = grant.Domains(list)
	}
	before := list.DeepCopy()
	list.Status.ObservedGeneration = list.Generation
	set := conditions.Setter{Conditions: &list.Status.Conditions, Generation: list.Generation, Now: r.Clock.Now()}
	set.SetSummary(summarize(problem))
	if equality.Semantic.DeepEqual(before.Status, list.Status) {
		return ctrl.Result{}, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, list, patch); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("recording the status: %w", err)
	}
	for _, event := range conditions.Events(before.Status.Conditions, list.Status.Conditions) {
		r.Recorder.Eventf(list, nil, event.Type, event.Reason, "Check", "%s", event.Message)
	}
	return ctrl.Result{}, nil
}

func summarize(problem *grant.Problem) conditions.Summary {
	if problem != nil {
		return conditions.Summary{Stalled: true, Reason: problem.Reason, Message: problem.Error()}
	}
	return conditions.Summary{Ready: true, Reason: v1alpha1.ReasonReady,
		Message: "the domains are part of the Group; its Enforced condition says where they are in force"}
}

// Setup registers the reconciler with the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("domainallowlist").
		For(&v1alpha1.DomainAllowlist{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Group{}, handler.EnqueueRequestsFromMapFunc(r.allowlistsOfGroup),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(cache.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(r.allowlistsInNamespace),
			builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Complete(r)
}

func (r *Reconciler) allowlistsOfGroup(ctx context.Context, group client.Object) []reconcile.Request {
	return r.requests(ctx, client.MatchingFields{cache.ByGroup: client.ObjectKeyFromObject(group).String()})
}

func (r *Reconciler) allowlistsInNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(namespace.GetName()))
}

func (r *Reconciler) requests(ctx context.Context, which client.ListOption) []reconcile.Request {
	var lists v1alpha1.DomainAllowlistList
	if err := r.Client.List(ctx, &lists, which); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A change reaches its allowlists with a delay")
		return nil
	}
	all := make([]reconcile.Request, 0, len(lists.Items))
	for i := range lists.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&lists.Items[i])})
	}
	return all
}
