package billing

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Release lets go of all GroupUsages, where nothing is billed any more.
type Release struct {
	Cluster *Cluster
	Clock   clock.WithTicker
	Log     logr.Logger
	// RetryInterval is the time between attempts.
	RetryInterval time.Duration
}

// NeedLeaderElection is true.
func (r *Release) NeedLeaderElection() bool { return true }

// Start lets go of GroupUsages once. While the API server refuses that, it tries again: no manager ends for it.
func (r *Release) Start(ctx context.Context) error {
	ticker := r.Clock.NewTicker(r.RetryInterval)
	defer ticker.Stop()
	for {
		err := r.release(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			r.Log.Error(err, "Cannot remove the finalizers of billing from GroupUsages; trying again")
		}
	}
}

func (r *Release) release(ctx context.Context) error {
	return r.Cluster.eachHeld(ctx, func(usage *metav1.PartialObjectMetadata) error {
		usage.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupUsage"))
		return r.Cluster.setHold(ctx, usage, false)
	})
}
