package cluster

import (
	"context"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

// reviews is the resource of requests, as they are in the namespace of a Group.
const reviews = "keyrequestreviews"

// SeesRequests implements web.Desk. It is asked for, and not taken from a role: one may be given this right alone.
func (d *Desk) SeesRequests(ctx context.Context, of place.Group) (bool, error) {
	allowed, err := d.may(ctx, authorizationv1.ResourceAttributes{
		Group: v1alpha1.GroupVersion.Group, Resource: reviews, Verb: "list", Namespace: of.Namespace,
	})
	return err == nil && allowed[0], err
}

// Requests implements web.Desk. The API server cannot select reviews by what was decided: the list is read for those that wait, and again for
// the others. What is decided between the two is shown twice, and nothing is left out.
func (d *Desk) Requests(ctx context.Context, of place.Group, after string) (page.Requests, error) {
	from, err := parseCursor(after)
	if err != nil {
		return page.Requests{}, err
	}
	group, err := d.group(ctx, of)
	if err != nil {
		return page.Requests{}, err
	}
	var found []v1alpha1.KeyRequestReview
	var next *cursor
	if !from.Decided {
		if found, next, err = d.reviewsOf(ctx, group, true, pageSize, from); err != nil {
			return page.Requests{}, reviewing(err)
		}
		from = cursor{Namespace: of.Namespace, Decided: true}
	}
	switch room := pageSize - len(found); {
	case next != nil:
	case room == 0:
		next = &from
	default:
		var decided []v1alpha1.KeyRequestReview
		if decided, next, err = d.reviewsOf(ctx, group, false, room, from); err != nil {
			return page.Requests{}, reviewing(err)
		}
		found = append(found, decided...)
	}
	slices.SortStableFunc(found, func(a, b v1alpha1.KeyRequestReview) int { return view.ByTurn(&a, &b) })
	seen := &view.Sight{Group: of, Now: d.now()}
	shown := page.Requests{Next: pathOf(of.Of("requests"), web.ListQuery{}, next)}
	for i := range found {
		shown.Requests = append(shown.Requests, seen.RequestRow(&found[i]))
	}
	return shown, nil
}

// reviewsOf returns a part of the reviews of a Group, either those that wait for a decision or the others.
func (d *Desk) reviewsOf(ctx context.Context, group *v1alpha1.Group, undecided bool, most int, from cursor) ([]v1alpha1.KeyRequestReview, *cursor, error) {
	of := &listing[v1alpha1.KeyRequestReview]{
		in: []string{group.Namespace}, into: func() client.ObjectList { return &v1alpha1.KeyRequestReviewList{} }, rows: most,
		options: []client.ListOption{client.MatchingFields{"spec.group.name": group.Name}},
		item:    items(func(list *v1alpha1.KeyRequestReviewList) []v1alpha1.KeyRequestReview { return list.Items }),
		keep: func(review *v1alpha1.KeyRequestReview) bool {
			return view.ReviewOf(review, group) && view.Undecided(review) == undecided
		},
	}
	from.Decided = false
	found, next, err := gather(ctx, d, of, from)
	if next != nil {
		next.Decided = !undecided
	}
	return found, next, err
}

// Request implements web.Desk.
func (d *Desk) Request(ctx context.Context, of place.Group, name string) (page.RequestDetail, error) {
	at, err := d.review(ctx, of, name)
	if err != nil {
		return page.RequestDetail{}, err
	}
	return at.sight.Request(at.review, at.group), nil
}

// DecideRequest implements web.Desk.
func (d *Desk) DecideRequest(ctx context.Context, of place.Group, name string, decision web.Decision) error {
	at, err := d.review(ctx, of, name)
	if err != nil {
		return err
	}
	review := at.review
	if !at.sight.Decides {
		return forbidden("it needs the rights to patch KeyRequestReviews in the namespace %s and to %s the Group %s there: the role %s has both",
			of.Namespace, v1alpha1.VerbApprove, of.Name, role.Owner)
	}
	verdict := v1alpha1.Verdict(decision.Verdict)
	if !view.CanFollow(review, verdict) {
		return fmt.Errorf("%w: the request is decided", web.ErrConflict)
	}
	before := review.DeepCopy()
	review.Spec.Decision = &v1alpha1.Decision{Verdict: verdict, Reason: decision.Reason}
	// The lock makes sure that nobody has decided since it was read.
	lock := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return changing(d.client.Patch(ctx, review, lock, fieldOwner))
}

// reviewed is a request for a key of a Group, as a person sees it.
type reviewed struct {
	group  *v1alpha1.Group
	review *v1alpha1.KeyRequestReview
	sight  *view.Sight
}

// review reads a review of a Group, and whether the person may decide about it: to write the review is not enough, admission asks for the verb
// approve on the Group.
func (d *Desk) review(ctx context.Context, of place.Group, name string) (*reviewed, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return nil, err
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, web.ErrNotFound
	}
	review := &v1alpha1.KeyRequestReview{}
	if err := d.client.Get(ctx, objectKey(of.Namespace, name), review); err != nil {
		return nil, reviewing(err)
	}
	if !view.ReviewOf(review, group) {
		return nil, web.ErrNotFound
	}
	allowed, err := d.may(ctx,
		authorizationv1.ResourceAttributes{Group: v1alpha1.GroupVersion.Group, Resource: reviews, Verb: "patch", Namespace: of.Namespace, Name: name},
		authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupVersion.Group, Resource: "groups", Verb: v1alpha1.VerbApprove, Namespace: of.Namespace, Name: of.Name,
		})
	if err != nil {
		return nil, err
	}
	return &reviewed{group, review, &view.Sight{Group: of, Decides: allowed[0] && allowed[1], Now: d.now()}}, nil
}

// reviewing returns an error of reading requests, for who may read the Group: that there may be some is no secret to them.
func reviewing(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w: %w", web.ErrForbidden, err)
	}
	return reading(err)
}
