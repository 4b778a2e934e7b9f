package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// publishAfter is the maximum age of totals in a GroupUsage, unless there are too many for the writes per second.
const publishAfter = 5 * time.Second

// Published is a store that periodically records totals of Groups in GroupUsages.
//
// mu guards totals, and is not held while a Store or a GroupUsage is written. totals has the latest totals of each ledger that
// are not published yet; each of its keys is in the queue, is about to be added to it, or Start has taken it out. The queue
// and the limiter have locks of their own.
type Published struct {
	Store

	objects *Objects
	limiter *rate.Limiter
	queue   workqueue.TypedDelayingInterface[Key]

	mu     sync.Mutex
	totals map[Key]Totals
}

// Publish returns a store whose totals are published, with at most so many writes per second. The caller must start it.
func Publish(store Store, objects *Objects, writes rate.Limit) *Published {
	return &Published{
		Store: store, objects: objects, limiter: rate.NewLimiter(writes, 1),
		queue: workqueue.NewTypedDelayingQueue[Key](), totals: map[Key]Totals{},
	}
}

// Load implements Store. A ledger that the Store does not have, and whose period has begun in another store, begins with what is
// known to be used.
func (p *Published) Load(ctx context.Context, key Key) (Entry, error) {
	kept, err := p.ofGroup(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	entry, err := p.Store.Load(ctx, kept)
	if err != nil || entry.Version != "" {
		return entry, err
	}
	entry.Ledger, err = p.objects.Recover(ctx, key)
	return entry, err
}

// Save implements Store.
func (p *Published) Save(ctx context.Context, key Key, entry Entry, totals Totals) (string, error) {
	kept, err := p.ofGroup(ctx, key)
	if err != nil {
		return "", err
	}
	// If the Group was made again since it was loaded, this is another ledger, which does not have the version.
	version, err := p.Store.Save(ctx, kept, entry, totals)
	if err != nil || key.Owner != "" {
		return version, err
	}
	p.mu.Lock()
	p.totals[kept] = totals
	p.mu.Unlock()
	p.queue.AddAfter(kept, publishAfter)
	return version, nil
}

// ofGroup returns the key with the UID of the Group, for a ledger of a Group.
func (p *Published) ofGroup(ctx context.Context, key Key) (Key, error) {
	if key.Owner != "" {
		return key, nil
	}
	group, err := p.objects.groupOf(ctx, key.Group)
	if err != nil {
		return Key{}, err
	}
	key.UID = group.UID
	return key, nil
}

// NeedLeaderElection is true: only the leader counts.
func (p *Published) NeedLeaderElection() bool { return true }

// Start publishes until the context ends.
func (p *Published) Start(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.queue.ShutDown)()
	for {
		key, over := p.queue.Get()
		if over {
			return nil
		}
		if err := p.publish(ctx, key); err != nil && ctx.Err() == nil {
			logf.FromContext(ctx).Error(err, "Usage cannot be written into a GroupUsage; it will be tried again", "group", key.Group)
			p.queue.AddAfter(key, publishAfter)
		}
		p.queue.Done(key)
	}
}

func (p *Published) publish(ctx context.Context, key Key) error {
	if err := p.limiter.Wait(ctx); err != nil {
		return fmt.Errorf("waiting to publish: %w", err)
	}
	p.mu.Lock()
	totals, ok := p.totals[key]
	delete(p.totals, key)
	p.mu.Unlock()
	if !ok {
		return nil
	}
	err := p.objects.Publish(ctx, key, totals)
	if err == nil || errors.Is(err, ErrNoGroup) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, later := p.totals[key]; !later {
		p.totals[key] = totals
	}
	return err
}
