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
	Tiers  *tier.Catalogue
	Clock  clock.WithTicker
	// Namespaces are those that the manager watches; if there are none, all.
	Namespaces []string

	mu      sync.Mutex
	chains  map[types.UID]*chain
	queue   workqueue.TypedRateLimitingInterface[types.UID]
	limiter *rate.Limiter
	// complete reports that chains has all logs.
	complete bool
	// appended notifies readers.
	appended signal
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
	ticker := w.Clock.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		w.Prune(ctx)
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return nil
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

// Load reads all logs, and how far they have come.
func (w *Writer) Load(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chains, w.complete = map[types.UID]*chain{}, false
	for _, namespace := range w.namespaces() {
		err := eachSegment(ctx, w.Reader, func(of *v1alpha1.GroupLog) {
			group := groupevent.Group{Namespace: of.Namespace, Name: of.Spec.Group, UID: string(of.Spec.GroupUID)}
			c := w.chains[of.Spec.GroupUID]
			if c == nil {
				c = newChain(group)
				w.chains[of.Spec.GroupUID] = c
			}
			if err := c.read(of); err != nil {
				reportUnreadable(ctx, of, err)
			}
		}, client.InNamespace(namespace))
		if err != nil {
			return err
		}
		if err := w.loadHeads(ctx, namespace); err != nil {
			return err
		}
	}
	w.complete = true
	return nil
}

func (w *Writer) namespaces() []string {
	if len(w.Namespaces) == 0 {
		return []string{""}
	}
	return w.Namespaces
}

func reportUnreadable(ctx context.Context, of *v1alpha1.GroupLog, err error) {
	ctrl.LoggerFrom(ctx).Error(err, "A log of a Group has a line that is no event; kubectl keyward audit verify shows where",
		"namespace", of.Namespace, "name", of.Name)
}

func (w *Writer) loadHeads(ctx context.Context, namespace string) error {
	list := &v1alpha1.GroupUsageList{}
	for page := true; page; page = list.Continue != "" {
		const heads = 250
		err := w.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(heads), client.Continue(list.Continue))
		if err != nil {
			return fmt.Errorf("listing GroupUsages: %w", err)
		}
		for i := range list.Items {
			usage := &list.Items[i]
			if usage.Status.Log == nil || usage.Status.GroupUID == "" {
				continue
			}
			c := w.chains[usage.Status.GroupUID]
			if c == nil { // every segment is missing
				c = newChain(groupevent.Group{Namespace: usage.Namespace, Name: usage.Name, UID: string(usage.Status.GroupUID)})
				w.chains[usage.Status.GroupUID] = c
			}
			c.takeHead(ctx, usage.Status.Log)
		}
	}
	return nil
}

// takeHead takes over what the GroupUsage says about a log.
func (c *chain) takeHead(ctx context.Context, of *v1alpha1.LogHead) {
	if c.pruned = of.Pruned; c.pruned != nil && c.head.Sequence == 0 {
		c.head = headOf(c.pruned.LogPosition)
	}
	if missing := c.continueFrom(headOf(of.LogPosition)); missing > 0 {
		ctrl.LoggerFrom(ctx).Error(errMissing, "The log goes on behind what is missing", "namespace", c.group.Namespace,
			"group", c.group.Name, "events", missing)
	}
}

var errMissing = errors.New("the end of the log of a Group is missing")

// chainOf returns the log of a Group.
func (w *Writer) chainOf(group *v1alpha1.Group) *chain {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.chains[group.UID]
	if c == nil {
		c = newChain(identityOf(group))
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
			c.pending, c.waiting = nil, map[id]struct{}{} // the log ends with its namespace
		case err != nil:
			c.stale = true // whether it was written is not known
			return err
		}
	}
	return w.recordHead(ctx, c)
}

// reload reads a log again, and drops what is pending and was written.
func (w *Writer) reload(ctx context.Context, c *chain) error {
	c.forget()
	err := eachSegment(ctx, w.Reader, func(of *v1alpha1.GroupLog) {
		if err := c.read(of); err != nil {
			reportUnreadable(ctx, of, err)
		}
	}, client.InNamespace(c.group.Namespace), client.MatchingLabels{v1alpha1.LabelGroupUID: c.group.UID})
	if err != nil {
		return err
	}
	if c.pruned != nil && c.head.Sequence == 0 {
		c.head = headOf(c.pruned.LogPosition)
	}
	c.continueFrom(c.recorded)
	c.pending, c.waiting, c.stale = c.unknown(c.pending), map[id]struct{}{}, false
	for i := range c.pending {
		c.waiting[idOf(c.pending[i].ID)] = struct{}{}
	}
	return nil
}

// append appends as much of what is pending as the last segment has room for, or else begins a segment with it.
func (w *Writer) append(ctx context.Context, c *chain) error {
	last, err := w.lastSegment(ctx, c)
	if err != nil {
		return err
	}
	if last != nil {
		taken, text, err := c.take(segmentSize - len(last.Spec.Events))
		if err != nil {
			return err
		}
		if len(taken) > 0 {
			before := last.DeepCopy()
			last.Spec.Events += text
			return w.write(c, taken, func() error {
				return w.Client.Patch(ctx, last, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
			})
		}
	}
	taken, text, err := c.take(segmentSize)
	if err != nil {
		return err
	}
	object := newSegment(c.group, taken[0].Sequence, text)
	return w.write(c, taken, func() error {
		if err := w.Client.Create(ctx, object); err != nil {
			return err
		}
		c.segments = append(c.segments, segment{name: object.Name})
		return nil
	})
}

func (w *Writer) write(c *chain, taken []groupevent.Event, write func() error) error {
	failpoint.Here(failpoint.BeforeSegment)
	if err := write(); err != nil {
		return fmt.Errorf("writing a segment of the log of %s/%s: %w", c.group.Namespace, c.group.Name, err)
	}
	failpoint.Here(failpoint.AfterSegment)
	c.wrote(taken)
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
func (c *chain) wrote(taken []groupevent.Event) {
	last := &c.segments[len(c.segments)-1]
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
