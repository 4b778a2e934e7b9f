package apikey

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// keySlots are the slots for keys of Groups with a limit: which keys have reserved one, and which are queued. A slot is
// reserved here before a key is minted. This keeps workers that mint at the same time, each with a cache that does not
// have the other's key yet, from minting more keys than there are slots. The cache's events keep it up to date, so
// that a queued key does not list all others.
//
// A key that has a version has a slot, even beyond the current limit. Of the queued keys the oldest are next, by
// creation and then by UID.
type keySlots struct {
	mu     sync.Mutex
	groups map[types.NamespacedName]*groupSlots
	of     map[types.NamespacedName]types.NamespacedName // the Group of a key that is known
	wake   func(key types.NamespacedName)                // nil until the controller has started
}

// groupSlots are the slots of one Group, by the names of keys.
type groupSlots struct {
	limit    int
	reserved map[types.NamespacedName]types.UID
	queued   map[types.NamespacedName]queuedKey
	excluded map[types.NamespacedName]types.UID // by the Group, which does not grant what they ask; they do not count
}

type queuedKey struct {
	created time.Time
	uid     types.UID
	name    types.NamespacedName
}

func older(a, b queuedKey) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.uid, b.uid))
}

// note records a key as it is now. It matters only if its Group has a limit.
func (p *keySlots) note(key *v1alpha1.ApiKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.groups[groupOf(key)]; of != nil {
		p.update(of, key)
	}
}

// deleted records that a key no longer exists.
func (p *keySlots) deleted(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.groups[p.of[key]]; of != nil {
		p.release(of, key)
	}
}

func (p *keySlots) update(of *groupSlots, key *v1alpha1.ApiKey) {
	name := client.ObjectKeyFromObject(key)
	uid, reserved := of.reserved[name]
	if reserved && uid != key.UID || of.excluded[name] != "" && of.excluded[name] != key.UID {
		p.release(of, name) // that was another key of the same name
		reserved = false
	}
	switch {
	case !lifecycle.Counts(key):
		p.release(of, name)
		return
	case reserved: // and kept: the cache may not have the version yet that this process mints
	case len(key.Status.Versions) > 0:
		of.reserve(name, key.UID)
	case of.excluded[name] == "":
		of.queued[name] = queuedKey{created: key.CreationTimestamp.Time, uid: key.UID, name: name}
	}
	p.of[name] = groupOf(key)
}

func (of *groupSlots) reserve(name types.NamespacedName, uid types.UID) {
	delete(of.queued, name)
	delete(of.excluded, name)
	of.reserved[name] = uid
}

// release forgets a key that no longer counts, and wakes the keys that are next.
func (p *keySlots) release(of *groupSlots, name types.NamespacedName) {
	delete(of.reserved, name)
	delete(of.queued, name)
	delete(of.excluded, name)
	delete(p.of, name)
	p.wakeNext(of)
}

// wakeNext wakes the oldest queued keys, as many as there are free slots.
func (p *keySlots) wakeNext(of *groupSlots) {
	free := min(of.limit-len(of.reserved), len(of.queued))
	if free <= 0 || p.wake == nil {
		return
	}
	for _, w := range slices.SortedFunc(maps.Values(of.queued), older)[:free] {
		p.wake(w.name)
	}
}

// reserve reserves a slot for the key, and reports whether it has one: there has to be a free slot that no older key
// is entitled to. The keys of the Group are listed at its first call.
func (p *keySlots) reserve(key *v1alpha1.ApiKey, limit int, list func() ([]v1alpha1.ApiKey, error)) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.groups[groupOf(key)]
	if of == nil {
		keys, err := list()
		if err != nil {
			return false, err
		}
		of = &groupSlots{reserved: map[types.NamespacedName]types.UID{}, queued: map[types.NamespacedName]queuedKey{},
			excluded: map[types.NamespacedName]types.UID{}}
		if p.groups == nil {
			p.groups, p.of = map[types.NamespacedName]*groupSlots{}, map[types.NamespacedName]types.NamespacedName{}
		}
		for i := range keys {
			p.update(of, &keys[i])
		}
		p.groups[groupOf(key)] = of
	}
	name := client.ObjectKeyFromObject(key)
	of.limit = limit
	delete(of.excluded, name)
	p.update(of, key)
	if _, reserved := of.reserved[name]; reserved {
		return true, nil
	}
	free, self := limit-len(of.reserved), of.queued[name]
	for _, other := range of.queued {
		if free <= 0 {
			break
		}
		if older(other, self) < 0 {
			free--
		}
	}
	if free <= 0 {
		return false, nil
	}
	of.reserve(name, key.UID)
	return true, nil
}

// exclude is for a key whose Group does not grant what it asks: keys of a namespace that the Group does not admit must
// not use up its slots.
func (p *keySlots) exclude(key *v1alpha1.ApiKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of, name := p.groups[groupOf(key)], client.ObjectKeyFromObject(key)
	if of == nil || of.excluded[name] == key.UID {
		return
	}
	p.release(of, name)
	of.excluded[name], p.of[name] = key.UID, groupOf(key)
}

// forget is for a Group that has no limit, or no longer exists.
func (p *keySlots) forget(group types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.groups, group)
}

func groupOf(key *v1alpha1.ApiKey) types.NamespacedName {
	return cache.GroupName(key.Spec.GroupRef, key.Namespace)
}

// gatherSlot reserves a slot for a key that is about to get its first version. A version that is restored from its
// Secret is not minted, and needs none.
func (r *Reconciler) gatherSlot(ctx context.Context, key *v1alpha1.ApiKey, f *facts) error {
	if len(key.Status.Versions) > 0 || !lifecycle.Counts(key) {
		return nil
	}
	if f.input.Group == nil {
		r.slots.forget(groupOf(key))
		return nil
	}
	resolution := r.Tiers.Resolve(f.input.Group)
	limit := resolution.Keys()
	if limit == nil {
		r.slots.forget(groupOf(key))
		return nil
	}
	if granted := f.input.Problem == nil; !granted {
		r.slots.exclude(key)
		return nil
	}
	has, err := r.slots.reserve(key, int(*limit), func() ([]v1alpha1.ApiKey, error) {
		return cache.CachedKeys(ctx, r.Client, groupOf(key))
	})
	if err == nil && !has {
		f.input.NoSlot = grant.KeyLimitReached(f.input.Group, *limit)
	}
	return err
}

// followSlots keeps the slots up to date with the cache, before a key is reconciled. A raised limit reaches all keys with
// the Group's change.
func (r *Reconciler) followSlots() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	note := func(object client.Object) {
		if key, ok := object.(*v1alpha1.ApiKey); ok {
			r.slots.note(key)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ queue) { note(e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) { note(e.ObjectNew) },
	}
}

// freedSlots reconciles the keys that are next when a slot becomes free.
func (r *Reconciler) freedSlots() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.slots.mu.Lock()
		defer r.slots.mu.Unlock()
		r.slots.wake = func(key types.NamespacedName) { queue.Add(reconcile.Request{NamespacedName: key}) }
		return nil
	})
}
