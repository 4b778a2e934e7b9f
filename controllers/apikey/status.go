package apikey

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey/lifecycle"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/crashpoint"
	"github.com/keyward-dev/keyward/controllers/snapshot"
)

// record is the one exit of a reconciliation: it writes the status, where it changed, sends
// the events, and says when to look again.
func (r *Reconciler) record(ctx context.Context, key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) (ctrl.Result, error) {
	now := r.Clock.Now()
	if wait := deferral(key, found, outcome, now); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	before := key.DeepCopy()
	key.Status = desiredStatus(key, found, outcome, now)
	if !equality.Semantic.DeepEqual(before.Status, key.Status) {
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Status().Patch(ctx, key, patch); err != nil {
			if outcome.Action == lifecycle.Mint {
				r.held.drop(key.UID) // nobody knows of the version yet
			}
			return ctrl.Result{}, fmt.Errorf("recording the status: %w", err)
		}
	}
	switch outcome.Action {
	case lifecycle.Mint:
		minted.Inc()
		crashpoint.Here(crashpoint.AfterPending)
	case lifecycle.Keep:
		if found.input.Held != 0 { // a step of this mint, not of every look at a key that is there
			crashpoint.Here(crashpoint.AfterActive)
		}
		r.held.drop(key.UID)
	case lifecycle.None, lifecycle.Publish, lifecycle.Deliver:
	}
	r.announce(before, key, outcome, found.enforcement)
	return ctrl.Result{RequeueAfter: next(found, outcome, now)}, nil
}

// deferral is how long to hold the status back. What a process must not forget is never held
// back.
func deferral(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome, now time.Time) time.Duration {
	if found.input.Published || found.recordID == snapshot.NoRecord || !equality.Semantic.DeepEqual(key.Status.Versions, outcome.Versions) {
		return 0
	}
	return conditions.Hold(found.enforcement, now)
}

// next is when to look again without being told to; zero if never.
func next(found *facts, outcome lifecycle.Outcome, now time.Time) time.Duration {
	var after time.Duration
	if !outcome.Wake.IsZero() {
		after = max(outcome.Wake.Sub(now), time.Millisecond)
	}
	if found.input.Secret.Foreign && (after == 0 || after > conflictRetry) {
		after = conflictRetry
	}
	return after
}

func desiredStatus(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome, now time.Time) v1alpha1.ApiKeyStatus {
	status := *key.Status.DeepCopy()
	status.KeyID = snapshot.KeyID(key.UID)
	status.CreatedBy = key.Annotations[v1alpha1.AnnotationCreatedBy]
	status.State = outcome.State
	status.Versions = outcome.Versions
	if shown := shownVersion(outcome.Versions); shown != nil {
		status.Preview, status.ExpiresAt = shown.Preview, shown.ExpiresAt
		if shown.DeliveredAt != nil {
			status.SecretRef = &v1alpha1.SecretReference{Name: lifecycle.SecretName(key)}
		}
	} else {
		status.Preview, status.ExpiresAt, status.SecretRef = "", nil, nil
	}
	set := conditions.Set{Conditions: &status.Conditions, Generation: key.Generation, Now: now}
	set.Summarize(summarize(key, found, outcome))
	if asked(key, found) && outcome.Action != lifecycle.Mint {
		status.Enforcement = set.Enforce(found.enforcement, found.recordID)
	} else if known := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEnforced); known != nil {
		known.ObservedGeneration = key.Generation
	}
	return status
}

// asked is whether the Hub was asked about the record.
func asked(key *v1alpha1.ApiKey, found *facts) bool {
	was := key.Status.Enforcement
	if was == nil {
		return found.recordID != snapshot.NoRecord
	}
	return was.Record != found.recordID || !isEnforced(key)
}

// shownVersion is the version that a list of keys shows: the current, or the last there was.
func shownVersion(versions []v1alpha1.KeyVersion) *v1alpha1.KeyVersion {
	if current := lifecycle.Current(versions); current != nil {
		return current
	}
	if len(versions) == 0 {
		return nil
	}
	return &versions[len(versions)-1]
}

func summarize(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) conditions.Summary {
	secret := lifecycle.SecretName(key)
	waiting := found.recordID != snapshot.NoRecord && !found.input.Published
	switch {
	case key.DeletionTimestamp != nil:
		return conditions.Summary{
			Working: true, Reason: v1alpha1.ReasonDeleting,
			Message: "deleting revokes the key; " + conditions.Waiting(found.enforcement),
		}
	case outcome.State == v1alpha1.KeyRevoked:
		return conditions.Summary{
			Working: waiting, Reason: v1alpha1.ReasonRevoked,
			Message: "the key is revoked for good; create a new ApiKey where one is needed",
		}
	case outcome.State == v1alpha1.KeyExpired:
		return conditions.Summary{
			Stuck: true, Reason: v1alpha1.ReasonExpired,
			Message: "the key's time is over; create a new ApiKey where one is needed",
		}
	case outcome.Obstacle != nil:
		return conditions.Summary{
			Working: waiting && declared(outcome.Obstacle.Reason),
			Stuck:   !declared(outcome.Obstacle.Reason),
			Reason:  outcome.Obstacle.Reason, Message: outcome.Obstacle.Error(),
		}
	case outcome.Action == lifecycle.Keep:
		return conditions.Summary{
			Ready: true, Working: waiting, Reason: v1alpha1.ReasonReady,
			Message: fmt.Sprintf("the key is accepted, and delivered in Secret %s", secret),
		}
	case outcome.Action == lifecycle.Mint:
		return conditions.Summary{
			Working: true, Reason: v1alpha1.ReasonPublishing,
			Message: fmt.Sprintf("version %d is minted; validation servers are told before it is delivered", outcome.Target),
		}
	default:
		return conditions.Summary{
			Working: true, Reason: v1alpha1.ReasonPublishing,
			Message: fmt.Sprintf("version %d is delivered when every validation server accepts it; %s", outcome.Target, conditions.Waiting(found.enforcement)),
		}
	}
}

// declared is whether the reason is a state that somebody declared, rather than a mistake
// that somebody has to mend.
func declared(reason string) bool {
	switch reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended:
		return true
	}
	return false
}

// announce sends the events of what has happened.
func (r *Reconciler) announce(before, key *v1alpha1.ApiKey, outcome lifecycle.Outcome, enforcement snapshot.Enforcement) {
	for _, note := range outcome.Notes {
		r.event(key, note.Warning, note.Reason, "Plan", note.Message)
	}
	ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
	if was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady); outcome.Obstacle != nil &&
		ready != nil && (was == nil || was.Reason != ready.Reason || was.Message != ready.Message) {
		r.event(key, !declared(ready.Reason), ready.Reason, "Plan", ready.Message)
	}
	if !enforcement.Complete || !newlyEnforced(before, key) {
		return
	}
	enforced := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionEnforced)
	note := fmt.Sprintf("%s: %s", key.Status.State, enforced.Message)
	if enforcement.Latency > 0 {
		note += " after " + conditions.Latency(enforcement.Latency)
	}
	r.event(key, enforced.Status != metav1.ConditionTrue, v1alpha1.ReasonEnforced, "Publish", note)
}

// newlyEnforced is whether the status says for the first time how a change was enforced. A
// first version is not mentioned where all went well: its delivery says as much.
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
