// Package domainallowlist reconciles DomainAllowlists: it reports whether what they list counts for their Group. How far it is
// in force is reported in the status of the Group, whose record they are a part of.
package domainallowlist

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Reconciler reconciles DomainAllowlists.
type Reconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
}

// +kubebuilder:rbac:groups=keyward.dev,resources=domainallowlists,verbs=list;watch
// +kubebuilder:rbac:groups=keyward.dev,resources=domainallowlists/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings the status of one DomainAllowlist up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	list := &v1alpha1.DomainAllowlist{}
	if err := r.Client.Get(ctx, request.NamespacedName, list); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	problem, err := r.problem(ctx, list)
	if err != nil {
		return ctrl.Result{}, err
	}
	if problem != nil && problem.Elsewhere {
		if wait := conditions.GraceLeft(list, list.Status.ObservedGeneration, r.Clock.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
	}
	before := list.DeepCopy()
	list.Status.ObservedGeneration = list.Generation
	set := conditions.Setter{Conditions: &list.Status.Conditions, Generation: list.Generation, Now: r.Clock.Now()}
	set.SetSummary(summarize(list, problem))
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

func (r *Reconciler) problem(ctx context.Context, list *v1alpha1.DomainAllowlist) (*grant.Problem, error) {
	group, problem, err := cache.CachedGroupForAllowlist(ctx, r.Client, list)
	if err != nil || problem != nil {
		return problem, err
	}
	lists, err := cache.CachedAllowlists(ctx, r.Client, group)
	if err != nil {
		return nil, err
	}
	_, beyond := grant.FitAllowlists(lists)
	if slices.ContainsFunc(beyond, func(other *v1alpha1.DomainAllowlist) bool { return other.UID == list.UID }) {
		return grant.AllowlistBeyond(), nil
	}
	return grant.Domains(list), nil
}

func summarize(list *v1alpha1.DomainAllowlist, problem *grant.Problem) conditions.Summary {
	if problem != nil {
		return conditions.Summary{Stalled: true, Reason: problem.Reason, Message: problem.Error()}
	}
	message := "the domains are part of the Group; its Enforced condition says where they are in force"
	if shared := grant.SharedDomains(list); len(shared) > 0 {
		message += ". Also note: " + shared.First().Error()
	}
	return conditions.Summary{Ready: true, Reason: v1alpha1.ReasonReady, Message: message}
}

// Setup registers the reconciler with the manager.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("domainallowlist").
		For(&v1alpha1.DomainAllowlist{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.DomainAllowlist{}, handler.EnqueueRequestsFromMapFunc(r.allowlistsBeside),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Group{}, handler.EnqueueRequestsFromMapFunc(r.allowlistsOfGroup),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(cache.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(r.allowlistsInNamespace),
			builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(controller.Options{RateLimiter: denial.RateLimiter()}).
		Complete(denial.Wrap(r))
}

func (r *Reconciler) allowlistsOfGroup(ctx context.Context, group client.Object) []reconcile.Request {
	return r.requests(ctx, client.MatchingFields{cache.ByGroup: client.ObjectKeyFromObject(group).String()})
}

// allowlistsBeside are the lists of the same Group for which a change of this one makes a difference: those that are beyond the
// bounds, or no longer, and whose status does not say so. To reconcile all of them for each would be too much.
func (r *Reconciler) allowlistsBeside(ctx context.Context, object client.Object) []reconcile.Request {
	list, ok := object.(*v1alpha1.DomainAllowlist)
	if !ok {
		return nil
	}
	lists, err := cache.CachedAllowlistsWith(ctx, r.Client, list)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A change reaches its Group's other allowlists late")
		return nil
	}
	counted, beyond := grant.FitAllowlists(lists)
	var changed []reconcile.Request
	for _, fit := range []struct {
		lists  []*v1alpha1.DomainAllowlist
		beyond bool
	}{{counted, false}, {beyond, true}} {
		for _, other := range fit.lists {
			if saysBeyond(other) != fit.beyond {
				changed = append(changed, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(other)})
			}
		}
	}
	return changed
}

func saysBeyond(list *v1alpha1.DomainAllowlist) bool {
	ready := meta.FindStatusCondition(list.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonAllowlistsTooLarge
}

// allowlistsInNamespace are those of a namespace whose labels have changed, and those for which it makes a difference that
// these count or no longer do.
func (r *Reconciler) allowlistsInNamespace(ctx context.Context, namespace client.Object) []reconcile.Request {
	var lists v1alpha1.DomainAllowlistList
	if err := r.Client.List(ctx, &lists, client.InNamespace(namespace.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A change reaches its allowlists late")
		return nil
	}
	var all []reconcile.Request
	groups := map[types.NamespacedName]bool{}
	for i := range lists.Items {
		list := &lists.Items[i]
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(list)})
		if group := cache.GroupName(list.Spec.GroupRef, list.Namespace); !groups[group] && group.Namespace != list.Namespace {
			groups[group] = true
			all = append(all, r.allowlistsBeside(ctx, list)...)
		}
	}
	return all
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
