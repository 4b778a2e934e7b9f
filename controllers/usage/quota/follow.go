package quota

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Follower passes the limits of Groups to an Aggregator as they change.
type Follower struct {
	Aggregator *Aggregator
	Cache      cache.Cache
}

// NeedLeaderElection is true: only the leader leases.
func (f *Follower) NeedLeaderElection() bool { return true }

// Start follows until the context ends.
func (f *Follower) Start(ctx context.Context) error {
	informer, err := f.Cache.GetInformer(ctx, &v1alpha1.Group{})
	if err != nil {
		return fmt.Errorf("watching Groups: %w", err)
	}
	set := func(object any) {
		if group, ok := object.(*v1alpha1.Group); ok {
			f.Aggregator.SetLimits(client.ObjectKeyFromObject(group).String(), LimitsOf(group))
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if group, ok := object.(*v1alpha1.Group); ok {
				f.Aggregator.Forget(client.ObjectKeyFromObject(group).String())
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching Groups: %w", err)
	}
	<-ctx.Done()
	return informer.RemoveEventHandler(registration)
}
