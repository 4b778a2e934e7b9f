// Package billing sends what is used of Groups to billing engines. The leader closes windows of usage at full hours, persists them in
// BillingOutboxes, and only then has them sent; what all receivers have is dropped. The receivers are sinks, whose source is the outboxes.
package billing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/billing/window"
	"github.com/keyward-dev/keyward/internal/usagequery"
)

const (
	// grace is the time after an hour in which servers report what they counted in it, before its window is closed.
	grace = 5 * time.Minute
	// DefaultLookInterval is how often Groups are looked for whose windows are to be closed.
	DefaultLookInterval = time.Minute
	// writesPerSecond bounds writes of outboxes, and reads of GroupUsages.
	writesPerSecond = 20
)

// ErrConflict is that somebody else has written an outbox.
var ErrConflict = errors.New("the outbox was changed meanwhile")

// Outboxes persists outboxes.
type Outboxes interface {
	// List returns all outboxes.
	List(ctx context.Context) ([]*v1alpha1.BillingOutbox, error)
	// Get returns the outbox of this name; nil if there is none.
	Get(ctx context.Context, name string) (*v1alpha1.BillingOutbox, error)
	// Write creates or updates an outbox by its resourceVersion, and sets that. The error is ErrConflict if the version is another.
	Write(ctx context.Context, o *v1alpha1.BillingOutbox) error
	// Delete deletes an outbox that has nothing to send any more.
	Delete(ctx context.Context, o *v1alpha1.BillingOutbox) error
}

// Groups is what there is to bill.
type Groups interface {
	// List returns the Groups that exist.
	List(ctx context.Context) ([]*v1alpha1.Group, error)
	// Exists reports whether a Group exists, regardless of any cache.
	Exists(ctx context.Context, group *v1alpha1.Group) (bool, error)
	// Usage returns what is recorded of a Group; nil if nothing is. The Group may be deleted.
	Usage(ctx context.Context, group *v1alpha1.Group) (*v1alpha1.GroupUsage, error)
	// Hold lets go of the GroupUsage of a deleted Group, whose last window is persisted. With hold it has it stay, if its Group is
	// deleted, until then.
	Hold(ctx context.Context, group *v1alpha1.Group, hold bool) error
	// Held returns the Groups, deleted ones too, whose GroupUsages are held; only with their namespaces, names and UIDs.
	Held(ctx context.Context) ([]*v1alpha1.Group, error)
}

// Keeper keeps the outboxes while this manager leads. It is the source and the store of positions of the sinks that send them.
//
// mu guards everything below it. An outbox is written by one at a time: whoever holds writing.
type Keeper struct {
	Outboxes  Outboxes
	Groups    Groups
	Receivers []string
	Clock     clock.WithTicker
	Log       logr.Logger
	// LookInterval is how often Look is called; New sets DefaultLookInterval.
	LookInterval time.Duration

	looking sync.Mutex // held by Look
	tidied  bool       // what earlier leaders have left is let go of
	writing sync.Mutex
	limiter *rate.Limiter
	loaded  chan struct{}
	looked  map[types.UID]time.Time // the hour through which a Group was looked at

	mu      sync.Mutex
	all     map[types.UID]*v1alpha1.BillingOutbox // never changed in place
	full    map[types.UID]bool
	waiting []chan struct{}
}

// New returns a Keeper.
func New(outboxes Outboxes, groups Groups, receivers []string, clk clock.WithTicker, log logr.Logger) *Keeper {
	b := &Keeper{
		Outboxes: outboxes, Groups: groups, Receivers: receivers, Clock: clk, Log: log, LookInterval: DefaultLookInterval,
		limiter: rate.NewLimiter(writesPerSecond, writesPerSecond), loaded: make(chan struct{}), looked: map[types.UID]time.Time{},
		all: map[types.UID]*v1alpha1.BillingOutbox{}, full: map[types.UID]bool{},
	}
	return b
}

// NeedLeaderElection is true: one closes windows.
func (b *Keeper) NeedLeaderElection() bool { return true }

// Start closes windows until the context ends.
func (b *Keeper) Start(ctx context.Context) error {
	ticker := b.Clock.NewTicker(b.LookInterval)
	defer ticker.Stop()
	defer measured.Set(b)()
	loaded := false
	for {
		if !loaded {
			err := b.load(ctx)
			if loaded = err == nil; !loaded && ctx.Err() == nil {
				b.Log.Error(err, "Cannot read BillingOutboxes; nothing is billed until it succeeds")
			}
		}
		if loaded {
			if err := b.Look(ctx); err != nil && ctx.Err() == nil {
				b.Log.Error(err, "Cannot close windows of usage; trying again")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// load reads the outboxes that an earlier leader has left.
func (b *Keeper) load(ctx context.Context) error {
	all, err := b.Outboxes.List(ctx)
	if err != nil {
		return fmt.Errorf("listing BillingOutboxes: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range all {
		b.all[o.Spec.GroupUID] = o
	}
	close(b.loaded)
	return nil
}

// Look closes the windows of all Groups that have ended. It returns the first error, and goes on with other Groups.
func (b *Keeper) Look(ctx context.Context) error {
	b.looking.Lock()
	defer b.looking.Unlock()
	groups, err := b.Groups.List(ctx)
	if err != nil {
		return fmt.Errorf("listing Groups: %w", err)
	}
	now := b.Clock.Now()
	hour := now.Add(-grace).Truncate(window.Length)
	exists := make(map[types.UID]bool, len(groups))
	var first error
	failed := func(err error) {
		if err != nil && first == nil {
			first = err
		}
	}
	if !b.tidied {
		err := b.letGo(ctx)
		failed(err)
		b.tidied = err == nil
	}
	for _, g := range groups {
		exists[g.UID] = true
		o := b.get(g.UID)
		if g.Spec.Billing == (v1alpha1.BillingReference{}) && (o == nil || o.Spec.Billing == g.Spec.Billing) {
			continue
		}
		if o != nil && !b.looked[g.UID].Before(hour) && g.DeletionTimestamp.IsZero() {
			continue
		}
		if err := b.limiter.Wait(ctx); err != nil {
			return err
		}
		if err := b.close(ctx, g, now); err != nil {
			failed(err)
			continue
		}
		if o != nil { // or else its GroupUsage may have been made while this one was begun: the next look holds it
			b.looked[g.UID] = hour
		}
	}
	for _, o := range b.snapshot() {
		if !exists[o.Spec.GroupUID] {
			failed(b.gone(ctx, o, now))
		}
	}
	return first
}

// close closes the windows of a Group.
func (b *Keeper) close(ctx context.Context, g *v1alpha1.Group, now time.Time) error {
	// Not only at first: a Group that was not used has no GroupUsage.
	if err := b.Groups.Hold(ctx, g, true); err != nil {
		return err
	}
	used, err := b.used(ctx, g, now)
	if err != nil {
		return err
	}
	full := false
	err = b.change(ctx, g.UID, func(o *v1alpha1.BillingOutbox) {
		if o.Spec.GroupUID == "" {
			begin(o, g)
		}
		if g.Spec.Billing != (v1alpha1.BillingReference{}) {
			o.Spec.Billing = g.Spec.Billing // or else who has paid until now pays for the last window
		}
		full = bool(window.Close(&o.Spec, used, now.Add(-grace)))
		o.Spec.Billing = g.Spec.Billing
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if full && !b.full[g.UID] {
		b.Log.Info("Receivers of usage have taken nothing for so long that windows are not closed any more; the next one has everything since",
			"group", g.Namespace+"/"+g.Name)
	}
	b.full[g.UID] = full
	return err
}

func (b *Keeper) used(ctx context.Context, g *v1alpha1.Group, now time.Time) ([]window.Used, error) {
	recorded, err := b.Groups.Usage(ctx, g)
	if err != nil {
		return nil, fmt.Errorf("reading the GroupUsage of %s/%s: %w", g.Namespace, g.Name, err)
	}
	if recorded == nil {
		recorded = &v1alpha1.GroupUsage{}
	}
	u := usagequery.Of(g, recorded)
	return window.Of(&u, now.Add(-grace)), nil
}

// gone closes the last window of a Group that does not exist any more, and deletes the outbox when everything is sent. It does so in a later
// look at the earliest: a GroupUsage that was just being made is let go of before.
func (b *Keeper) gone(ctx context.Context, o *v1alpha1.BillingOutbox, now time.Time) error {
	uid, was := o.Spec.GroupUID, isFinal(o)
	if !was {
		g := groupOf(&o.Spec)
		if exists, err := b.Groups.Exists(ctx, g); exists || err != nil {
			return err
		}
		used, err := b.used(ctx, g, now)
		if err != nil {
			return err
		}
		if err := b.change(ctx, uid, func(o *v1alpha1.BillingOutbox) {
			window.CloseFinally(&o.Spec, used, now)
		}); err != nil {
			return err
		}
	}
	if err := b.Groups.Hold(ctx, groupOf(&o.Spec), false); err != nil {
		return err
	}
	delete(b.looked, uid)
	o = b.get(uid)
	if o == nil || len(o.Spec.Windows) > 0 || !was {
		return nil
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	if err := b.Outboxes.Delete(ctx, o); err != nil {
		return fmt.Errorf("deleting the BillingOutbox of %s: %w", o.Spec.Group, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, uid)
	delete(b.full, uid)
	return nil
}

// change persists a change of an outbox, and only then shows it to receivers.
func (b *Keeper) change(ctx context.Context, uid types.UID, change func(*v1alpha1.BillingOutbox)) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	was := b.get(uid)
	o := &v1alpha1.BillingOutbox{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}}}
	if was != nil {
		o = was.DeepCopy()
	}
	change(o)
	if was != nil && same(&was.Spec, &o.Spec) {
		return nil
	}
	if err := b.Outboxes.Write(ctx, o); err != nil {
		if errors.Is(err, ErrConflict) { // somebody has labelled it, for example: the next attempt is made with what is there
			err = errors.Join(err, b.readAgain(ctx, uid))
		}
		return fmt.Errorf("writing the BillingOutbox of %s: %w", o.Spec.Group, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[uid] = o
	for _, c := range b.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return nil
}

// readAgain reads an outbox that somebody else has written or deleted.
func (b *Keeper) readAgain(ctx context.Context, uid types.UID) error {
	o, err := b.Outboxes.Get(ctx, NameOf(uid))
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if o == nil {
		delete(b.all, uid)
	} else {
		b.all[uid] = o
	}
	return nil
}

func (b *Keeper) get(uid types.UID) *v1alpha1.BillingOutbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[uid]
}

func (b *Keeper) snapshot() []*v1alpha1.BillingOutbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*v1alpha1.BillingOutbox, 0, len(b.all))
	for _, o := range b.all {
		all = append(all, o)
	}
	return all
}
