package quota

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	keywardcache "github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// KeyFollower passes the quotas of ApiKeys to an Aggregator as they change.
//
// mu guards quotas and foreign. The Aggregator's lock is taken under it. Both have keys with a quota only: foreign has those in other
// namespaces than that of their group, by group.
type KeyFollower struct {
	Aggregator *Aggregator
	Cache      cache.Cache
	// Deleted, where set, is called with each ApiKey with a quota that was deleted, by group and id. It must not block.
	Deleted func(group types.NamespacedName, id string)

	mu      sync.Mutex
	quotas  map[types.NamespacedName]*keyQuotas
	foreign map[types.NamespacedName]map[types.NamespacedName]struct{}
}

// NeedLeaderElection is true: only the leader leases.
func (f *KeyFollower) NeedLeaderElection() bool { return true }

// Start follows until the context ends.
func (f *KeyFollower) Start(ctx context.Context) error {
	f.mu.Lock()
	f.quotas = map[types.NamespacedName]*keyQuotas{}
	f.foreign = map[types.NamespacedName]map[types.NamespacedName]struct{}{}
	f.mu.Unlock()
	keys, err := f.Cache.GetInformer(ctx, &v1alpha1.ApiKey{})
	if err != nil {
		return fmt.Errorf("watching ApiKeys: %w", err)
	}
	groups, err := f.Cache.GetInformer(ctx, &v1alpha1.Group{})
	if err != nil {
		return fmt.Errorf("watching Groups: %w", err)
	}
	set := func(object any) {
		if key, ok := object.(*v1alpha1.ApiKey); ok {
			f.set(ctx, key)
		}
	}
	ofKeys, err := keys.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, object any) { set(object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			if key, ok := object.(*v1alpha1.ApiKey); ok {
				f.forget(key)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watching ApiKeys: %w", err)
	}
	again := func(object any) {
		if group, ok := object.(*v1alpha1.Group); ok {
			f.admitAgain(ctx, client.ObjectKeyFromObject(group))
		}
	}
	ofGroups, err := groups.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: again, UpdateFunc: func(_, object any) { again(object) },
	})
	if err != nil {
		return fmt.Errorf("watching Groups: %w", err)
	}
	if toolscache.WaitForCacheSync(ctx.Done(), ofKeys.HasSynced) {
		f.Aggregator.KeysRead()
	}
	<-ctx.Done()
	if err := groups.RemoveEventHandler(ofGroups); err != nil {
		return err
	}
	return keys.RemoveEventHandler(ofKeys)
}

// set passes on the quota of a key. A key that is not accepted any more has none, nor has one of a namespace that the group does not
// admit: it must not take the place of another.
func (f *KeyFollower) set(ctx context.Context, key *v1alpha1.ApiKey) {
	if key.Status.KeyID == "" {
		return // it is not published yet
	}
	var requests *uint64
	if of := key.Spec.Limits.RequestsPerMonth; of != nil && *of >= 0 && lifecycle.Counts(key) {
		requests = new(uint64(*of))
	}
	group, name := groupOf(key), client.ObjectKeyFromObject(key)
	if requests != nil && group.Namespace != key.Namespace && !f.admits(ctx, key) {
		f.remember(group, name, true)
		requests = nil
	} else {
		f.remember(group, name, requests != nil && group.Namespace != key.Namespace)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(ctx, group, key, requests)
}

// put replaces or removes the quota of a key. The caller holds the lock.
func (f *KeyFollower) put(ctx context.Context, group types.NamespacedName, key *v1alpha1.ApiKey, requests *uint64) {
	quotas := f.quotas[group]
	if quotas == nil {
		if requests == nil {
			return
		}
		quotas = &keyQuotas{}
		f.quotas[group] = quotas
	}
	quotas.set(key.Status.KeyID, key.CreationTimestamp.Time, requests, f.changed(ctx, group))
	if len(*quotas) == 0 {
		delete(f.quotas, group)
	}
}

func (f *KeyFollower) changed(ctx context.Context, group types.NamespacedName) func(id string, requests *uint64) {
	return func(id string, requests *uint64) {
		f.Aggregator.SetKeyLimit(group.String(), id, requests)
		if requests != nil && *requests == 0 && len(*f.quotas[group]) > v1alpha1.MaxKeyQuotas {
			logf.FromContext(ctx).Info("More keys of a Group have a quota of their own than may have one: the quota of those that were created last is 0",
				"group", group.String(), "key", id, "most", v1alpha1.MaxKeyQuotas)
		}
	}
}

func groupOf(key *v1alpha1.ApiKey) types.NamespacedName {
	return keywardcache.GroupName(key.Spec.GroupRef, key.Namespace)
}

func (f *KeyFollower) admits(ctx context.Context, key *v1alpha1.ApiKey) bool {
	_, _, problems, err := keywardcache.CachedGroupForKeyWithProblems(ctx, f.Cache, key)
	return err == nil && problems.Admitted()
}

// remember records whether a key with a quota is in another namespace than its group.
func (f *KeyFollower) remember(group, key types.NamespacedName, foreign bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.foreign[group]
	switch {
	case foreign && all == nil:
		f.foreign[group] = map[types.NamespacedName]struct{}{key: {}}
	case foreign:
		all[key] = struct{}{}
	case len(all) > 0:
		if delete(all, key); len(all) == 0 {
			delete(f.foreign, group)
		}
	}
}

// admitAgain finds out which keys of other namespaces a group admits after it has changed. If its namespaces have, their keys have.
func (f *KeyFollower) admitAgain(ctx context.Context, group types.NamespacedName) {
	f.mu.Lock()
	names := make([]types.NamespacedName, 0, len(f.foreign[group]))
	for name := range f.foreign[group] {
		names = append(names, name)
	}
	f.mu.Unlock()
	for _, name := range names {
		if key, err := keywardcache.CachedKey(ctx, f.Cache, name); err == nil {
			f.set(ctx, key)
		}
	}
}

func (f *KeyFollower) forget(key *v1alpha1.ApiKey) {
	group, id := groupOf(key), key.Status.KeyID
	f.remember(group, client.ObjectKeyFromObject(key), false)
	f.mu.Lock()
	f.put(context.Background(), group, key, nil)
	f.mu.Unlock()
	f.Aggregator.ForgetKey(group.String(), id)
	if f.Deleted != nil && key.Spec.Limits.RequestsPerMonth != nil && id != "" {
		f.Deleted(group, id)
	}
}
