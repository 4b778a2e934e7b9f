package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// deletionPatience is the longest time that a deletion waits for its enforcement. It is longer than an unresponsive
// server stays connected.
const deletionPatience = time.Minute

// logRetry is how soon a deletion looks again whether the log has its events.
const logRetry = 300 * time.Millisecond

// finalize removes the finalizer of a deleted ApiKey when every validation server refuses its key. The servers were
// notified by the deletion itself, which was published with its watch event. Errors of reading or writing never block a
// deletion for good: they are retried for as long as servers are waited for.
func (r *Reconciler) finalize(ctx context.Context, key *v1alpha1.ApiKey) (ctrl.Result, error) {
	r.pending.drop(key.UID)
	if !controllerutil.ContainsFinalizer(key, v1alpha1.FinalizerEnforcement) {
		return r.recordDeleted(ctx, key)
	}
	left := key.DeletionTimestamp.Add(deletionPatience).Sub(r.Clock.Now())
	if rekeyed, err := r.rekey(ctx, key); rekeyed || apierrors.IsConflict(err) || err != nil && left > 0 {
		return stale(err)
	}
	// Before anything that is abandoned after a while: what is deleted must not be accepted again.
	if kept, err := r.remember(ctx, key, key.Status.Versions); !kept || err != nil {
		return ctrl.Result{RequeueAfter: rememberRetry}, err
	}
	unpublished := len(key.Status.Versions) == 0
	found, err := r.gatherDeletion(ctx, key)
	if err == nil && left > 0 && !unpublished && !found.inForce() {
		var result ctrl.Result
		result, err = r.record(ctx, key, found, lifecycle.Plan(found.input, r.Clock.Now()))
		if err == nil {
			if result.RequeueAfter == 0 || result.RequeueAfter > left {
				result.RequeueAfter = left
			}
			return result, nil
		}
	}
	if err == nil && found.secret != nil { // its text is revoked: nothing may take it over, even if something keeps the Secret
		err = r.deleteSecret(ctx, found.secret)
		if apierrors.IsConflict(err) && left > -deletionPatience {
			return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
		}
	}
	if err != nil && left > 0 {
		ctrl.LoggerFrom(ctx).Error(err, "A deleted ApiKey is reconciled again")
		return ctrl.Result{RequeueAfter: min(left, conflictRetry)}, nil
	}
	if r.Log != nil && !r.Log.MayGo(ctx, key) {
		return ctrl.Result{RequeueAfter: logRetry}, nil
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "A deleted ApiKey is released; garbage collection deletes its Secret")
	}
	before := key.DeepCopy()
	controllerutil.RemoveFinalizer(key, v1alpha1.FinalizerEnforcement)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	switch err := r.Client.Patch(ctx, key, patch); {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil // it does not exist any more, and that was reported
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	if absent := slices.Concat(found.enforcement.Waiting, found.enforcement.Expired); len(absent) > 0 {
		r.event(key, true, v1alpha1.ReasonServersDisconnected, "Delete", fmt.Sprintf(
			"the key is deleted; %s will refuse it only when connected again", strings.Join(absent, ", ")))
	} else if !unpublished {
		note := "the key is deleted, and refused by every validation server"
		if latency := found.enforcement.Latency; latency > 0 {
			note += " after " + conditions.Latency(latency)
		}
		r.event(key, false, v1alpha1.ReasonEnforced, "Delete", note)
	}
	return r.recordDeleted(ctx, key)
}

// recordDeleted writes the status of a deleted ApiKey that finalizers of others keep: its key is revoked.
func (r *Reconciler) recordDeleted(ctx context.Context, key *v1alpha1.ApiKey) (ctrl.Result, error) {
	if len(key.Finalizers) == 0 {
		return ctrl.Result{}, nil // it is gone
	}
	found, err := r.gatherDeletion(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	result, err := r.record(ctx, key, found, lifecycle.Plan(found.input, r.Clock.Now()))
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	}
	return result, err
}

// gatherDeletion gathers the facts about a key that is being deleted. Of the objects that it names only its own Secret
// matters then. With an error it returns the facts that are known nevertheless.
func (r *Reconciler) gatherDeletion(ctx context.Context, key *v1alpha1.ApiKey) (*facts, error) {
	group, granted, err := cache.CachedGroupForKey(ctx, r.Client, key)
	f := &facts{input: lifecycle.Input{Key: key, Group: group, Granted: granted}}
	var unread error
	f.keys, unread = r.Seals.Keys(ctx)
	r.gatherEnforcement(key, f)
	r.gatherUsage(key, f)
	if unread != nil {
		return f, errors.Join(err, unread)
	}
	return f, errors.Join(err, r.gatherSecret(ctx, key, f))
}
