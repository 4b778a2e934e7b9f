package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/controllers/cache"
)

// leaseName names the Lease that the leader holds.
const leaseName = "keyward-manager"

// renewDeadline is the default of controller-runtime. The client of the Lease uses it for its timeout.
const renewDeadline = 10 * time.Second

// leaseLock returns the lock of the Lease for the identity. A replica that finds the Lease held by its own identity leads at
// once: a restarted container does not wait until the Lease from before its restart expires. Without election or identity
// it returns nil, with which controller-runtime makes a lock with a random identity.
func leaseLock(config *rest.Config, options Options, events resourcelock.EventRecorder) (resourcelock.Interface, error) {
	if !options.LeaderElect || options.Identity == "" {
		return nil, nil //nolint:nilnil // controller-runtime makes its own then
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, options.Namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: options.Identity, EventRecorder: events}, rest.AddUserAgent(config, "leader-election"), renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("making the Lease's client: %w", err)
	}
	return lock, nil
}

// eventSource names the manager in its events.
const eventSource = "keyward"

// leaseEvents records who leads, as events about the Lease. The lock is made before the manager, which has the recorder.
type leaseEvents struct{ recorder events.EventRecorder }

// Eventf implements resourcelock.EventRecorder.
func (l *leaseEvents) Eventf(lease runtime.Object, kind, reason, message string, args ...any) {
	l.recorder.Eventf(lease, nil, kind, reason, "Elect", message, args...)
}

// cacheWarmer has every replica cache the kinds that only the leader uses; the webhooks and the indexes cache the others
// anyway. A replica that becomes the leader then has them already. Nothing waits for it.
type cacheWarmer struct{ cache ctrlcache.Cache }

// NeedLeaderElection is false: it is for replicas that do not lead yet.
func (cacheWarmer) NeedLeaderElection() bool { return false }

// Start starts the informers.
func (w cacheWarmer) Start(ctx context.Context) error {
	for _, object := range []client.Object{&corev1.Secret{}, cache.NamespaceMetadata()} {
		if _, err := w.cache.GetInformer(ctx, object, ctrlcache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
	}
	return nil
}
