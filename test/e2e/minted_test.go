package e2e

import (
	"context"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// minted has all keys that were ever in a Secret.
type minted struct {
	mu   sync.Mutex
	keys map[string]string // by plaintext: the Secret
}

func collectKeys(ctx context.Context, core kubernetes.Interface) (*minted, error) {
	m := &minted{keys: map[string]string{}}
	return m, m.follow(ctx, core)
}

// follow adds the keys of a cluster, from now on.
func (m *minted) follow(ctx context.Context, core kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(core, 0, informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.LabelSelector = v1alpha1.LabelManagedBy + "=" + v1alpha1.ManagedBy
	}))
	_, err := factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    m.note,
		UpdateFunc: func(_, object any) { m.note(object) },
	})
	factory.StartWithContext(ctx)
	return err
}

func (m *minted) note(object any) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return
	}
	if key := string(secret.Data[v1alpha1.SecretKeyAPIKey]); key != "" {
		m.add(key, secret.Namespace+"/"+secret.Name)
	}
}

// add adds a text that must be found as little as a key, and says where it is from.
func (m *minted) add(text, from string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[text] = from
}

// all returns the keys, and the Secret that each was in.
func (m *minted) all() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.keys)
}
