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

// juror is a server that can be asked about a key.
type juror interface {
	verify(ctx context.Context, key string) (code string, err error)
}

// jury are servers that are asked about each key at the moment when its Secret appears.
type jury struct {
	world *world
	watch watch.Interface
	done  chan struct{}
	cases sync.WaitGroup

	// sitting is held for reading by whoever asks, and for writing to change the jurors.
	sitting sync.RWMutex
	jurors  map[string]juror

	mu       sync.Mutex
	keys     map[string]string // by name
	answers  int
	refusals []string
}

// summon watches the Secrets of the namespace.
func (w *world) summon(jurors map[string]juror) *jury {
	w.t.Helper()
	secrets, err := w.admin.Watch(w.ctx, &corev1.SecretList{}, client.InNamespace(w.namespace), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	if err != nil {
		w.t.Fatal(err)
	}
	j := &jury{world: w, watch: secrets, done: make(chan struct{}), jurors: maps.Clone(jurors), keys: map[string]string{}}
	go func() {
		defer close(j.done)
		for event := range secrets.ResultChan() {
			if secret, ok := event.Object.(*corev1.Secret); ok && event.Type == watch.Added {
				j.hear(secret.Name, string(secret.Data[v1alpha1.SecretKeyAPIKey]))
			}
		}
	}()
	w.t.Cleanup(secrets.Stop)
	return j
}

// hear asks all jurors at once.
func (j *jury) hear(name, key string) {
	j.mu.Lock()
	j.keys[name] = key
	j.mu.Unlock()
	j.sitting.RLock()
	var asked sync.WaitGroup
	for instance, juror := range j.jurors {
		asked.Go(func() {
			code, err := juror.verify(j.world.ctx, key)
			j.mu.Lock()
			defer j.mu.Unlock()
			j.answers++
			if err != nil || code != "allowed" {
				j.refusals = append(j.refusals, fmt.Sprintf("%s about %s: %s (%v)", instance, name, code, err))
			}
		})
	}
	j.cases.Go(func() {
		asked.Wait()
		j.sitting.RUnlock()
	})
}

// release lets a juror go, once it has answered what it was asked.
func (j *jury) release(instance string) {
	j.sitting.Lock()
	defer j.sitting.Unlock()
	delete(j.jurors, instance)
}

// awaitSecrets waits until so many Secrets have appeared.
func (j *jury) awaitSecrets(n int) {
	j.world.t.Helper()
	eventually(j.world.t, fmt.Sprintf("%d Secrets", n), 2*patience, func() error {
		j.mu.Lock()
		defer j.mu.Unlock()
		if len(j.keys) < n {
			return fmt.Errorf("there are %d", len(j.keys))
		}
		return nil
	})
}

// dismiss ends the watch and returns how many answers there were, and what was not allowed.
func (j *jury) dismiss() (answers int, refusals []string) {
	j.watch.Stop()
	<-j.done
	j.cases.Wait()
	return j.answers, j.refusals
}
