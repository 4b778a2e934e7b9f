// Package trust publishes the authorities that have issued the manager's certificate, so that validation servers can trust the
// sync port without a copy that somebody makes: in a ConfigMap in each namespace that asks for it, and in a ClusterTrustBundle if
// the API server has that kind.
package trust

import (
	"bytes"
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// Publisher publishes a bundle of authorities. Publish and Published may be called at any time.
type Publisher struct {
	configMaps *configMaps
	cluster    *clusterTrustBundle
}

// Publish replaces what is published, and does not wait for it.
func (p *Publisher) Publish(bundle []byte) {
	p.configMaps.bundle.set(bundle)
	p.cluster.bundle.set(bundle)
}

// Published reports whether the bundle is in all ConfigMaps and in the ClusterTrustBundle, except where that is impossible.
func (p *Publisher) Published(ctx context.Context, bundle []byte) bool {
	return p.configMaps.published(ctx, bundle) && p.cluster.published(bundle)
}

// bundle is what is to be published, and who waits for a change of it.
type bundle struct {
	mu      sync.Mutex
	text    []byte
	changes chan event.GenericEvent
}

func newBundle() *bundle { return &bundle{changes: make(chan event.GenericEvent, 1)} }

func (b *bundle) set(text []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes.Equal(b.text, text) {
		return
	}
	b.text = bytes.Clone(text)
	select {
	case b.changes <- event.GenericEvent{Object: &metav1.PartialObjectMetadata{}}:
	default: // whoever receives the event that is waiting reads this text
	}
}

// get returns the text, which is never changed, or nil if there is none yet.
func (b *bundle) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text
}
