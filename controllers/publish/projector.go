package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/grant"
)

// Projector keeps a Hub's records equal to the objects. It works on watch events: a revocation is on its way to the
// validation servers before any reconciler has seen it.
//
// The handlers of all kinds run concurrently, one goroutine per kind, and so does what is published in the background. mu makes
// reading a key from the cache and publishing it one step: without it, a slow event could overwrite what a later one has published.
// A Group and its allowlists, which are as large as their owners like, are read and compiled without it, and published
// unless somebody has begun to do the same later. The locks of the Hub and of Imported are taken under mu, never the other way round.
type Projector struct {
	Hub   *Hub
	Cache ctrlcache.Cache
	// Imported, where set, records which keys have keyed digests.
	Imported *Imported
	// Seals, where set, opens the secrets of signed URLs.
	Seals *seal.Keeper

	mu sync.Mutex
	// keysFollow is true until Start comes to the ApiKeys, which then are all published.
	keysFollow bool
	// relabelled has the namespaces whose labels have changed while Start publishes the first records; afterwards it is
	// nil, and changes are published at once.
	relabelled map[string]bool
	// changed are the Groups whose allowlists have changed since they were published.
	changed map[types.NamespacedName]struct{}
	wake    chan struct{} // one slot: there are such Groups
	// turns has, of each Group, the last time that somebody has begun to publish it, as a number.
	turns map[types.NamespacedName]uint64
	turn  uint64
	// granted is what Groups granted to keys when they were last published.
	granted map[types.NamespacedName]string
	backlog backlog
	seals   seals
}

// gather is how long changes of allowlists gather after some were published. For each all lists of a Group are read, which
// somebody who changes them quickly must not have done each time, while changes of keys wait.
const gather = 100 * time.Millisecond

// NeedLeaderElection is true: only the leader publishes.
func (p *Projector) NeedLeaderElection() bool { return true }

// Start publishes all objects, opens the Hub, and follows changes until the context ends.
func (p *Projector) Start(ctx context.Context) error {
	p.changed, p.wake = map[types.NamespacedName]struct{}{}, make(chan struct{}, 1)
	p.turns, p.granted, p.backlog = map[types.NamespacedName]uint64{}, map[types.NamespacedName]string{}, newBacklog()
	p.seals.wanted = make(chan struct{}, 1)
	kinds := []struct {
		object  client.Object
		matters func(was, is client.Object) bool
		project func(context.Context, client.Object) error
		begin   func() // is called before the first event of the kind
	}{
		{cache.NamespaceMetadata(), labelsChanged, p.namespaceChanged, func() { p.keysFollow, p.relabelled = true, map[string]bool{} }},
		// From here on labels are used. Changes before this point are read from the cache as they are.
		{&v1alpha1.Group{}, groupMatters, p.groupChanged, func() { p.relabelled = map[string]bool{} }},
		{&v1alpha1.DomainAllowlist{}, specChanged, p.allowlistChanged, func() {}},
		{&v1alpha1.ApiKey{}, anyChange, p.keyChanged, func() { p.keysFollow = false }},
	}
	for _, kind := range kinds {
		p.mu.Lock()
		kind.begin()
		p.mu.Unlock()
		informer, err := p.Cache.GetInformer(ctx, kind.object)
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind.object, err)
		}
		registration, err := informer.AddEventHandler(p.handler(ctx, kind.matters, kind.project))
		if err != nil {
			return fmt.Errorf("watching %T: %w", kind.object, err)
		}
		// One kind after the other, so that groups are published before their keys.
		if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return nil
		}
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	defer collector.Set(p.Hub)()
	var background sync.WaitGroup
	background.Go(func() { p.publishBacklog(ctx) })
	background.Go(func() { p.readWantedSeals(ctx) })
	p.publishChanged(ctx)
	background.Wait()
	return nil
}

// publishChanged publishes Groups whose allowlists change, until the context ends: at once the first, and then what has
// gathered meanwhile.
func (p *Projector) publishChanged(ctx context.Context) {
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		for name := range p.takeChanged() {
			project := func(ctx context.Context) error { return p.publishGroup(ctx, name) }
			if err := project(ctx); err != nil {
				p.failedToPublish(ctx, "Group "+name.String(), err, project)
			}
		}
		select {
		case <-p.Hub.clock.After(gather):
		case <-ctx.Done():
			return
		}
	}
}

func (p *Projector) takeChanged() map[types.NamespacedName]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.changed
	p.changed = map[types.NamespacedName]struct{}{}
	return taken
}

// open publishes again what has changed while the first records were published, and opens the Hub.
func (p *Projector) open(ctx context.Context) error {
	for {
		namespaces, groups, scopes, opened := p.takeEarly()
		if opened {
			return nil
		}
		for namespace := range namespaces {
			if err := p.publishNamespace(ctx, namespace); err != nil {
				return fmt.Errorf("publishing what is in namespace %s: %w", namespace, err)
			}
		}
		for name := range groups {
			if err := p.publishGroup(ctx, name); err != nil {
				return fmt.Errorf("publishing Group %s: %w", name, err)
			}
		}
		for _, of := range scopes {
			names, err := p.keyNames(ctx, of)
			if err != nil {
				return fmt.Errorf("publishing the keys of %s: %w", of, err)
			}
			p.publishKeys(ctx, names)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// takeEarly takes what has changed, or, if nothing has, opens the Hub.
func (p *Projector) takeEarly() (namespaces map[string]bool, groups map[types.NamespacedName]struct{}, scopes []keyScope, opened bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.relabelled)+len(p.changed)+len(p.backlog.keysOf) == 0 {
		p.relabelled = nil
		p.Hub.Open()
		return nil, nil, nil, true
	}
	namespaces, groups = p.relabelled, p.changed
	scopes = slices.Collect(maps.Keys(p.backlog.keysOf))
	p.relabelled, p.changed = map[string]bool{}, map[types.NamespacedName]struct{}{}
	clear(p.backlog.keysOf)
	return namespaces, groups, scopes, false
}

// groupMatters reports whether a change of a Group changes its record. Most of the status is not in the record and changes often, and
// reading all keys of the Group each time would delay changes that matter.
func groupMatters(was, is client.Object) bool {
	before, _ := was.(*v1alpha1.Group)
	after, _ := is.(*v1alpha1.Group)
	return specChanged(was, is) || before != nil && after != nil && !proto.Equal(fromStatus(before), fromStatus(after))
}

func specChanged(was, is client.Object) bool {
	return was.GetGeneration() != is.GetGeneration() || was.GetUID() != is.GetUID()
}

func labelsChanged(was, is client.Object) bool {
	return !maps.Equal(was.GetLabels(), is.GetLabels())
}

// anyChange reports whether an object has changed at all. For an ApiKey that includes the status, which has the digests.
func anyChange(was, is client.Object) bool {
	return was.GetResourceVersion() != is.GetResourceVersion()
}

func (p *Projector) handler(ctx context.Context, matters func(was, is client.Object) bool,
	project func(context.Context, client.Object) error,
) toolscache.ResourceEventHandler {
	handle := func(obj any) {
		if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		object, ok := obj.(client.Object)
		if !ok {
			return
		}
		if err := project(ctx, object); err != nil {
			what := fmt.Sprintf("%T %s %s", object, client.ObjectKeyFromObject(object), object.GetUID())
			p.failedToPublish(ctx, what, err, func(ctx context.Context) error { return project(ctx, object) })
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: handle,
		UpdateFunc: func(old, obj any) {
			was, _ := old.(client.Object)
			is, _ := obj.(client.Object)
			if was == nil || is == nil || matters(was, is) {
				handle(obj)
			}
		},
		DeleteFunc: handle,
	}
}

func (p *Projector) keyChanged(ctx context.Context, object client.Object) error {
	changed, _ := object.(*v1alpha1.ApiKey)
	p.wantSeals(ctx, changed)
	p.mu.Lock()
	defer p.mu.Unlock()
	id := KeyID(object.GetUID())
	key, err := cache.CachedKey(ctx, p.Cache, client.ObjectKeyFromObject(object))
	switch {
	case apierrors.IsNotFound(err), err == nil && key.UID != object.GetUID():
		p.Hub.DeleteKey(id)
		p.Hub.Forget(KeyRef(id))
		p.Imported.forget(id)
		return nil
	case err != nil:
		return err
	}
	return p.publishKey(ctx, key)
}

// publishKey publishes a key that was just read. The caller holds the lock.
func (p *Projector) publishKey(ctx context.Context, key *v1alpha1.ApiKey) error {
	_, granted, err := cache.CachedGroupForKey(ctx, p.Cache, key)
	if err != nil {
		return err
	}
	record, err := p.record(key, granted)
	if record != nil {
		p.Imported.note(record, key) // first: a server that gets the record must get the secret with it
		p.Hub.PutKey(record, client.ObjectKeyFromObject(key))
	} else {
		p.Hub.DeleteKey(KeyID(key.UID))
		p.Imported.forget(KeyID(key.UID))
	}
	return err
}

func (p *Projector) groupChanged(ctx context.Context, object client.Object) error {
	return p.publishGroup(ctx, client.ObjectKeyFromObject(object))
}

// publishGroup publishes a Group with its allowlists, and its keys in the background if it grants them something else than before.
func (p *Projector) publishGroup(ctx context.Context, name types.NamespacedName) error {
	turn := p.beginTurn(name)
	group, err := cache.Group(ctx, p.Cache, name)
	if err != nil {
		return err
	}
	var record *syncv1.Group
	granted := ""
	if group != nil {
		allowlists, err := cache.CachedAllowlists(ctx, p.Cache, group)
		if err != nil {
			return err
		}
		record, granted = GroupRecord(group, allowlists), grant.GrantedToKeys(group)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns[name] != turn {
		return nil // somebody has begun later, and publishes it
	}
	before, known := p.granted[name]
	if record == nil {
		delete(p.turns, name)
		delete(p.granted, name)
		p.Hub.DeleteGroup(name.String())
		p.Hub.Forget(GroupRef(name.String()))
	} else {
		p.granted[name] = granted
		p.Hub.PutGroup(record)
	}
	if !p.keysFollow && (!known || record == nil || granted != before) {
		p.publishLater(keyScope{name})
	}
	return nil
}

func (p *Projector) beginTurn(name types.NamespacedName) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.changed, name)
	p.turn++
	p.turns[name] = p.turn
	return p.turn
}

// allowlistChanged has the Group of a list published again, soon. Before the Hub is open that waits until everything
// else is published.
func (p *Projector) allowlistChanged(_ context.Context, object client.Object) error {
	list, ok := object.(*v1alpha1.DomainAllowlist)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed[cache.GroupName(list.Spec.GroupRef, list.Namespace)] = struct{}{}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// namespaceChanged publishes again the objects of the namespace, which may refer to Groups of other namespaces: its labels
// may now match a Group's selector, or no longer. Before the Hub is open this is deferred until everything is published.
func (p *Projector) namespaceChanged(ctx context.Context, namespace client.Object) error {
	if p.isStarting(namespace.GetName()) {
		return nil
	}
	return p.publishNamespace(ctx, namespace.GetName())
}

// isStarting reports whether the first records are being published, and notes the namespace then.
func (p *Projector) isStarting(namespace string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.relabelled == nil {
		return false
	}
	p.relabelled[namespace] = true
	return true
}

func (p *Projector) publishNamespace(ctx context.Context, namespace string) error {
	p.again(keyScope{types.NamespacedName{Namespace: namespace}})
	var lists v1alpha1.DomainAllowlistList
	if err := p.Cache.List(ctx, &lists, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	for i := range lists.Items {
		if err := p.allowlistChanged(ctx, &lists.Items[i]); err != nil {
			return err
		}
	}
	return nil
}
