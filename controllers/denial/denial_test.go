package denial_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/controllers/denial"
)

var secrets = schema.GroupResource{Resource: "secrets"}

func terminating() error {
	err := apierrors.NewForbidden(secrets, "web", errors.New("the namespace is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

func TestWrap(t *testing.T) {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "acme", Name: "web"}}
	for name, c := range map[string]struct {
		err           error
		retry, failed bool
	}{
		"a quota":                      {err: apierrors.NewForbidden(secrets, "web", errors.New("exceeded quota")), retry: true},
		"a policy":                     {err: apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "web", nil), retry: true},
		"a webhook with its own code":  {err: apierrors.NewGenericServerResponse(418, "create", secrets, "web", "no", 0, true), retry: true},
		"a denial beside another":      {err: errors.Join(errors.New("another"), apierrors.NewBadRequest("no")), retry: true},
		"a namespace that is deleted":  {err: fmt.Errorf("writing: %w", terminating())},
		"a conflict":                   {err: apierrors.NewConflict(secrets, "web", errors.New("changed")), failed: true},
		"an API server without time":   {err: apierrors.NewServerTimeout(secrets, "create", 1), failed: true},
		"an API server that is busy":   {err: apierrors.NewTooManyRequests("later", 1), failed: true},
		"an API server that is broken": {err: apierrors.NewInternalError(errors.New("etcd")), failed: true},
		"no answer":                    {err: errors.New("connection refused"), failed: true},
		"success":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			inner := reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) { return reconcile.Result{}, c.err })
			result, err := denial.Wrap(inner).Reconcile(t.Context(), request)
			if (err != nil) != c.failed {
				t.Errorf("error %v", err)
			}
			if retry := result.RequeueAfter; (retry > 0) != c.retry || retry > 30*time.Second {
				t.Errorf("again after %v", retry)
			}
		})
	}
}

// TestRetriesAreSpread: a thousand denied objects are not tried again at once, each keeps its pace, and none waits for more
// than 30 seconds.
func TestRetriesAreSpread(t *testing.T) {
	seconds := map[time.Duration]int{}
	for i := range 1000 {
		name := types.NamespacedName{Namespace: "acme", Name: fmt.Sprint(i)}
		after := denial.Retry(name)
		if after != denial.Retry(name) || after < 20*time.Second || after > 30*time.Second {
			t.Fatalf("%s: again after %v", name, after)
		}
		seconds[after.Truncate(time.Second)]++
	}
	for second, n := range seconds {
		if n > 200 {
			t.Errorf("%d of 1000 are tried again after %v", n, second)
		}
	}
}

func TestRateLimiter(t *testing.T) {
	limiter, request := denial.RateLimiter(), reconcile.Request{}
	for range 100 {
		if after := limiter.When(request); after > 30*time.Second {
			t.Fatalf("again after %v", after)
		}
	}
}
