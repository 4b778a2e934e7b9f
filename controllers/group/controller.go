// Package group reconciles Groups: what is wrong with them, how many keys they have, and
// whether their latest change is in force.
package group

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/tier"
)

// Reconciler reconciles Groups.
type Reconciler struct {
	Client   client.Client
	Hub      *publish.Hub
	Tiers    *tier.Catalogue
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
}

// +kubebuilder:rbac:groups=keyward.dev,resources=groups,verbs=get;list;watch
// +kubebuilder:rbac:groups=keyward.dev,resources=groups/status,verbs=patch
// +kubebuilder:rbac:groups=keyward.dev,resources=groups/finalizers,verbs=update
// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings the status of one Group up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	group, err := cache.Group(ctx, r.Client, request.NamespacedName)
	if err != nil || group == nil {
		return ctrl.Result{}, err
	}
	if err := r.ensureDefaultKey(ctx, group); err != nil {
		return ctrl.Result{}, err
	}
	allowlists, err := cache.Allowlists(ctx, r.Client, group)
	if err != nil {
		return ctrl.Result{}, err
	}
	active, err := r.activeKeys(ctx, group)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := group.DeepCopy()
	resolution := r.Tiers.Resolve(group)
	group.Status.Limits = resolution.Limits
	// New limits are published with the status, and never held back.
	resolved := equality.Semantic.DeepEqual(before.Status.Limits, group.Status.Limits)
	recordID := publish.RecordID(publish.GroupRecord(group, allowlists))
	enforcement, asked := r.enforcement(group, recordID)
	if asked && resolved && group.Status.Enforcement != nil {
		if wait := conditions.Hold(enforcement, r.Clock.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
	}

	r.describe(group, resolution, active)
	quota.Describe(group, r.Clock.Now())
	result := ctrl.Result{RequeueAfter: quota.Changes(group, r.Clock.Now())}
	if asked {
		set := r.conditions(group)
		group.Status.Enforcement = set.Enforce(enforcement, recordID)
	}
	if equality.Semantic.DeepEqual(before.Status, group.Status) {
		return result, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, group, patch); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("recording the status: %w", err)
	}
	r.announce(before, group, enforcement)
	quota.Announce(r.Recorder)(before, group)
	return result, nil
}

// enforcement asks the Hub about what is not known to be in force already.
func (r *Reconciler) enforcement(group *v1alpha1.Group, recordID string) (enforcement publish.Enforcement, asked bool) {
	was := group.Status.Enforcement
	if was != nil && was.Record == recordID && meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionEnforced) {
		return publish.Enforcement{}, false
	}
	name := client.ObjectKeyFromObject(group)
	return r.Hub.Enforcement(publish.Subject{Ref: publish.GroupRef(name.String()), Group: name.String(), Object: name}, recordID), true
}

func (r *Reconciler) describe(group *v1alpha1.Group, resolution tier.Resolution, active int) {
	group.Status.Projects = ptr.To(int32(len(grant.Projects(group))))
	group.Status.Keys = &v1alpha1.GroupKeys{Active: ptr.To(int32(active)), Limit: resolution.Keys()}

	set := r.conditions(group)
	overlap := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionRoutesOverlap)
	if overlap == nil || overlap.ObservedGeneration != group.Generation {
		found, complete := overlaps(group.Spec.Projects)
		reason, message := describeOverlaps(found, complete)
		set.Put(v1alpha1.ConditionRoutesOverlap, len(found) > 0, reason, message)
	}
	describeTier(set, resolution)
	if problem := grant.Group(group); problem != nil {
		set.Summarize(conditions.Summary{Stuck: true, Reason: problem.Reason, Message: problem.Error()})
		return
	}
	set.Summarize(summarize(group))
}

// describeTier says of a tier that is named whether the catalogue has it.
func describeTier(set conditions.Set, resolution tier.Resolution) {
	switch {
	case !resolution.Named:
		meta.RemoveStatusCondition(set.Conditions, v1alpha1.ConditionTierResolved)
	case resolution.Found:
		set.Put(v1alpha1.ConditionTierResolved, true, v1alpha1.ReasonTierFound, resolution.Message)
	default:
		set.Put(v1alpha1.ConditionTierResolved, false, v1alpha1.ReasonTierNotFound, resolution.Message)
	}
}

func summarize(group *v1alpha1.Group) conditions.Summary {
	switch group.Spec.State {
	case v1alpha1.GroupFrozen:
		return conditions.Summary{Reason: v1alpha1.ReasonGroupFrozen, Message: "all keys of the Group are refused with 403 group_frozen until spec.state is Active again"}
	case v1alpha1.GroupSuspended:
		return conditions.Summary{Reason: v1alpha1.ReasonGroupSuspended, Message: "all keys of the Group are refused with 403 group_suspended until spec.state is Active again"}
	default:
		return conditions.Summary{Ready: true, Reason: v1alpha1.ReasonReady, Message: "the keys of the Group are accepted"}
	}
}

// activeKeys counts the keys that are accepted.
func (r *Reconciler) activeKeys(ctx context.Context, group *v1alpha1.Group) (int, error) {
	keys, err := cache.Keys(ctx, r.Client, client.ObjectKeyFromObject(group))
	if err != nil {
		return 0, err
	}
	active := 0
	for i := range keys {
		if isActive(&keys[i]) {
			active++
		}
	}
	return active, nil
}

func isActive(key *v1alpha1.ApiKey) bool { return key.Status.State == v1alpha1.KeyActive }

func (r *Reconciler) conditions(group *v1alpha1.Group) conditions.Set {
	return conditions.Set{Conditions: &group.Status.Conditions, Generation: group.Generation, Now: r.Clock.Now()}
}

// announce sends an event for a problem that is new, and for a change of state in force.
func (r *Reconciler) announce(before, group *v1alpha1.Group, enforcement publish.Enforcement) {
	problems := map[string]metav1.ConditionStatus{
		v1alpha1.ConditionStalled: metav1.ConditionTrue, v1alpha1.ConditionRoutesOverlap: metav1.ConditionTrue,
		v1alpha1.ConditionTierResolved: metav1.ConditionFalse,
	}
	for kind, problem := range problems {
		was := meta.FindStatusCondition(before.Status.Conditions, kind)
		is := meta.FindStatusCondition(group.Status.Conditions, kind)
		if is != nil && is.Status == problem && (was == nil || was.Status != is.Status || was.Message != is.Message) {
			r.Recorder.Eventf(group, nil, corev1.EventTypeWarning, is.Reason, "Check", "%s", is.Message)
		}
	}
	was, is := before.Status.Enforcement, group.Status.Enforcement
	if enforcement.Complete && (was == nil || was.Record != is.Record || !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionEnforced)) {
		enforced := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionEnforced)
		note := fmt.Sprintf("%s: %s", group.Spec.State, enforced.Message)
		if is.Latency != "" {
			note += " after " + is.Latency
		}
		r.Recorder.Eventf(group, nil, corev1.EventTypeNormal, v1alpha1.ReasonEnforced, "Publish", "%s", note)
	}
}
