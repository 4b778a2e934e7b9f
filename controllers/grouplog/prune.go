package grouplog

import (
	"context"
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/tier"
)

// deletedRetention is how long the logs of Groups are kept that are deleted, and have no tier any more.
const deletedRetention = tier.LogRetentionWithAuditLog

// retention returns how long the log of a Group is kept.
func (w *Writer) retention(group *v1alpha1.Group) time.Duration { return w.Tiers.LogRetention(group) }

// Prune deletes segments whose events are all older than their log is kept. The last segment of a Group that exists stays.
func (w *Writer) Prune(ctx context.Context) {
	for _, c := range w.all() {
		if err := w.pruneOne(ctx, c); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Old segments of a log stay for now", "namespace", c.group.Namespace, "group", c.group.Name)
		}
	}
}

func (w *Writer) pruneOne(ctx context.Context, c *chain) error {
	group, err := w.groupOf(ctx, c)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, stays := deletedRetention, 0
	if group != nil {
		kept, stays = w.retention(group), 1
	}
	before, n := w.Clock.Now().Add(-kept), 0
	for n < len(c.segments)-stays && c.segments[n].latest.Before(before) {
		n++
	}
	if err := w.deleteFirst(ctx, c, n, group, v1alpha1.PrunedByAge); err != nil {
		return err
	}
	return w.pruneSize(ctx, c)
}

// pruneSize deletes the first segments of a log that is larger than its tier allows: somebody who causes many events cannot fill etcd
// with them. It is called with the lock of the chain.
func (w *Writer) pruneSize(ctx context.Context, c *chain) error {
	size := 0
	for i := range c.segments {
		size += c.segments[i].size
	}
	if size <= tier.MinLogSize {
		return nil
	}
	group, err := w.groupOf(ctx, c)
	if err != nil || group == nil {
		return err // the log of a Group that is deleted does not grow
	}
	limit, n := int(w.Tiers.LogSize(group)), 0
	for size > limit && n < len(c.segments)-1 {
		size -= c.segments[n].size
		n++
	}
	return w.deleteFirst(ctx, c, n, group, v1alpha1.PrunedBySize)
}

// groupOf returns the Group of a log from the cache; nil if it is deleted.
func (w *Writer) groupOf(ctx context.Context, c *chain) (*v1alpha1.Group, error) {
	name := types.NamespacedName{Namespace: c.group.Namespace, Name: c.group.Name}
	group, err := cache.Group(ctx, w.Cache, name, client.UnsafeDisableDeepCopy)
	if err != nil || group == nil || group.UID != uidOf(c.group) {
		return nil, err
	}
	return group, nil
}

// deleteFirst deletes the first n segments of a log. For a Group that exists it is recorded before: a crash in between leaves segments
// that need not be there, and not a log whose beginning is missing.
func (w *Writer) deleteFirst(ctx context.Context, c *chain, n int, group *v1alpha1.Group, reason v1alpha1.PruneReason) error {
	if n == 0 {
		return nil
	}
	last := c.segments[n-1].last
	if group != nil {
		through := time.Time{}
		for _, s := range c.segments[:n] {
			through = later(through, s.latest.Truncate(time.Second).Add(time.Second)) // it is stored in whole seconds
		}
		if c.pruned != nil {
			through = later(through, c.pruned.Through.Time)
		}
		pruned := &v1alpha1.PrunedLog{LogPosition: positionOf(last), Through: metav1.NewTime(through), Reason: reason}
		err := w.Heads.RecordLog(ctx, c.name(), group.UID, v1alpha1.LogHead{LogPosition: positionOf(c.head), Pruned: pruned})
		if err != nil {
			return fmt.Errorf("recording what is pruned: %w", err)
		}
		c.pruned, c.recorded = pruned, c.head
	}
	for _, s := range c.segments[:n] {
		object := &v1alpha1.GroupLog{ObjectMeta: metav1.ObjectMeta{Namespace: c.group.Namespace, Name: s.name}}
		if err := w.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting a segment: %w", err)
		}
		c.segments = c.segments[1:]
	}
	maps.DeleteFunc(c.known, func(_ id, sequence uint64) bool { return sequence <= last.Sequence })
	return nil
}
