package grouplog

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/keyrequest"
)

// Transitions of a request, of which the ids of its events are made with its UID.
const (
	requested = "/requested"
	ended     = "/ended"
)

// maxUID is how long a UID is at most that a log has; a user may write into the annotation of it.
const maxUID = 64

var verdicts = map[v1alpha1.Verdict]groupevent.Type{
	v1alpha1.VerdictApproved: groupevent.TypeRequestApproved, v1alpha1.VerdictRefused: groupevent.TypeRequestRefused,
	v1alpha1.VerdictWithdrawn: groupevent.TypeRequestWithdrawn,
}

func decidedAs(verdict v1alpha1.Verdict) string { return "/decided/" + string(verdict) }

// ofReview returns the events that the review of a request for a key of the Group is evidence of. They are about the request, because
// its review may be deleted and created again.
func ofReview(group *v1alpha1.Group, review *v1alpha1.KeyRequestReview) *evidence {
	of := &review.Spec.Request
	e := &evidence{group: identityOf(group), contacts: group.Spec.Contacts, subject: groupevent.Subject{
		Kind: kindRequest, Namespace: of.Namespace, Name: of.Name, UID: string(of.UID),
	}}
	data := groupevent.RequestCreated{UseCase: review.Spec.UseCase, Lifetime: string(review.Spec.Lifetime)}
	for _, name := range review.Spec.Projects {
		data.Projects = append(data.Projects, string(name))
	}
	for _, name := range review.Spec.Permissions {
		data.Permissions = append(data.Permissions, string(name))
	}
	e.addAbout(e.subject, groupevent.TypeRequestCreated, e.subject.UID+requested, of.At.Time, actor(of.By, of.Via), data)
	for i := range review.Spec.Decided {
		d := &review.Spec.Decided[i]
		e.addAbout(e.subject, verdicts[d.Verdict], e.subject.UID+decidedAs(d.Verdict), d.At.Time,
			actor(d.By, d.Via), groupevent.RequestDecided{Reason: d.Reason})
	}
	return e
}

// actor returns who made a request or decided about it. How is not known of what was recorded by a manager that did not stamp it.
func actor(user string, via v1alpha1.Via) groupevent.Actor {
	return groupevent.Actor{User: user, Via: cmp.Or(string(via), groupevent.ViaUnknown)}
}

// ended adds that a request has ended about which nobody had decided.
func (e *evidence) ended(at time.Time, by groupevent.Actor, how string) {
	e.addAbout(e.subject, groupevent.TypeRequestEnded, e.subject.UID+ended, at, by, groupevent.RequestEnded{How: how})
}

// reviewDeleted adds that a request has ended, if its review was deleted for that. Another review is created of a request that goes on.
func (w *Writer) reviewDeleted(ctx context.Context, found *evidence, review *v1alpha1.KeyRequestReview) error {
	if len(review.Spec.Decided) > 0 {
		return nil
	}
	gone, err := w.isGone(ctx, found.subject)
	over := review.Spec.Request.At.Add(keyrequest.Patience)
	switch {
	case err != nil:
		return err
	case gone:
		found.ended(w.Clock.Now(), byUnknown, groupevent.RequestDeleted)
	case !w.Clock.Now().Before(over):
		found.ended(over, byKeyward, groupevent.RequestExpired)
	}
	return nil
}

// requestDeleted adds that a request was deleted of which the log has that it was made, and not what was decided: its review may have been
// seen to go while the request was still there.
func (w *Writer) requestDeleted(group *v1alpha1.Group, found *evidence, request *v1alpha1.KeyRequest) {
	c := w.chainOf(group)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(request.Status.Decided) == 0 && !c.hasDecision(found.subject.UID) && c.has(found.subject.UID+requested) {
		found.ended(w.Clock.Now(), byUnknown, groupevent.RequestDeleted)
	}
}

// ofRequest returns the events that a request for a key of the Group is evidence of. Everything else is in its review. A request that the log
// does not have may never have been accepted by the Group.
func (w *Writer) ofRequest(group *v1alpha1.Group, request *v1alpha1.KeyRequest) *evidence {
	e := evidenceOf(group, kindRequest, request)
	if request.Status.State != v1alpha1.KeyRequestExpired {
		return e
	}
	c := w.chainOf(group)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has(e.subject.UID + requested) {
		e.ended(request.CreationTimestamp.Add(keyrequest.Patience), byKeyward, groupevent.RequestExpired)
	}
	return e
}

// ofReviewOrRequest returns the Group of a review or a request, and what it is evidence of; no Group if it is not that of the review any more.
func (w *Writer) ofReviewOrRequest(ctx context.Context, obj any) (*v1alpha1.Group, *evidence, error) {
	if review, is := obj.(*v1alpha1.KeyRequestReview); is {
		name := client.ObjectKey{Namespace: review.Namespace, Name: review.Spec.Group.Name}
		group, err := cache.Group(ctx, w.Cache, name, client.UnsafeDisableDeepCopy)
		if err != nil || group == nil || group.UID != review.Spec.Group.UID {
			return nil, nil, err
		}
		return group, ofReview(group, review), nil
	}
	request, is := obj.(*v1alpha1.KeyRequest)
	if !is {
		return nil, nil, fmt.Errorf("%T has no log", obj)
	}
	group, err := cache.Group(ctx, w.Cache, cache.GroupName(request.Spec.GroupRef, request.Namespace), client.UnsafeDisableDeepCopy)
	if err != nil || group == nil {
		return nil, nil, err
	}
	return group, w.ofRequest(group, request), nil
}

// hasDecision reports whether the log has that a request was approved or refused.
func (c *chain) hasDecision(request string) bool {
	return c.has(request+decidedAs(v1alpha1.VerdictApproved)) || c.has(request+decidedAs(v1alpha1.VerdictRefused))
}

// has reports whether the log has an event, or is to have it.
func (c *chain) has(event string) bool {
	_, known := c.known[idOf(event)]
	_, waits := c.waiting[idOf(event)]
	return known || waits
}

// requestsOf returns the reviews of requests for keys of the Group, and then the requests.
func (w *Writer) requestsOf(ctx context.Context, group *v1alpha1.Group) ([]any, error) {
	var reviews v1alpha1.KeyRequestReviewList
	var requests v1alpha1.KeyRequestList
	for _, list := range []client.ObjectList{&reviews, &requests} {
		of := client.MatchingFields{cache.ByGroup: client.ObjectKeyFromObject(group).String()}
		if err := w.Cache.List(ctx, list, of, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing the requests for keys of Group %s/%s: %w", group.Namespace, group.Name, err)
		}
	}
	all := make([]any, 0, len(reviews.Items)+len(requests.Items))
	for i := range reviews.Items {
		all = append(all, &reviews.Items[i])
	}
	for i := range requests.Items {
		all = append(all, &requests.Items[i])
	}
	return all, nil
}
