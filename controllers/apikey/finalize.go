package apikey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/apikey/lifecycle"
	"github.com/keyward-dev/keyward/controllers/conditions"
)

// deletionPatience bounds how long a deletion waits for its enforcement. It is longer than
// a server that does not answer stays connected.
const deletionPatience = time.Minute

// finalize lets a deleted ApiKey go when every validation server refuses its key. The
// deletion itself is what tells them: it was published with the watch event.
func (r *Reconciler) finalize(ctx context.Context, key *v1alpha1.ApiKey) (ctrl.Result, error) {
	r.held.drop(key.UID)
	if !controllerutil.ContainsFinalizer(key, v1alpha1.FinalizerEnforcement) {
		return ctrl.Result{}, nil
	}
	if rekeyed, err := r.rekey(ctx, key); rekeyed || err != nil {
		return stale(err)
	}
	// Before anything that can fail: what is deleted does not come back.
	if kept, err := r.remember(ctx, key, key.Status.Versions); !kept || err != nil {
		return ctrl.Result{RequeueAfter: rememberRetry}, err
	}
	found, err := r.gather(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	left := key.DeletionTimestamp.Add(deletionPatience).Sub(now)
	unpublished := len(key.Status.Versions) == 0
	if !found.input.Published && !unpublished && left > 0 {
		result, err := r.record(ctx, key, found, lifecycle.Plan(found.input, now))
		if result.RequeueAfter == 0 || result.RequeueAfter > left {
			result.RequeueAfter = left
		}
		return result, err
	}
	if found.secret != nil { // its text is revoked: nothing may take it over, whatever keeps it
		if err := r.conceal(ctx, found.secret); apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: conditions.StaleRetry}, nil
		} else if err != nil {
			return ctrl.Result{}, err
		}
	}
	before := key.DeepCopy()
	controllerutil.RemoveFinalizer(key, v1alpha1.FinalizerEnforcement)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	switch err := r.Client.Patch(ctx, key, patch); {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil // it is gone, and that was said
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	if absent := slices.Concat(found.enforcement.Waiting, found.enforcement.Lost); len(absent) > 0 {
		r.event(key, true, v1alpha1.ReasonServersLost, "Delete", fmt.Sprintf(
			"the key is deleted; %s will refuse it only when connected again", strings.Join(absent, ", ")))
	} else if !unpublished {
		note := "the key is deleted, and refused by every validation server"
		if latency := found.enforcement.Latency; latency > 0 {
			note += " after " + conditions.Latency(latency)
		}
		r.event(key, false, v1alpha1.ReasonEnforced, "Delete", note)
	}
	return ctrl.Result{}, nil
}
