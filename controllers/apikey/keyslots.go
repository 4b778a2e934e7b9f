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

// places knows, of Groups with a limit, which keys have a place and which wait for one. It is
// what keeps workers that mint at the same time, each with a cache that does not have the
// other's key yet, from minting more than there are places: a place is taken here first. It is
// fed by the cache's events, so that a key that waits costs no listing of all others.
//
// A key that has a version has a place, whatever the limit is now. Of those that wait the
// oldest are next, by creation and then by UID.
type keySlots struct {
	mu     sync.Mutex
	groups map[types.NamespacedName]*groupSlots
	of     map[types.NamespacedName]types.NamespacedName // the Group of a key that is known
	wake   func(key types.NamespacedName)                // nil until the controller has started
}

// placesOf are those of one Group, by the names of keys.
type groupSlots struct {
	limit    int
	reserved map[types.NamespacedName]types.UID
	queued   map[types.NamespacedName]queuedKey
	excluded map[types.NamespacedName]types.UID // by the Group: they are not its keys to count
}

type queuedKey struct {
	created time.Time
	uid     types.UID
	name    types.NamespacedName
}

func older(a, b queuedKey) int {
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.uid, b.uid))
}

// note takes note of a key as it is. It matters only where its Group has a limit.
func (p *keySlots) note(key *v1alpha1.ApiKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.groups[groupOf(key)]; of != nil {
		p.update(of, key)
	}
}

// lost takes note of a key that is gone.
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
		p.release(of, name) // that was another of the same name
		reserved = false
	}
	switch {
	case !lifecycle.Counts(key):
		p.release(of, name)
		return
	case reserved: // for good: that this process mints it may not be in the cache yet
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

// end forgets a key that does not count any more, and wakes those whose turn it is.
func (p *keySlots) release(of *groupSlots, name types.NamespacedName) {
	delete(of.reserved, name)
	delete(of.queued, name)
	delete(of.excluded, name)
	delete(p.of, name)
	p.wakeNext(of)
}

// wakeNext wakes the oldest keys that wait, as many as there are places.
func (p *keySlots) wakeNext(of *groupSlots) {
	free := min(of.limit-len(of.reserved), len(of.queued))
	if free <= 0 || p.wake == nil {
		return
	}
	for _, w := range slices.SortedFunc(maps.Values(of.queued), older)[:free] {
		p.wake(w.name)
	}
}

// take gives the key a place, if there is one for it: one that is free, and not for a key that
// is older. The keys of the Group are listed when it is asked for the first time.
func (p *keySlots) reserve(key *v1alpha1.ApiKey, limit int, list func() ([]v1alpha1.ApiKey, error)) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.groups[groupOf(key)]
	if of == nil {
		keys, err := list()
		if err != nil {
			return false, err
		}
		of = &groupSlots{reserved: map[types.NamespacedName]types.UID{}, queued: map[types.NamespacedName]queuedKey{}, excluded: map[types.NamespacedName]types.UID{}}
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

// refuse is for a key that the Group does not grant what it asks: those of a namespace that it
// does not admit must not use up its places.
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

// forget is for a Group that has no limit, or is gone.
func (p *keySlots) forget(group types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.groups, group)
}

func groupOf(key *v1alpha1.ApiKey) types.NamespacedName {
	return cache.GroupName(key.Spec.GroupRef, key.Namespace)
}

// gatherPlace asks for a place for a key that is about to get its first version. A version that
// comes back with a restored Secret is not minted, and needs none.
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

// followPlaces feeds places with what the cache sees, before it is reconciled. A limit that is
// raised reaches all keys with the Group's change.
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

// freed reconciles the keys whose turn it is when a place becomes free.
func (r *Reconciler) freedSlots() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.slots.mu.Lock()
		defer r.slots.mu.Unlock()
		r.slots.wake = func(key types.NamespacedName) { queue.Add(reconcile.Request{NamespacedName: key}) }
		return nil
	})
}
