// Package denial decides how writes that something outside of Keyward denies are tried again: a quota, a policy, a missing
// right, a namespace that is being deleted. What ends a denial causes no event here, so they are tried again at a steady pace;
// and since a denial is shown where users look, it is not logged each time.
package denial

import (
	"context"
	"errors"
	"hash/fnv"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// leastRetry and mostRetry are how soon a denied write is tried again; the objects are spread between.
	leastRetry = 20 * time.Second
	mostRetry  = 30 * time.Second
	// firstBackoff is how soon an object is reconciled again after a first error of another kind.
	firstBackoff = 5 * time.Millisecond
)

// Is reports whether the API server, or admission behind it, refuses the request as it is, and would refuse it again until
// somebody acts. A conflict, a missing object, a lack of time or capacity are none.
func Is(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; code {
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusGone,
		http.StatusTooManyRequests:
		return false
	default:
		return code >= http.StatusBadRequest && code < http.StatusInternalServerError
	}
}

// IsTerminating reports whether a new object is denied because its namespace is being deleted.
func IsTerminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// Retry is how soon to try a write about the object again. It is the same for an object each time, and differs between
// objects: a quota that denies a thousand of them does not deny all in the same second.
func Retry(object types.NamespacedName) time.Duration {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(object.String())) // it never fails
	return leastRetry + time.Duration(sum.Sum64()%uint64(mostRetry-leastRetry+1))
}

// RateLimiter returns how soon a reconciler tries again after errors of other kinds: within the time that a denial takes at
// most, and not after a quarter of an hour, as by default.
func RateLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstBackoff, mostRetry)
}

// Wrap wraps a reconciler whose errors may be denials.
func Wrap(inner reconcile.Reconciler) reconcile.Reconciler { return wrapped{inner} }

type wrapped struct{ inner reconcile.Reconciler }

// Reconcile implements reconcile.Reconciler.
func (w wrapped) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := w.inner.Reconcile(ctx, request)
	switch {
	case IsTerminating(err):
		return ctrl.Result{}, nil // it is deleted with its namespace, and that is an event
	case Is(err):
		ctrl.LoggerFrom(ctx).V(1).Info("A write is denied, and tried again", "reason", err.Error())
		return Sooner(result, Retry(request.NamespacedName)), nil
	}
	return result, err
}

// Sooner is the result, with the object reconciled again after the time at the latest.
func Sooner(result ctrl.Result, after time.Duration) ctrl.Result {
	if result.RequeueAfter == 0 || result.RequeueAfter > after {
		result.RequeueAfter = after
	}
	return result
}
