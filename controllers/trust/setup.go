package trust

import (
	"crypto/sha256"
	"fmt"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Options say where to publish.
type Options struct {
	// Namespace of the manager.
	Namespace string
	// Watches reports whether the manager watches a namespace; it has no rights in others.
	Watches  func(namespace string) bool
	Recorder events.EventRecorder
	Clock    clock.WithTicker
}

// Add adds a publisher to the manager.
func Add(mgr ctrl.Manager, options Options) (*Publisher, error) {
	p := &Publisher{
		configMaps: &configMaps{
			client: mgr.GetClient(), recorder: options.Recorder, namespace: options.Namespace, watches: options.Watches,
			bundle: newBundle(), attempted: map[string][sha256.Size]byte{},
		},
		cluster: &clusterTrustBundle{
			client: mgr.GetClient(), reader: mgr.GetAPIReader(), bundle: newBundle(), clock: options.Clock,
		},
	}
	if err := p.configMaps.setup(mgr); err != nil {
		return nil, fmt.Errorf("adding the controller of ConfigMaps: %w", err)
	}
	if err := mgr.Add(p.cluster); err != nil {
		return nil, fmt.Errorf("adding the publisher of the ClusterTrustBundle: %w", err)
	}
	return p, nil
}
