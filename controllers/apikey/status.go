package apikey

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// record ends every reconciliation: it writes the status if it changed, sends the events, and returns when to reconcile
// again.
func (r *Reconciler) record(ctx context.Context, key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) (ctrl.Result, error) {
	now := r.Clock.Now()
	if wait := deferral(key, found, outcome, now); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	before := key.DeepCopy()
	key.Status = r.desiredStatus(key, found, outcome, now)
	changed := !equality.Semantic.DeepEqual(before.Status, key.Status)
	count := r.count(key, found, changed)
	if changed || count != nil {
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Status().Patch(ctx, key, patch); err != nil {
			if startsVersion(outcome) {
				r.pending.drop(key.UID) // the version is recorded nowhere yet
			}
			if count != nil && apierrors.IsConflict(err) {
				r.Usage.Keys.Refused(count)
			}
			return ctrl.Result{}, fmt.Errorf("recording the status: %w", err)
		}
		if count != nil {
			r.Usage.Keys.Wrote(count)
		}
	}
	r.showedQuota(key)
	switch outcome.Action {
	case lifecycle.Mint, lifecycle.Import:
		minted.Inc()
		failpoint.Here(failpoint.AfterPending)
	case lifecycle.None, lifecycle.Publish, lifecycle.Deliver, lifecycle.Keep, lifecycle.DeleteSecret:
	}
	if found.delivered {
		failpoint.Here(failpoint.AfterActive)
	}
	pendingID, _ := r.pending.get(key.UID)
	if v := versionByID(key.Status.Versions, pendingID); v == nil || v.State != v1alpha1.VersionPending {
		r.pending.drop(key.UID) // delivered, ended, or dropped: the text is not needed any more
	}
	r.sendEvents(before, key, found, outcome)
	return ctrl.Result{RequeueAfter: requeueAfter(found, outcome, now)}, nil
}

// deferral is how long to delay writing the status. Changes of versions, which a process must not forget, are never
// delayed.
func deferral(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome, now time.Time) time.Duration {
	if found.input.Published || found.recordID == publish.NoRecord || !equality.Semantic.DeepEqual(key.Status.Versions, outcome.Versions) {
		return 0
	}
	return conditions.Hold(found.enforcement, now)
}

// requeueAfter is when to reconcile again without an event; zero if never.
func requeueAfter(found *facts, outcome lifecycle.Outcome, now time.Time) time.Duration {
	var after time.Duration
	if !outcome.Wake.IsZero() {
		after = max(outcome.Wake.Sub(now), time.Millisecond)
	}
	sooner := func(d time.Duration) {
		if after == 0 || after > d {
			after = d
		}
	}
	if found.input.Secret.Foreign || outcome.Obstacle != nil && isRetried(outcome.Obstacle.Reason) && !found.importImpossible {
		sooner(conflictRetry)
	}
	if found.followUpProblem != nil {
		sooner(restartRetry)
	}
	return after
}

// isRetried reports whether no event reports the end of the obstacle: Secrets that are not the operator's, annotations of
// namespaces.
func isRetried(reason string) bool {
	return reason == v1alpha1.ReasonImportRefused || reason == v1alpha1.ReasonRestoreRefused || reason == v1alpha1.ReasonTextRevoked
}

// startsVersion reports whether the outcome adds a version.
func startsVersion(outcome lifecycle.Outcome) bool {
	return outcome.Action == lifecycle.Mint || outcome.Action == lifecycle.Import
}

func (r *Reconciler) desiredStatus(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome, now time.Time) v1alpha1.ApiKeyStatus {
	status := *key.Status.DeepCopy()
	status.ObservedGeneration = key.Generation
	status.KeyID = publish.KeyID(key.UID)
	status.CreatedBy = key.Annotations[v1alpha1.AnnotationCreatedBy]
	status.State = outcome.State
	lifecycle.SetHandled(&status, outcome.Versions)
	status.Versions = outcome.Versions
	status.Preview, status.ExpiresAt, status.SecretRef, status.NextRotationAt = "", nil, nil, nil
	if shown := shownVersion(outcome.Versions); shown != nil {
		status.Preview, status.ExpiresAt = shown.Preview, shown.ExpiresAt
		if shown.DeliveredAt != nil && shown.ClaimedAt == nil {
			status.SecretRef = &v1alpha1.SecretReference{Name: lifecycle.SecretName(key)}
		}
	}
	if !outcome.RotatesAt.IsZero() {
		status.NextRotationAt = &metav1.Time{Time: outcome.RotatesAt.Truncate(time.Second)}
	}
	setLastUsed(&status, found.input.Usage, r.LastUsedResolution)
	status.Quota = r.quotaOf(key, found.input.Group, now)
	set := conditions.Setter{Conditions: &status.Conditions, Generation: key.Generation, Now: now}
	set.SetSummary(summarize(key, found, outcome))
	setAccepted(set, key, found, outcome)
	setForecasts(set, &status, outcome)
	setContested(set, key, found, outcome)
	setFollowUp(set, found)
	setLeaked(set, &status)
	setUnused(set, outcome)
	if found.enforcementQueried && !startsVersion(outcome) {
		status.Enforcement = set.SetEnforced(found.enforcement, found.recordID)
	} else if known := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEnforced); known != nil {
		known.ObservedGeneration = key.Generation
	}
	return status
}

// shownVersion is the version that a list of keys shows: the current one, or the last one.
func shownVersion(versions []v1alpha1.KeyVersion) *v1alpha1.KeyVersion {
	if current := lifecycle.Current(versions); current != nil {
		return current
	}
	if len(versions) == 0 {
		return nil
	}
	return &versions[len(versions)-1]
}

// sendEvents sends the events about what has happened.
func (r *Reconciler) sendEvents(before, key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) {
	enforcement := found.enforcement
	for _, note := range outcome.Notes {
		r.event(key, note.Warning, note.Reason, "Plan", note.Message)
	}
	for _, event := range conditions.Events(before.Status.Conditions, key.Status.Conditions) {
		if event.Reason == v1alpha1.ReasonKeyLimitReached {
			withoutSlot.Inc()
		}
		r.event(key, event.Warning(), event.Reason, "Plan", event.Message)
	}
	if !enforcement.Complete || !newlyEnforced(before, key) {
		return
	}
	if outcome.Contest != nil && !outcome.Contest.Slow && (key.Status.State == v1alpha1.KeyActive || key.Status.State == v1alpha1.KeyPending) {
		return // one for each version that is lost says nothing new
	}
	enforced := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionEnforced)
	note := fmt.Sprintf("%s: %s", key.Status.State, enforced.Message)
	if enforcement.Latency > 0 {
		note += " after " + conditions.Latency(enforcement.Latency)
	}
	r.event(key, enforced.Status != metav1.ConditionTrue, v1alpha1.ReasonEnforced, "Publish", note)
}

// newlyEnforced reports whether the status says for the first time how a change is enforced. A first version that is in
// force everywhere is not announced: its delivery says the same.
func newlyEnforced(before, key *v1alpha1.ApiKey) bool {
	was, is := before.Status.Enforcement, key.Status.Enforcement
	everywhere := isEnforced(key)
	if is == nil || before.Status.SecretRef == nil && everywhere {
		return false
	}
	return was == nil || was.Record != is.Record || isEnforced(before) != everywhere
}

func isEnforced(key *v1alpha1.ApiKey) bool {
	return meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionEnforced)
}
