package cluster

import (
	"context"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

// Member implements web.Desk.
func (d *Desk) Member(ctx context.Context, of place.Group) (role.Role, string, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return "", "", err
	}
	is, err := d.role(ctx, of, of.Namespace)
	return is, view.Tier(group), err
}

// group reads a Group.
func (d *Desk) group(ctx context.Context, of place.Group) (*v1alpha1.Group, error) {
	group := &v1alpha1.Group{}
	return group, d.get(ctx, of.Namespace, of.Name, group)
}

// get reads an object. A name that no object can have is not asked for.
func (d *Desk) get(ctx context.Context, namespace, name string, object client.Object) error {
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return web.ErrNotFound
	}
	return reading(d.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object))
}

// sight returns how the person sees a Group that they may read, or objects of it in another namespace.
func (d *Desk) sight(ctx context.Context, of place.Group, namespace string) (*view.Sight, error) {
	is, err := d.role(ctx, of, namespace)
	return &view.Sight{Group: of, Role: is, Now: d.now()}, err
}

// ladder has what a role includes and the one before it does not; a role is only that of somebody who may do all of it. It is asked for one by one, and
// not as a list of rules, because only that is an answer with every kind of authorizer.
var ladder = []struct {
	is       role.Role
	verbs    []string
	resource string
	ofGroup  bool // about the Group itself
}{
	{role.Member, []string{"patch"}, "domainallowlists", false},
	{role.Admin, []string{"create", "patch"}, "apikeys", false},
	{role.Owner, []string{"patch"}, "groups", true},
}

// role returns the role of a person who may read a Group, about objects in a namespace.
func (d *Desk) role(ctx context.Context, of place.Group, namespace string) (role.Role, error) {
	var asked []authorizationv1.ResourceAttributes
	for _, step := range ladder {
		for _, verb := range step.verbs {
			attributes := authorizationv1.ResourceAttributes{
				Group: v1alpha1.GroupVersion.Group, Resource: step.resource, Verb: verb, Namespace: namespace,
			}
			if step.ofGroup {
				attributes.Namespace, attributes.Name = of.Namespace, of.Name
			}
			asked = append(asked, attributes)
		}
	}
	allowed, err := d.may(ctx, asked...)
	if err != nil {
		return "", err
	}
	is, at := role.Viewer, 0
	for _, step := range ladder {
		for range step.verbs {
			if at++; !allowed[at-1] {
				return is, nil
			}
		}
		is = step.is
	}
	return is, nil
}

// may asks the API server what the person may do, all at once.
func (d *Desk) may(ctx context.Context, asked ...authorizationv1.ResourceAttributes) ([]bool, error) {
	allowed, failed := make([]bool, len(asked)), make([]error, len(asked))
	var all sync.WaitGroup
	for i := range asked {
		all.Go(func() {
			review := &authorizationv1.SelfSubjectAccessReview{}
			review.Spec.ResourceAttributes = &asked[i]
			failed[i] = d.client.Create(ctx, review)
			allowed[i] = failed[i] == nil && review.Status.Allowed
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil && !apierrors.IsForbidden(err) { // who may not even ask may do nothing
			return nil, err
		}
	}
	return allowed, nil
}
