package revoked

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

const (
	// Label is on the Secrets of the memory.
	Label = "keyward.dev/memory"
	// LabelValue is its value.
	LabelValue = "revoked"

	namePrefix  = "keyward-revoked-"
	entriesData = "entries"
	secretType  = "keyward.dev/revoked"
	listPage    = 50
)

var failures = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "keyward_revoked_memory_errors_total",
	Help: "Failed writes of digests of revoked keys into Secrets of the manager's namespace; each is tried again.",
})

func init() { metrics.Registry.MustRegister(failures) }

// load reads what is kept, unless it is loaded. Pending entries stay pending. The caller holds the lock.
func (m *Memory) load(ctx context.Context) error {
	if m.loaded {
		return nil
	}
	if m.pending == nil {
		m.pending = map[id]fact{}
	}
	if m.limiter == nil {
		m.limiter = rate.NewLimiter(writesPerSecond, 1)
	}
	m.shards, m.facts = nil, map[id]fact{}
	list := &corev1.SecretList{}
	for {
		err := m.Reader.List(ctx, list, client.InNamespace(m.Namespace), client.MatchingLabels{Label: LabelValue},
			client.Limit(listPage), client.Continue(list.Continue))
		if err != nil {
			return fmt.Errorf("reading which keys were revoked: %w", err)
		}
		for i := range list.Items {
			if err := m.take(&list.Items[i]); err != nil {
				return err
			}
		}
		if list.Continue == "" {
			break
		}
	}
	m.loaded = true
	return nil
}

func (m *Memory) take(secret *corev1.Secret) error {
	s := &shard{name: secret.Name, version: secret.ResourceVersion}
	err := decode(secret.Data[entriesData], func(of id, f fact) {
		s.ids = append(s.ids, of)
		if have, is := m.facts[of]; is {
			f = f.with(have)
		}
		m.facts[of] = f
	})
	if err != nil {
		return fmt.Errorf("reading which keys were revoked: entry %q of Secret %s/%s is %w; "+
			"restore it from a backup, or delete the Secret, which forgets the keys in it",
			entriesData, m.Namespace, secret.Name, err)
	}
	m.shards = append(m.shards, s)
	return nil
}

// save writes a shard without its expired entries; if none is left, it deletes the Secret. The caller holds the lock.
func (m *Memory) save(ctx context.Context, s *shard) error {
	now := m.Clock.Now()
	s.ids = slices.DeleteFunc(s.ids, func(of id) bool {
		gone := m.facts[of].expired(now)
		if gone {
			delete(m.facts, of)
		}
		return gone
	})
	before := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: s.name, ResourceVersion: s.version}}
	secret := before.DeepCopy()
	secret.Type = secretType
	secret.Data = map[string][]byte{entriesData: encode(s.ids, m.facts)}
	var err error
	switch {
	case s.name == "":
		secret.GenerateName = namePrefix
		secret.Labels = map[string]string{"app.kubernetes.io/name": "keyward", "app.kubernetes.io/component": "manager", Label: LabelValue}
		err = m.Client.Create(ctx, secret)
	case len(s.ids) == 0:
		err = client.IgnoreNotFound(m.Client.Delete(ctx, before, client.Preconditions{ResourceVersion: &s.version}))
		secret = &corev1.Secret{}
	default:
		secret.Type = ""
		err = m.Client.Patch(ctx, secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	}
	if err != nil {
		return fmt.Errorf("writing which keys were revoked: %w", err)
	}
	s.name, s.version, s.dirty = secret.Name, secret.ResourceVersion, false
	return nil
}
