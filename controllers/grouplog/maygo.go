package grouplog

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/internal/groupevent"
)

// heldFor is how long an object is held for the log at most: a log that cannot be written keeps no namespace from ending.
const heldFor = time.Minute

// held has since when objects are held for the log.
type held struct {
	mu    sync.Mutex
	since map[types.UID]time.Time
}

// MayGo reports whether the manager may let an object go that is deleted, since its log has all that the object is evidence of. Otherwise
// it has to be asked again: soon after a new leader has started, the log may not have looked at the object yet, and if this leader
// crashes, the next one finds only what still exists. After a minute it reports true in any case.
func (w *Writer) MayGo(ctx context.Context, object client.Object) bool {
	since := w.held.begin(object.GetUID(), w.Clock.Now())
	if w.hasAllOf(ctx, object) {
		w.held.end(object.GetUID())
		return true
	}
	if w.Clock.Since(since) < heldFor {
		return false // it is remembered also after the minute, because to let it go may fail
	}
	ctrl.LoggerFrom(ctx).Info("An object goes before all of its events are in the log of its Group", "namespace", object.GetNamespace(),
		"name", object.GetName())
	return true
}

// hasAllOf reports whether the log has each event that an object is evidence of, except those that it will not have. It does not wait for a
// log that is being written, which would hold up a worker of a controller, and so what has nothing to do with this log.
func (w *Writer) hasAllOf(ctx context.Context, object client.Object) bool {
	if _, err := w.loaded(); err != nil {
		return false
	}
	group, found, err := w.evidence(ctx, object)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Whether the log of a Group has the events of an object is not known yet")
		return false
	}
	if group == nil {
		return true // there is no log
	}
	c, oldest := w.chainOf(group), w.Clock.Now().Add(-w.retention(group))
	if !c.mu.TryLock() {
		return false
	}
	defer c.mu.Unlock()
	return !c.lacks(found.events, oldest)
}

// lacks reports whether the log does not have one of the events of an object, and is to have it. That records are rejected is an event of the
// Group: a log has only so many.
func (c *chain) lacks(events []groupevent.Event, after time.Time) bool {
	return slices.ContainsFunc(c.unknown(events), func(event groupevent.Event) bool {
		return event.Type != groupevent.TypeGroupRecordsRejected && c.takes(&event, after)
	})
}

// begin returns since when an object is held.
func (h *held) begin(object types.UID, now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since == nil {
		h.since = map[types.UID]time.Time{}
	}
	if _, is := h.since[object]; !is {
		h.since[object] = now
	}
	return h.since[object]
}

func (h *held) end(object types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.since, object)
}

// prune forgets objects that somebody else has let go.
func (h *held) prune(before time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for object, since := range h.since {
		if since.Before(before) {
			delete(h.since, object)
		}
	}
}
