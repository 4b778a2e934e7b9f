// Package group reconciles Groups: it reports what is wrong with them, how many keys they have, and whether their latest
// change is in force.
package group

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/notice"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

// Reconciler reconciles Groups.
type Reconciler struct {
	Client   client.Client
	Hub      *publish.Hub
	Tiers    *tier.Catalogue
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Totals has what is used of Groups, for their status; nil if nothing is counted.
	Totals *totals.Board
	// APIReader reads Secrets past the cache, and Ring the keys that seal them; nil if there are none.
	APIReader client.Reader
	Ring      func() (*sealedcontext.Ring, error)

	counts *counts
	looks  looks
}

// +kubebuilder:rbac:groups=keyward.dev,resources=groups,verbs=list;watch
// +kubebuilder:rbac:groups=keyward.dev,resources=groups/status,verbs=patch
// +kubebuilder:rbac:groups=keyward.dev,resources=groups/finalizers,verbs=update
// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

const recordTooLarge = "spec: the Group is too large to be sent to validation servers, which refuse its keys with 403 group_suspended " +
	"until it is smaller: shorten routes, context and lists of projects"

// Reconcile brings the status of one Group up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	group, err := cache.Group(ctx, r.Client, request.NamespacedName)
	if err != nil || group == nil {
		if err == nil {
			r.counts.forget(request.NamespacedName)
			r.looks.forget(request.NamespacedName)
		}
		if err == nil && r.Totals != nil {
			r.Totals.Forget(request.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	denied, err := r.ensureDefaultKey(ctx, group)
	if err != nil {
		return ctrl.Result{}, err
	}
	result, err := r.update(ctx, group)
	if denied && err == nil {
		result = denial.Sooner(result, denial.Retry(request.NamespacedName))
	}
	return result, err
}

// update brings the status up to date.
func (r *Reconciler) update(ctx context.Context, group *v1alpha1.Group) (ctrl.Result, error) {
	allowlists, err := cache.CachedAllowlists(ctx, r.Client, group)
	if err != nil {
		return ctrl.Result{}, err
	}
	active, err := r.counts.of(client.ObjectKeyFromObject(group), func() (int, error) { return r.activeKeys(ctx, group) })
	if err != nil {
		return ctrl.Result{}, err
	}
	before := group.DeepCopy()
	resolution := r.Tiers.Resolve(group)
	resolution.Schedule(group, r.Clock.Now())
	group.Status.Limits = resolution.Limits
	r.sealContext(ctx, group)
	// New limits and sealed values are published with the status, and so never delayed.
	resolved := equality.Semantic.DeepEqual(before.Status.Limits, group.Status.Limits) &&
		slices.Equal(before.Status.SealedContext, group.Status.SealedContext)
	record := publish.GroupRecord(group, allowlists)
	recordID := publish.RecordID(record)
	enforcement, asked := r.enforcement(group, recordID)
	if asked && resolved && group.Status.Enforcement != nil {
		if wait := conditions.Hold(enforcement, r.Clock.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
	}

	r.describe(group, resolution, active, asked && !enforcement.Complete)
	if publish.IsTooLarge(record) {
		r.conditions(group).SetSummary(conditions.Summary{Stalled: true, Reason: v1alpha1.ReasonRecordTooLarge, Message: recordTooLarge})
	}
	used := r.use(group)
	quota.Describe(group, r.Clock.Now())
	group.Status.QuotaNotices = notice.Quotas(group, r.Clock.Now())
	result := ctrl.Result{RequeueAfter: sooner(quota.Changes(group, r.Clock.Now()), checkSecrets(group))}
	if asked {
		set := r.conditions(group)
		group.Status.Enforcement = set.SetEnforced(enforcement, recordID)
	} else if known := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionEnforced); known != nil {
		known.ObservedGeneration = group.Generation // the edit changes nothing that servers have
	}
	if used.isNothingElse(before, group) {
		return result, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, group, patch); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("recording the status: %w", err)
	}
	used.shown()
	r.sendEvents(before, group, enforcement)
	return result, nil
}

// enforcement asks the Hub about a record that is not known to be in force.
func (r *Reconciler) enforcement(group *v1alpha1.Group, recordID string) (enforcement publish.Enforcement, asked bool) {
	was, name := group.Status.Enforcement, client.ObjectKeyFromObject(group)
	subject := publish.Subject{Ref: publish.GroupRef(name.String()), Group: name.String(), Object: name}
	if was != nil && was.Record == recordID && meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionEnforced) &&
		!r.Hub.IsRejected(subject) {
		return publish.Enforcement{}, false
	}
	return r.Hub.Enforcement(subject, recordID), true
}

// describe writes the status of the Group. With unacknowledged, a validation server lacks its latest change.
func (r *Reconciler) describe(group *v1alpha1.Group, resolution tier.Resolution, active int, unacknowledged bool) {
	group.Status.ObservedGeneration = group.Generation
	group.Status.Projects = ptr.To(int32(len(grant.Projects(group))))
	group.Status.Keys = &v1alpha1.GroupKeys{Active: ptr.To(int32(active)), Limit: resolution.Keys()}

	set := r.conditions(group)
	overlap := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionRoutesOverlap)
	if overlap == nil || overlap.ObservedGeneration != group.Generation {
		found, complete := overlaps(group.Spec.Projects)
		reason, message := describeOverlaps(found, complete)
		set.Set(v1alpha1.ConditionRoutesOverlap, len(found) > 0, reason, message)
	}
	describeTier(set, resolution)
	if problem := grant.Group(group); problem != nil {
		set.SetSummary(conditions.Summary{Stalled: true, Reason: problem.Reason, Message: problem.Error()})
		return
	}
	set.SetSummary(summarize(group, unacknowledged))
}

// describeTier sets the condition that reports whether the catalogue has the tier that is named.
func describeTier(set conditions.Setter, resolution tier.Resolution) {
	switch {
	case !resolution.Named:
		meta.RemoveStatusCondition(set.Conditions, v1alpha1.ConditionTierResolved)
	case resolution.Found:
		set.Set(v1alpha1.ConditionTierResolved, true, v1alpha1.ReasonTierFound, resolution.Message)
	default:
		set.Set(v1alpha1.ConditionTierResolved, false, v1alpha1.ReasonTierNotFound, resolution.Message)
	}
}

// summarize describes how far the declared state is reached. Frozen and Suspended are reached when validation
// servers have them in force; an active Group is ready while they take over a change.
func summarize(group *v1alpha1.Group, unacknowledged bool) conditions.Summary {
	summary := conditions.Summary{Ready: !unacknowledged, Reconciling: unacknowledged}
	switch group.Spec.State {
	case v1alpha1.GroupFrozen:
		summary.Reason = v1alpha1.ReasonGroupFrozen
		summary.Message = "all keys of the Group are refused with 403 group_frozen until spec.state is Active again"
	case v1alpha1.GroupSuspended:
		summary.Reason = v1alpha1.ReasonGroupSuspended
		summary.Message = "all keys of the Group are refused with 403 group_suspended until spec.state is Active again"
	default:
		summary.Ready, summary.Reason, summary.Message = true, v1alpha1.ReasonReady, "the keys of the Group are accepted"
	}
	return summary
}

// activeKeys counts the keys whose state is Active.
func (r *Reconciler) activeKeys(ctx context.Context, group *v1alpha1.Group) (int, error) {
	keys, err := cache.CachedKeys(ctx, r.Client, client.ObjectKeyFromObject(group))
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

func (r *Reconciler) conditions(group *v1alpha1.Group) conditions.Setter {
	return conditions.Setter{Conditions: &group.Status.Conditions, Generation: group.Generation, Now: r.Clock.Now()}
}

// sendEvents sends the events of conditions that changed, and one for a change that is in force.
func (r *Reconciler) sendEvents(before, group *v1alpha1.Group, enforcement publish.Enforcement) {
	for _, event := range conditions.Events(before.Status.Conditions, group.Status.Conditions) {
		r.Recorder.Eventf(group, nil, event.Type, event.Reason, "Check", "%s", event.Message)
	}
	was, is := before.Status.Enforcement, group.Status.Enforcement
	if enforcement.Complete && (was == nil || was.Record != is.Record || !meta.IsStatusConditionTrue(before.Status.Conditions,
		v1alpha1.ConditionEnforced)) {
		enforced := meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionEnforced)
		note := fmt.Sprintf("%s: %s", group.Spec.State, enforced.Message)
		if is.Latency != "" {
			note += " after " + is.Latency
		}
		r.Recorder.Eventf(group, nil, corev1.EventTypeNormal, v1alpha1.ReasonEnforced, "Publish", "%s", note)
	}
}
