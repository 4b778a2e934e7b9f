package store

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

const (
	// collectEvery is how often all KeyUsages are looked at, beside those of which the manager sees the ApiKey being deleted.
	collectEvery = 24 * time.Hour
	collectAgain = time.Minute
)

// Collector deletes the KeyUsages of ApiKeys that were deleted.
type Collector struct {
	objects    *Objects
	namespaces []string
	queue      workqueue.TypedDelayingInterface[types.NamespacedName]
}

// Collect returns a Collector for KeyUsages in these namespaces, or in all if there are none. The caller starts it.
func Collect(objects *Objects, namespaces []string) *Collector {
	return &Collector{objects, namespaces, workqueue.NewTypedDelayingQueue[types.NamespacedName]()}
}

// all is in the queue for all KeyUsages.
var all types.NamespacedName

// Deleted has the KeyUsage of a key that was deleted looked at.
func (c *Collector) Deleted(group types.NamespacedName, id string) {
	c.queue.Add(types.NamespacedName{Namespace: group.Namespace, Name: id})
}

// NeedLeaderElection is true: only the leader writes KeyUsages.
func (c *Collector) NeedLeaderElection() bool { return true }

// Start works until the context ends.
func (c *Collector) Start(ctx context.Context) error {
	defer context.AfterFunc(ctx, c.queue.ShutDown)()
	c.queue.Add(all)
	for {
		name, over := c.queue.Get()
		if over {
			return nil
		}
		err := c.collect(ctx, name)
		switch {
		case err != nil && ctx.Err() == nil:
			logf.FromContext(ctx).Error(err, "KeyUsages of deleted ApiKeys are left; it will be tried again")
			c.queue.AddAfter(name, collectAgain)
		case name == all:
			c.queue.AddAfter(name, collectEvery)
		}
		c.queue.Done(name)
	}
}

func (c *Collector) collect(ctx context.Context, name types.NamespacedName) error {
	if name == all {
		var failed error
		err := c.objects.EachKey(ctx, c.namespaces, func(usage *v1alpha1.KeyUsage) {
			if err := c.objects.Collect(ctx, usage); err != nil {
				failed = err
			}
		})
		if err != nil {
			return err
		}
		return failed
	}
	usage := &v1alpha1.KeyUsage{}
	switch err := c.objects.Reader.Get(ctx, name, usage); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading a KeyUsage: %w", err)
	}
	return c.objects.Collect(ctx, usage)
}
