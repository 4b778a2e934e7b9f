package billing

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Release lets go of all GroupUsages, where nothing is billed any more.
type Release struct {
	Cluster *Cluster
	// Namespaces to look in; in all if there are none.
	Namespaces []string
	Clock      clock.WithTicker
	Log        logr.Logger
}

// NeedLeaderElection is true.
func (r *Release) NeedLeaderElection() bool { return true }

// Start lets go of GroupUsages once. While the API server refuses that, it tries again: no manager ends for it.
func (r *Release) Start(ctx context.Context) error {
	ticker := r.Clock.NewTicker(lookInterval)
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
	namespaces := r.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupUsageList"))
		for page := true; page; page = list.Continue != "" {
			err := r.Cluster.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(list.Continue))
			if err != nil {
				return fmt.Errorf("listing GroupUsages: %w", err)
			}
			if err := r.releaseAll(ctx, list.Items); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Release) releaseAll(ctx context.Context, usages []metav1.PartialObjectMetadata) error {
	for i := range usages {
		if !slices.Contains(usages[i].Finalizers, v1alpha1.FinalizerBilling) {
			continue
		}
		usages[i].SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GroupUsage"))
		if err := r.Cluster.setHold(ctx, &usages[i], false); err != nil {
			return err
		}
	}
	return nil
}
