package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/controllers/cache"
)

// leaseName is the Lease that the leader holds.
const leaseName = "keyward-manager"

// renewDeadline is controller-runtime's own, by which the client of the Lease has its timeout.
const renewDeadline = 10 * time.Second

// leaseLock is the Lease, as held by the identity. Who finds the Lease held by itself goes on leading at
// once: a container that is restarted does not wait until the Lease of its own past has run out.
// It is nil, for a lock with a random identity, where there is no election or no identity.
func leaseLock(config *rest.Config, options Options) (resourcelock.Interface, error) {
	if !options.LeaderElect || options.Identity == "" {
		return nil, nil //nolint:nilnil // controller-runtime makes its own then
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, options.Namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: options.Identity}, rest.AddUserAgent(config, "leader-election"), renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("making the Lease's client: %w", err)
	}
	return lock, nil
}

// warmth has every replica read what only the leader works with, besides what the webhooks and the
// indexes read anyway: one that takes over has it already. Nobody waits for it.
type cacheWarmer struct{ cache ctrlcache.Cache }

// NeedLeaderElection is false: it is for replicas that do not lead yet.
func (cacheWarmer) NeedLeaderElection() bool { return false }

// Start begins to read.
func (w cacheWarmer) Start(ctx context.Context) error {
	for _, object := range []client.Object{&corev1.Secret{}, cache.NamespaceMetadata()} {
		if _, err := w.cache.GetInformer(ctx, object, ctrlcache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
	}
	return nil
}
