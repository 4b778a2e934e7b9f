package grouplog

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/notice"
)

// follow looks at every object, and at every change of one. It works on watch events: a queue of objects would only see the last
// of several changes. It reports whether all objects were looked at.
func (w *Writer) follow(ctx context.Context) (synced bool, err error) {
	// Groups first, because a log is that of a Group; and reviews before requests, which end what the log has.
	for _, object := range []client.Object{
		&v1alpha1.Group{}, &v1alpha1.DomainAllowlist{}, &v1alpha1.KeyRequestReview{}, &v1alpha1.KeyRequest{}, &v1alpha1.ApiKey{},
	} {
		informer, err := w.Cache.GetInformer(ctx, object)
		if err != nil {
			return false, fmt.Errorf("watching %T: %w", object, err)
		}
		registration, err := informer.AddEventHandler(w.handler(ctx))
		if err != nil {
			return false, fmt.Errorf("watching %T: %w", object, err)
		}
		if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return false, nil
		}
	}
	return true, nil
}

func (w *Writer) handler(ctx context.Context) toolscache.ResourceEventHandler {
	look := func(obj any, initial bool) {
		if err := w.Observe(ctx, obj); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "An event is not in the log of a Group")
		}
		if group, is := obj.(*v1alpha1.Group); is && !initial {
			// What refers to it may have been there before.
			if err := w.observeOf(ctx, group, func() error { return nil }); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "Objects of a Group are not in its log", "namespace", group.Namespace, "group", group.Name)
			}
		}
	}
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    look,
		UpdateFunc: func(_, obj any) { look(obj, true) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if err := w.Deleted(ctx, obj); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "A deletion is not in the log of a Group")
			}
		},
	}
}

// Observe notes what an object of the cache is evidence of.
func (w *Writer) Observe(ctx context.Context, obj any) error {
	group, found, err := w.evidence(ctx, obj)
	if err != nil || group == nil {
		return err
	}
	w.note(group, found)
	return found.err
}

// evidence returns the Group of an object, and what the object is evidence of; no Group if there is none that admits it.
func (w *Writer) evidence(ctx context.Context, obj any) (*v1alpha1.Group, *evidence, error) {
	switch object := obj.(type) {
	case *v1alpha1.Group:
		found := ofGroup(object)
		found.notices(notice.OfGroup(object))
		return object, found, nil
	case *v1alpha1.DomainAllowlist:
		group, problem, err := cache.CachedGroupForAllowlist(ctx, w.Cache, object)
		if err != nil || group == nil || problem != nil && group.Namespace != object.Namespace {
			return nil, nil, err
		}
		return group, ofAllowlist(group, object), nil
	case *v1alpha1.ApiKey:
		group, _, problems, err := cache.CachedGroupForKeyWithProblems(ctx, w.Cache, object)
		if err != nil || group == nil || !problems.Admitted() {
			return nil, nil, err
		}
		found := ofKey(group, object)
		due, next := notice.OfKey(object, w.Clock.Now())
		found.notices(due)
		w.lookAgain(look{kind: kindKey, name: client.ObjectKeyFromObject(object)}, next)
		return group, found, nil
	default:
		return w.ofReviewOrRequest(ctx, obj)
	}
}

// note adds what the log of a Group does not have to what is pending.
func (w *Writer) note(group *v1alpha1.Group, found *evidence) {
	c := w.chainOf(group)
	oldest := w.Clock.Now().Add(-w.retention(group))
	slices.SortStableFunc(found.events, func(a, b groupevent.Event) int { return a.Time.Compare(b.Time) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.contacts = group.Spec.Contacts
	if c.add(found.events, oldest) && w.queue != nil {
		w.queue.AddAfter(uidOf(c.group), gather)
	}
}

// observeOf looks at a Group, and at what refers to it, and calls each after every look.
func (w *Writer) observeOf(ctx context.Context, group *v1alpha1.Group, each func() error) error {
	lists, err := cache.CachedAllowlists(ctx, w.Cache, group)
	if err != nil {
		return err
	}
	keys, err := cache.CachedKeys(ctx, w.Cache, client.ObjectKeyFromObject(group))
	if err != nil {
		return err
	}
	requests, err := w.requestsOf(ctx, group)
	if err != nil {
		return err
	}
	look := func(obj any) {
		// One object whose events cannot be recorded keeps no other from being looked at.
		if err := w.Observe(ctx, obj); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "An event is not in the log of a Group")
		}
	}
	look(group)
	for _, list := range lists {
		look(list)
		if err := each(); err != nil {
			return err
		}
	}
	for _, object := range requests {
		look(object)
		if err := each(); err != nil {
			return err
		}
	}
	for i := range keys {
		look(&keys[i])
		if err := each(); err != nil {
			return err
		}
	}
	return nil
}

// catchUp looks again at the objects of a Group whose events did not all fit into what is pending, and writes meanwhile.
func (w *Writer) catchUp(ctx context.Context, uid types.UID) error {
	w.mu.Lock()
	c := w.chains[uid]
	w.mu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	missed := c.missed
	c.missed = false
	c.mu.Unlock()
	if !missed {
		return nil
	}
	group, err := w.groupOf(ctx, c)
	if group != nil {
		err = w.observeOf(ctx, group, func() error {
			c.mu.Lock()
			waits := len(c.pending)
			c.mu.Unlock()
			if waits < c.maxPending/2 {
				return nil
			}
			return w.Flush(ctx, uid)
		})
	}
	if err != nil {
		c.mu.Lock()
		c.missed = true
		c.mu.Unlock()
		return fmt.Errorf("looking at the objects of a Group again: %w", err)
	}
	return nil
}

// Deleted notes that an object does not exist any more.
func (w *Writer) Deleted(ctx context.Context, obj any) error {
	group, found, err := w.evidence(ctx, obj)
	if err != nil || group == nil {
		return err
	}
	switch object := obj.(type) {
	case *v1alpha1.Group:
		found.deleted(w.Clock.Now(), groupevent.TypeGroupDeleted, object.Annotations, string(object.Spec.State))
	case *v1alpha1.DomainAllowlist:
		found.deleted(w.Clock.Now(), groupevent.TypeAllowlistDeleted, object.Annotations, "")
	case *v1alpha1.ApiKey:
		if object.DeletionTimestamp == nil {
			found.deleted(w.Clock.Now(), groupevent.TypeKeyDeleted, object.Annotations, string(object.Status.State))
		}
	case *v1alpha1.KeyRequest:
		w.requestDeleted(group, found, object)
	case *v1alpha1.KeyRequestReview:
		if err := w.reviewDeleted(ctx, found, object); err != nil {
			return err
		}
	}
	w.note(group, found)
	return found.err
}

// FindDeleted notes the deletion of objects that logs have, and that do not exist any more: they were deleted while no manager
// was there to see it.
func (w *Writer) FindDeleted(ctx context.Context) error {
	for _, c := range w.all() {
		if err := w.findDeletedOf(ctx, c); err != nil {
			return err
		}
	}
	w.mu.Lock()
	w.sees = true
	w.mu.Unlock()
	return nil
}

func (w *Writer) findDeletedOf(ctx context.Context, c *chain) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deleted {
		return nil
	}
	group, err := w.isGone(ctx, groupevent.Subject{Kind: kindGroup, Namespace: c.group.Namespace, Name: c.group.Name, UID: c.group.UID})
	if err != nil {
		return err
	}
	for _, subject := range c.live {
		kind := map[string]groupevent.Type{
			kindKey: groupevent.TypeKeyDeleted, kindAllowlist: groupevent.TypeAllowlistDeleted, kindGroup: groupevent.TypeGroupDeleted,
			kindRequest: groupevent.TypeRequestEnded,
		}[subject.Kind]
		if group && subject.Kind != kindGroup || kind == "" || subject.Kind == kindRequest && c.hasDecision(subject.UID) {
			continue // the log ends with its Group, and a request with its decision
		}
		gone, err := w.isGone(ctx, subject)
		if err != nil {
			return err
		}
		if !gone {
			continue
		}
		found := &evidence{group: c.group, subject: subject, contacts: c.contacts}
		if subject.Kind == kindRequest {
			found.ended(w.Clock.Now(), byUnknown, groupevent.RequestDeleted)
		} else {
			found.deleted(w.Clock.Now(), kind, nil, "")
		}
		if found.err != nil {
			return found.err
		}
		if c.add(found.events, w.Clock.Now().Add(-deletedRetention)) && w.queue != nil {
			w.queue.AddAfter(uidOf(c.group), gather)
		}
	}
	c.live = nil
	return nil
}

// isGone reports whether an object does not exist, or another has its name.
func (w *Writer) isGone(ctx context.Context, of groupevent.Subject) (bool, error) {
	object := map[string]client.Object{
		kindKey: &v1alpha1.ApiKey{}, kindAllowlist: &v1alpha1.DomainAllowlist{}, kindGroup: &v1alpha1.Group{},
		kindRequest: &v1alpha1.KeyRequest{},
	}[of.Kind]
	if object == nil {
		return false, nil
	}
	err := w.Cache.Get(ctx, types.NamespacedName{Namespace: of.Namespace, Name: of.Name}, object, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("reading %s %s/%s: %w", of.Kind, of.Namespace, of.Name, err)
	}
	return string(object.GetUID()) != of.UID, nil
}
