package grouplog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/denial"
	"github.com/keyward-dev/keyward/controllers/failpoint"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/tier"
)

const (
	// gather is how long events of a Group gather before they are written together.
	gather = 250 * time.Millisecond
	// workers write logs of different Groups at the same time, and writes is how many logs they write per second.
	workers, writes = 4, 40
	// pruneEvery is how often segments are looked at that may be too old.
	pruneEvery = time.Hour
	// again is how soon something is tried again that failed when the writer started.
	again = 10 * time.Second
)

// +kubebuilder:rbac:groups=keyward.dev,resources=grouplogs,verbs=create;get;list;patch;delete

// Heads records how far logs have come.
type Heads interface {
	// RecordLog records the head of the log of a group, namespace/name, that has the UID. Errors: store.ErrNoGroup.
	RecordLog(ctx context.Context, group string, uid types.UID, head v1alpha1.LogHead) error
}

// Writer writes the logs of Groups. It is the only writer of GroupLogs.
type Writer struct {
	// Client writes. Reader reads past any cache, because an earlier leader may still write, too. Cache has the objects that are
	// looked at.
	Client client.Client
	Reader client.Reader
	Cache  ctrlcache.Cache
	Heads  Heads
	// Servers are the validation servers; with nil, none are in logs.
	Servers Servers
	// Origins are those of refused requests; with nil, none are in logs.
	Origins Origins
	Tiers   *tier.Catalogue
	Clock   clock.WithTicker
	// MaxPending is how many events may wait to be written into one log; if it is 0, 8,192.
	MaxPending int
	// Namespaces are those that the manager watches; if there are none, all.
	Namespaces []string

	mu     sync.Mutex
	chains map[types.UID]*chain
	queue  workqueue.TypedRateLimitingInterface[types.UID]
	// looks are at what a notice will be due about without a change of any object.
	looks   agenda
	limiter *rate.Limiter
	// sees reports that deletions are seen when they happen.
	sees bool
	// complete reports that chains has all logs.
	complete bool
	// appended notifies readers.
	appended signal
	held     held
}

// NeedLeaderElection is true: only the leader writes.
func (w *Writer) NeedLeaderElection() bool { return true }

// Start reads the logs, and follows the objects until the context ends.
func (w *Writer) Start(ctx context.Context) error {
	if err := w.untilDone(ctx, "Reading the logs of Groups", w.Load); err != nil {
		return nil // the context has ended
	}
	w.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](gather, time.Minute))
	w.limiter = rate.NewLimiter(writes, writes)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() { w.work(ctx) })
	}
	defer working.Wait()
	defer w.queue.ShutDown()
	looks := w.looks.start(w.Clock)
	working.Go(func() { w.lookWhenDue(ctx, looks) })
	defer looks.ShutDown()
	for _, c := range w.all() {
		if c.head != c.recorded { // an earlier leader has not recorded it
			w.queue.Add(uidOf(c.group))
		}
	}
	if synced, err := w.follow(ctx); !synced || err != nil {
		return err
	}
	if err := w.untilDone(ctx, "Looking for deleted objects", w.FindDeleted); err != nil {
		return nil
	}
	w.lookAround(ctx)
	return nil
}

// lookAround does what is done again and again, until the context ends.
func (w *Writer) lookAround(ctx context.Context) {
	hourly, often := w.Clock.NewTicker(pruneEvery), w.Clock.NewTicker(lookEvery)
	defer hourly.Stop()
	defer often.Stop()
	for hour := true; ; {
		if hour {
			w.Prune(ctx)
			w.held.prune(w.Clock.Now().Add(-pruneEvery))
			if err := w.LookAtRefusals(ctx); err != nil && ctx.Err() == nil {
				ctrl.LoggerFrom(ctx).Error(err, "Refused requests are not in the logs of Groups for now")
			}
		}
		if err := w.LookAtServers(); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "validation servers that are absent or back are not in the logs of Groups for now")
		}
		select {
		case <-hourly.C():
			hour = true
		case <-often.C():
			hour = false
		case <-ctx.Done():
			return
		}
	}
}

// untilDone tries until it succeeds, or the context ends.
func (w *Writer) untilDone(ctx context.Context, what string, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		ctrl.LoggerFrom(ctx).Error(err, what+" failed; it is tried again")
		select {
		case <-w.Clock.After(again):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// chainOf returns the log of a Group.
func (w *Writer) chainOf(group *v1alpha1.Group) *chain {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.chains[group.UID]
	if c == nil {
		c = w.newChain(identityOf(group))
		if w.sees {
			c.live = nil
		}
		w.chains[group.UID] = c
	}
	return c
}

// all returns the logs that are known.
func (w *Writer) all() []*chain {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.chains))
}

func (w *Writer) work(ctx context.Context) {
	for {
		uid, ended := w.queue.Get()
		if ended {
			return
		}
		err := w.Flush(ctx, uid)
		if err == nil {
			err = w.catchUp(ctx, uid)
		}
		switch {
		case err == nil, ctx.Err() != nil:
			w.queue.Forget(uid)
		default:
			if !apierrors.IsConflict(err) {
				ctrl.LoggerFrom(ctx).Error(err, "The log of a Group is not written yet; it is tried again", "groupUID", uid)
			}
			w.queue.AddRateLimited(uid)
		}
		w.queue.Done(uid)
	}
}

// Flush writes what is pending in the log of the Group with this UID.
func (w *Writer) Flush(ctx context.Context, uid types.UID) error {
	w.mu.Lock()
	c := w.chains[uid]
	w.mu.Unlock()
	if c == nil {
		return nil
	}
	if w.limiter != nil {
		if err := w.limiter.Wait(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stale {
		if err := w.reload(ctx, c); err != nil {
			return err
		}
	}
	for len(c.pending) > 0 {
		err := w.append(ctx, c)
		switch {
		case denial.IsTerminating(err):
			c.pending, c.waiting, c.terminating = nil, map[id]struct{}{}, true // the log ends with its namespace
		case err != nil:
			c.stale = true // whether it was written is not known
			return err
		default:
			if err := w.pruneSize(ctx, c); err != nil {
				return err
			}
		}
	}
	return w.recordHead(ctx, c)
}

// append appends as much of what is pending as the last segment has room for, or else begins a segment with it.
func (w *Writer) append(ctx context.Context, c *chain) error {
	last, err := w.lastSegment(ctx, c)
	if err != nil {
		return err
	}
	if last != nil {
		taken, text, err := c.take(appendSize - len(last.Spec.Events))
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			before := last.DeepCopy()
			last.Spec.Events += text
			return w.write(c, taken, text, func() error {
				return w.Client.Patch(ctx, last, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
			})
		}
	}
	taken, text, err := c.take(segmentSize)
	if err != nil {
		return err
	}
	object := newSegment(c.group, taken[0].Sequence, text)
	return w.write(c, taken, text, func() error {
		if err := w.Client.Create(ctx, object); err != nil {
			return err
		}
		c.segments = append(c.segments, segment{name: object.Name})
		return nil
	})
}

func (w *Writer) write(c *chain, taken []groupevent.Event, text string, write func() error) error {
	failpoint.Here(failpoint.BeforeSegment)
	if err := write(); err != nil {
		return fmt.Errorf("writing a segment of the log of %s/%s: %w", c.group.Namespace, c.group.Name, err)
	}
	failpoint.Here(failpoint.AfterSegment)
	c.wrote(taken, text)
	w.appended.notify()
	return nil
}

// take returns the next events, as they will be in the log, and their text, which fits.
func (c *chain) take(room int) (taken []groupevent.Event, text string, err error) {
	head, all := c.head, []byte(nil)
	for i := range c.pending {
		event, err := groupevent.Append(head, c.pending[i])
		if err != nil {
			return nil, "", fmt.Errorf("appending to a log: %w", err)
		}
		line, err := event.Encode()
		if err != nil {
			return nil, "", fmt.Errorf("appending to a log: %w", err)
		}
		if len(all)+len(line)+1 > room {
			break
		}
		all, taken, head = append(append(all, line...), '\n'), append(taken, event), event.Head()
	}
	return taken, string(all), nil
}

// wrote remembers what was written into the last segment.
func (c *chain) wrote(taken []groupevent.Event, text string) {
	last := &c.segments[len(c.segments)-1]
	last.size += len(text)
	for i := range taken {
		c.note(&taken[i])
		delete(c.waiting, idOf(taken[i].ID))
		last.last, last.latest = taken[i].Head(), later(last.latest, taken[i].Time)
	}
	c.head, c.pending = last.last, c.pending[len(taken):]
}

// lastSegment returns the segment that is appended to; nil if there is none, or its end is missing.
func (w *Writer) lastSegment(ctx context.Context, c *chain) (*v1alpha1.GroupLog, error) {
	if len(c.segments) == 0 || c.segments[len(c.segments)-1].last != c.head {
		return nil, nil
	}
	last, object := c.segments[len(c.segments)-1], &v1alpha1.GroupLog{}
	err := w.Reader.Get(ctx, types.NamespacedName{Namespace: c.group.Namespace, Name: last.name}, object)
	if err != nil {
		return nil, fmt.Errorf("reading a segment of a log: %w", err)
	}
	all := lines(object)
	event, err := groupevent.Decode([]byte(all[len(all)-1]))
	if err != nil || event.Head() != last.last {
		return nil, apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("grouplogs").GroupResource(), last.name, errWritten)
	}
	return object, nil
}

var errWritten = errors.New("another manager has written to the log")

// recordHead records how far a log has come.
func (w *Writer) recordHead(ctx context.Context, c *chain) error {
	if c.head == c.recorded || c.deleted {
		return nil
	}
	err := w.Heads.RecordLog(ctx, c.name(), uidOf(c.group), v1alpha1.LogHead{LogPosition: positionOf(c.head), Pruned: c.pruned})
	switch {
	case errors.Is(err, store.ErrNoGroup):
		return nil // it is deleted
	case denial.IsTerminating(err):
		return nil
	case err != nil:
		return fmt.Errorf("recording the head of a log: %w", err)
	}
	failpoint.Here(failpoint.AfterHead)
	c.recorded = c.head
	return nil
}
