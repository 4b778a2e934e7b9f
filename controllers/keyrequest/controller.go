// Package keyrequest reconciles KeyRequests: it keeps their reviews in the namespaces of the Groups, and creates the ApiKeys of those that
// are approved. What is to be done is decided in internal/keyrequest.
package keyrequest

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// Reconciler reconciles KeyRequests.
type Reconciler struct {
	Client client.Client
	// Live reads from the API server: that an ApiKey or a request does not exist must be so.
	Live     client.Reader
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Log keeps reviews until it has their events; with nil, there is no log.
	Log Log
}

// Log is the log of who has requested keys, and who has decided about that, which is made from reviews.
type Log interface {
	// MayGo reports whether an object that is to be deleted is not needed for the log any more. It is within a minute.
	MayGo(ctx context.Context, object client.Object) bool
}

// logRetry is how soon to look again whether the log has the events of a review. There is one worker, and each look reads from the API server.
const logRetry = time.Second

// +kubebuilder:rbac:groups=keyward.dev,resources=keyrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=keyward.dev,resources=keyrequests/status,verbs=patch
// +kubebuilder:rbac:groups=keyward.dev,resources=keyrequestreviews,verbs=list;watch;create;patch;delete
// +kubebuilder:rbac:groups=keyward.dev,resources=apikeys,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=keyward.dev,resources=groups,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile does the next thing for the request of the name, and for reviews of requests that had the name.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &v1alpha1.KeyRequest{}
	err := r.Client.Get(ctx, request.NamespacedName, object)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("reading the KeyRequest: %w", err)
	}
	if err != nil {
		object = nil
	}
	kept, err := r.forget(ctx, request.NamespacedName, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if object == nil || object.DeletionTimestamp != nil {
		return ctrl.Result{RequeueAfter: kept}, nil
	}
	facts, err := r.facts(ctx, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	outcome := keyrequest.Next(facts)
	switch err := r.act(ctx, facts, &outcome); {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil // the cache is behind
	case denial.Is(err) && outcome.Action == keyrequest.Mint && !denial.IsTerminating(err):
		outcome.Reason, outcome.Waiting = v1alpha1.ReasonKeyRefused, false
		outcome.Message = fmt.Sprintf("the ApiKey cannot be created: %v", err)
		outcome.Again = r.Clock.Now().Add(denial.Retry(request.NamespacedName))
	case err != nil:
		return ctrl.Result{}, err
	}
	if err := r.record(ctx, facts, outcome); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: sooner(kept, r.until(outcome))}, nil
}

// sooner returns the shorter one of two durations, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// until returns how soon to look again.
func (r *Reconciler) until(outcome keyrequest.Outcome) time.Duration {
	if outcome.Again.IsZero() {
		return 0
	}
	return max(outcome.Again.Sub(r.Clock.Now()), conditions.StaleRetry)
}

// forget deletes reviews of requests that had the name and do not exist any more. Only the API server knows that: this process may not
// watch the namespace, or not have the request yet. If the log still needs one of them, forget returns how soon to try again.
func (r *Reconciler) forget(ctx context.Context, name types.NamespacedName, request *v1alpha1.KeyRequest) (again time.Duration, err error) {
	var reviews v1alpha1.KeyRequestReviewList
	if err := r.Client.List(ctx, &reviews, client.MatchingFields{cache.ByRequest: name.String()}); err != nil {
		return 0, fmt.Errorf("listing the reviews of a request: %w", err)
	}
	for i := range reviews.Items {
		review := &reviews.Items[i]
		if review.DeletionTimestamp != nil || request != nil && request.UID == review.Spec.Request.UID {
			continue
		}
		live := &v1alpha1.KeyRequest{}
		err := r.Live.Get(ctx, name, live)
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("reading KeyRequest %s: %w", name, err)
		}
		if err == nil && live.UID == review.Spec.Request.UID {
			continue
		}
		facts := &keyrequest.Facts{Review: review, Now: r.Clock.Now()}
		if facts.Key, err = r.key(ctx, name); err != nil {
			return 0, err
		}
		outcome := keyrequest.Next(facts)
		if outcome.Action == keyrequest.Revoke {
			if err := r.revoke(ctx, facts.Key); err != nil {
				return 0, err
			}
			facts.Key = nil
			outcome = keyrequest.Next(facts)
		}
		if outcome.Action == keyrequest.DeleteReview {
			deleted, err := r.deleteReview(ctx, review)
			if err != nil {
				return 0, err
			}
			if !deleted {
				again = logRetry
			}
		}
	}
	return again, nil
}

// facts gathers what is known of a request.
func (r *Reconciler) facts(ctx context.Context, request *v1alpha1.KeyRequest) (*keyrequest.Facts, error) {
	facts := &keyrequest.Facts{Request: request, Now: r.Clock.Now()}
	var err error
	if facts.Group, err = cache.Group(ctx, r.Client, cache.GroupName(request.Spec.GroupRef, request.Namespace)); err != nil {
		return nil, err
	}
	if facts.NamespaceLabels, err = cache.NamespaceLabels(ctx, r.Client, request.Namespace); err != nil {
		return nil, err
	}
	if facts.Key, err = r.key(ctx, client.ObjectKeyFromObject(request)); err != nil {
		return nil, err
	}
	if facts.Group == nil {
		return facts, nil
	}
	review := &v1alpha1.KeyRequestReview{}
	name := types.NamespacedName{Namespace: facts.Group.Namespace, Name: keyrequest.ReviewName(request.UID, facts.Group.UID)}
	switch err := r.Client.Get(ctx, name, review); {
	case err == nil:
		facts.Review = review
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading the review of a request: %w", err)
	default:
		facts.Beyond, err = cache.RequestIsBeyond(ctx, r.Client, request, facts.Group, facts.Now)
		if err != nil {
			return nil, err
		}
	}
	return facts, nil
}

// key returns the ApiKey of the name; nil if there is none.
func (r *Reconciler) key(ctx context.Context, name types.NamespacedName) (*v1alpha1.ApiKey, error) {
	key := &v1alpha1.ApiKey{}
	err := r.Client.Get(ctx, name, key)
	if apierrors.IsNotFound(err) { // the cache may be behind, and a key that seems deleted is not created again
		err = r.Live.Get(ctx, name, key)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading ApiKey %s: %w", name, err)
	}
	return key, nil
}

// record writes the status of a request.
func (r *Reconciler) record(ctx context.Context, facts *keyrequest.Facts, outcome keyrequest.Outcome) error {
	request := facts.Request
	before := request.DeepCopy()
	request.Status.ObservedGeneration, request.Status.State = request.Generation, outcome.State
	if facts.Review != nil {
		request.Status.Decided = facts.Review.Spec.Decided
	}
	if outcome.State == v1alpha1.KeyRequestIssued && request.Status.Key == nil {
		request.Status.Key = &v1alpha1.IssuedKey{Name: facts.Key.Name, UID: facts.Key.UID}
	}
	if outcome.Message != "" {
		set := conditions.Setter{Conditions: &request.Status.Conditions, Generation: request.Generation, Now: r.Clock.Now()}
		set.SetSummary(conditions.Summary{
			Ready: outcome.Ready, Reconciling: !outcome.Ready && outcome.Waiting, Stalled: !outcome.Ready && !outcome.Waiting,
			Reason: outcome.Reason, Message: outcome.Message,
		})
	}
	if equality.Semantic.DeepEqual(before.Status, request.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, request, patch); err != nil {
		return fmt.Errorf("recording the status of a KeyRequest: %w", err)
	}
	for _, event := range conditions.Events(before.Status.Conditions, request.Status.Conditions) {
		r.Recorder.Eventf(request, nil, event.Type, event.Reason, "Request", "%s", event.Message)
	}
	return nil
}
