package grouplog

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/notice"
)

// look is something to look at: an ApiKey, or a day of unusual use, which no object of the cache shows.
type look struct {
	kind string
	name types.NamespacedName
	// uid is that of the Group that was used, and day what was unusual.
	uid   types.UID
	cause string
	at    int64 // in seconds since 1970
	day   groupevent.UsageUnusual
}

// notices adds what people are to be notified of.
func (e *evidence) notices(due []notice.Notice) {
	for i := range due {
		e.add(due[i].Type, due[i].Cause, due[i].At, byKeyward, due[i].Data)
	}
}

const (
	// maxEarly is how many looks are remembered that are asked for before a Writer has started.
	maxEarly = 1 << 16
	// farthest is how long a look waits at most, and is then put off again: what was deleted meanwhile is not remembered for longer,
	// however many keys somebody creates and deletes.
	farthest = time.Hour
)

// agenda has what to look at, and when.
type agenda struct {
	mu    sync.Mutex
	queue workqueue.TypedDelayingInterface[look] // nil before the start
	early []look
}

// start returns the queue of what is due.
func (a *agenda) start(clk clock.WithTicker) workqueue.TypedDelayingInterface[look] {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[look]{Clock: clk})
	for _, at := range a.early {
		a.queue.Add(at)
	}
	a.early = nil
	return a.queue
}

func (a *agenda) add(at look, after time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.queue != nil:
		a.queue.AddAfter(at, after)
	case at.kind != kindKey && len(a.early) < maxEarly: // all keys are looked at after the start
		a.early = append(a.early, at)
	}
}

// lookAgain has something looked at at an instant, if there is one. What waits already is looked at when that was earlier, too: a look in
// vain costs nothing.
func (w *Writer) lookAgain(at look, instant time.Time) {
	if !instant.IsZero() {
		w.looks.add(at, min(instant.Sub(w.Clock.Now()), farthest))
	}
}

// lookWhenDue looks at what is due, until the queue is shut down.
func (w *Writer) lookWhenDue(ctx context.Context, queue workqueue.TypedDelayingInterface[look]) {
	for {
		due, ended := queue.Get()
		if ended {
			return
		}
		if err := w.look(ctx, due); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "A notice is not in the log of a Group; it is tried again in an hour", "name", due.name)
			w.lookAgain(due, w.Clock.Now().Add(farthest))
		}
		queue.Done(due)
	}
}

func (w *Writer) look(ctx context.Context, of look) error {
	if of.kind == kindKey {
		key := &v1alpha1.ApiKey{}
		err := w.Cache.Get(ctx, of.name, key, client.UnsafeDisableDeepCopy)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading ApiKey %s from the cache: %w", of.name, err)
		}
		due, next := notice.OfKey(key, w.Clock.Now())
		if len(due) == 0 {
			w.lookAgain(of, next)
			return nil
		}
		return w.Observe(ctx, key)
	}
	group, err := cache.Group(ctx, w.Cache, of.name, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("reading Group %s from the cache: %w", of.name, err)
	}
	if group == nil || group.UID != of.uid {
		return nil
	}
	found := evidenceOf(group, kindGroup, group)
	found.notices([]notice.Notice{{Type: groupevent.TypeUsageUnusual, Cause: of.cause, At: time.Unix(of.at, 0), Data: of.day}})
	w.note(group, found)
	return found.err
}

// ObserveUsage notes what a GroupUsage that was written is evidence of. It does not block.
func (w *Writer) ObserveUsage(usage *v1alpha1.GroupUsage) {
	now := w.Clock.Now()
	for _, due := range notice.OfUsage(&usage.Status, now) {
		day, _ := due.Data.(groupevent.UsageUnusual) // it is about nothing else
		w.lookAgain(look{
			kind: kindGroup, name: client.ObjectKeyFromObject(usage), uid: usage.Status.GroupUID, cause: due.Cause, at: due.At.Unix(), day: day,
		}, now)
	}
}
