package keyrequest

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// act does what was decided. After it created an ApiKey, the outcome is that of a request that has one.
func (r *Reconciler) act(ctx context.Context, facts *keyrequest.Facts, outcome *keyrequest.Outcome) error {
	switch outcome.Action {
	case keyrequest.CreateReview:
		if err := r.Client.Create(ctx, keyrequest.NewReview(facts.Request, facts.Group)); err != nil {
			return fmt.Errorf("creating the review of a request: %w", err)
		}
	case keyrequest.DeleteReview:
		deleted, err := r.deleteReview(ctx, facts.Review)
		if err == nil && !deleted {
			outcome.Again = facts.Now.Add(logRetry)
		}
		return err
	case keyrequest.Decide:
		before := facts.Review.DeepCopy()
		facts.Review.Spec.Decision = outcome.Decision
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, facts.Review, patch); err != nil {
			return fmt.Errorf("deciding about a request: %w", err)
		}
	case keyrequest.Revoke:
		return r.revoke(ctx, facts.Key)
	case keyrequest.Mint:
		return r.mint(ctx, facts, outcome)
	case keyrequest.Nothing:
	}
	return nil
}

// mint creates the ApiKey. A crash after it is no harm: the ApiKey is found again by its owner.
func (r *Reconciler) mint(ctx context.Context, facts *keyrequest.Facts, outcome *keyrequest.Outcome) error {
	key, problem := keyrequest.Key(facts.Review, facts.Group, facts.Now)
	if problem != nil {
		outcome.Reason, outcome.Message, outcome.Waiting = v1alpha1.ReasonKeyRefused, problem.Error(), false
		return nil
	}
	if err := r.Client.Create(ctx, key); err != nil {
		return fmt.Errorf("creating ApiKey %s/%s: %w", key.Namespace, key.Name, err)
	}
	facts.Key = key
	*outcome = keyrequest.Next(facts)
	return nil
}

func (r *Reconciler) revoke(ctx context.Context, key *v1alpha1.ApiKey) error {
	before := key.DeepCopy()
	key.Spec.Revoked = ptr.To(true)
	if err := r.Client.Patch(ctx, key, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("revoking ApiKey %s/%s: %w", key.Namespace, key.Name, err)
	}
	return nil
}

// deleteReview deletes a review, unless somebody has decided meanwhile, or the log still needs it: then it has to be called again.
func (r *Reconciler) deleteReview(ctx context.Context, review *v1alpha1.KeyRequestReview) (deleted bool, err error) {
	if r.Log != nil && !r.Log.MayGo(ctx, review) {
		return false, nil
	}
	precondition := client.Preconditions(metav1.Preconditions{UID: &review.UID, ResourceVersion: &review.ResourceVersion})
	if err := r.Client.Delete(ctx, review, precondition); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("deleting the review of a request: %w", err)
	}
	return true, nil
}
