// Package totals knows what was used of Groups in the running period, and when their status has to show it: at most once a minute for each
// Group, and so seldom for all of them that the API server does not notice it. Only the reconciler of Groups writes their status.
package totals

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// interval is the least time between two writes of the usage into the status of a Group, unless a condition changes.
	interval = time.Minute
	// Writes is the maximum number of those writes per second, of all Groups.
	Writes rate.Limit = 15
)

// Board has the totals of groups. It is safe for concurrent use.
//
// mu guards groups and notify, and is not held while a Group is read or anybody is notified. If the totals of a group are not shown
// and not due, the group is in the queue, or Start is about to decide about it.
type Board struct {
	clock   clock.WithTicker
	limiter *rate.Limiter
	queue   workqueue.TypedDelayingInterface[string]
	// group returns a Group as it is, or nil; crossed reports whether usage changes its conditions.
	group   func(ctx context.Context, name types.NamespacedName) *v1alpha1.Group
	crossed func(group *v1alpha1.Group, usage *v1alpha1.UsageTotals, now time.Time) bool

	mu     sync.Mutex
	groups map[string]*totals
	notify func(name types.NamespacedName)
}

type totals struct {
	period  quotaledger.Span
	totals  usageseries.Totals
	written time.Time // when the status showed them last
	due     bool      // the status is to show them now
}

// New returns a Board without totals. group reads a Group from a cache, and crossed reports whether its conditions change with the
// usage.
func New(clk clock.WithTicker, group func(ctx context.Context, name types.NamespacedName) *v1alpha1.Group,
	crossed func(group *v1alpha1.Group, usage *v1alpha1.UsageTotals, now time.Time) bool,
) *Board {
	return &Board{
		clock: clk, limiter: rate.NewLimiter(Writes, 1), group: group, crossed: crossed,
		queue:  workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Clock: clk}),
		groups: map[string]*totals{}, notify: func(types.NamespacedName) {},
	}
}

// OnDue sets what is called when the status of a Group is to show its usage. It must not block.
func (b *Board) OnDue(notify func(name types.NamespacedName)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notify = notify
}

// Set sets what was used of a group, namespace/name, in a period.
func (b *Board) Set(ctx context.Context, group string, period quotaledger.Period, used usageseries.Totals) {
	b.set(ctx, group, period, used, true)
}

// Begin is Set for a group of which nothing newer is known.
func (b *Board) Begin(ctx context.Context, group string, period quotaledger.Period, used usageseries.Totals) {
	b.set(ctx, group, period, used, false)
}

func (b *Board) set(ctx context.Context, group string, period quotaledger.Period, used usageseries.Totals, newer bool) {
	name := nameOf(group)
	is := b.group(ctx, name)
	if is == nil || is.Status.Usage != nil && is.Status.Usage.Period > period.String() {
		return // it was deleted, or shows a later period
	}
	span := tier.Schedule(is).SpanOf(period)
	now, usage := b.clock.Now(), usageOf(span, used)
	urgent := b.crossed(is, usage, now)
	b.mu.Lock()
	t := b.groups[group]
	switch {
	case t == nil:
		t = &totals{}
		b.groups[group] = t
	case !newer, span.Begin().Before(t.period.Begin()):
		b.mu.Unlock()
		return
	}
	t.period, t.totals = span, used
	wait, asked := t.written.Add(interval).Sub(now), t.due
	t.due = t.due || urgent
	notify := b.notify
	b.mu.Unlock()
	switch {
	case urgent:
		notify(name)
	case asked: // it is about to be written
	case !equality.Semantic.DeepEqual(usage, is.Status.Usage):
		b.queue.AddAfter(group, wait)
	}
}

func nameOf(group string) types.NamespacedName {
	namespace, name, _ := strings.Cut(group, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (t *totals) usage() *v1alpha1.UsageTotals { return usageOf(t.period, t.totals) }

func usageOf(period quotaledger.Span, used usageseries.Totals) *v1alpha1.UsageTotals {
	return &v1alpha1.UsageTotals{
		Period: period.String(), ResetsAt: metav1.NewTime(period.End()), UsageCounts: usageseries.Counts(used),
	}
}

// Of returns what the status of a Group shows if it is written, nil if nothing is known that it does not show, and whether it is
// to be written for that.
func (b *Board) Of(name types.NamespacedName) (usage *v1alpha1.UsageTotals, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.groups[name.String()]
	if t == nil {
		return nil, false
	}
	return t.usage(), t.due
}

// Shown records that the status of a Group shows this usage.
func (b *Board) Shown(name types.NamespacedName, usage *v1alpha1.UsageTotals) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.groups[name.String()]
	if t == nil {
		return
	}
	t.written, t.due = b.clock.Now(), false
	if !equality.Semantic.DeepEqual(usage, t.usage()) {
		b.queue.AddAfter(name.String(), interval)
	}
}

// Forget drops a group that was deleted.
func (b *Board) Forget(name types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.groups, name.String())
}

// NeedLeaderElection is true: only the leader knows what is used.
func (b *Board) NeedLeaderElection() bool { return true }

// Start notifies of Groups whose status is to show their usage, until the context ends.
func (b *Board) Start(ctx context.Context) error {
	defer context.AfterFunc(ctx, b.queue.ShutDown)()
	for {
		group, over := b.queue.Get()
		if over {
			return nil
		}
		if b.isDue(group) {
			if err := b.limiter.Wait(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("waiting to show usage: %w", err)
			}
			b.ask(group)
		}
		b.queue.Done(group)
	}
}

// isDue reports whether the status of a group is to be written that nobody was asked to write. If it was written meanwhile, it waits.
func (b *Board) isDue(group string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.groups[group]
	if t == nil || t.due {
		return false
	}
	if wait := t.written.Add(interval).Sub(b.clock.Now()); wait > 0 {
		b.queue.AddAfter(group, wait)
		return false
	}
	return true
}

// ask has the status of a group written.
func (b *Board) ask(group string) {
	b.mu.Lock()
	t, notify := b.groups[group], b.notify
	if t != nil {
		t.due = true
	}
	b.mu.Unlock()
	if t != nil {
		notify(nameOf(group))
	}
}
