package e2e

import (
	"context"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// checkedServer is a server that verifies a key.
type checkedServer interface {
	verify(ctx context.Context, key string) (code string, err error)
}

// fleetChecker sends each key to all servers at the moment when its Secret appears.
type fleetChecker struct {
	world  *world
	watch  watch.Interface
	done   chan struct{}
	checks sync.WaitGroup

	// membership is locked for reading while servers are queried, and for writing to change servers.
	membership sync.RWMutex
	servers    map[string]checkedServer

	mu       sync.Mutex
	keys     map[string]string // by name
	answers  int
	refusals []string
}

// checkFleet watches the Secrets of the namespace.
func (w *world) checkFleet(servers map[string]checkedServer) *fleetChecker {
	w.t.Helper()
	secrets, err := w.admin.Watch(w.ctx, &corev1.SecretList{}, client.InNamespace(w.namespace),
		client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	if err != nil {
		w.t.Fatal(err)
	}
	f := &fleetChecker{world: w, watch: secrets, done: make(chan struct{}), servers: maps.Clone(servers), keys: map[string]string{}}
	go func() {
		defer close(f.done)
		for event := range secrets.ResultChan() {
			if secret, ok := event.Object.(*corev1.Secret); ok && event.Type == watch.Added {
				f.check(secret.Name, string(secret.Data[v1alpha1.SecretKeyAPIKey]))
			}
		}
	}()
	w.t.Cleanup(secrets.Stop)
	return f
}

// check sends the key to all servers at once.
func (f *fleetChecker) check(name, key string) {
	f.mu.Lock()
	f.keys[name] = key
	f.mu.Unlock()
	f.membership.RLock()
	var pending sync.WaitGroup
	for instance, checkedServer := range f.servers {
		pending.Go(func() {
			code, err := checkedServer.verify(f.world.ctx, key)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.answers++
			if err != nil || code != "allowed" {
				f.refusals = append(f.refusals, fmt.Sprintf("%s about %s: %s (%v)", instance, name, code, err))
			}
		})
	}
	f.checks.Go(func() {
		pending.Wait()
		f.membership.RUnlock()
	})
}

// remove removes a server, after its pending responses.
func (f *fleetChecker) remove(instance string) {
	f.membership.Lock()
	defer f.membership.Unlock()
	delete(f.servers, instance)
}

// awaitSecrets waits until n Secrets have appeared.
func (f *fleetChecker) awaitSecrets(n int) {
	f.world.t.Helper()
	eventually(f.world.t, fmt.Sprintf("%d Secrets", n), 2*patience, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.keys) < n {
			return fmt.Errorf("there are %d", len(f.keys))
		}
		return nil
	})
}

// finish ends the watch and returns how many responses there were, and which keys were not allowed.
func (f *fleetChecker) finish() (answers int, refusals []string) {
	f.watch.Stop()
	<-f.done
	f.checks.Wait()
	return f.answers, f.refusals
}
