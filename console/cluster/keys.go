package cluster

import (
	"cmp"
	"context"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
	"github.com/keyward-dev/keyward/internal/role"
)

// Keys implements web.Desk.
func (d *Desk) Keys(ctx context.Context, of place.Group, query web.ListQuery) (page.Keys, error) {
	from, err := parseCursor(query.After)
	if err != nil {
		return page.Keys{}, err
	}
	group, err := d.group(ctx, of)
	if err != nil {
		return page.Keys{}, err
	}
	var keys []v1alpha1.ApiKey
	var next *cursor
	order := orderNamed(query.Order)
	if order == nil { // also of a link with an order that there is not, or no longer
		query.Order = ""
	}
	shown := page.Keys{Orders: orderChoices(cmp.Or(query.Order, byName))}
	switch {
	case !canMatch(query.Search):
	case order != nil:
		keys, next, shown.Some, shown.Within, err = d.keysInOrder(ctx, group, order, query.Search, from)
	case query.Search != "":
		keys, next, shown.Within, err = d.keysNamed(ctx, group, query.Search, from)
	default:
		keys, next, shown.Within, err = d.part(ctx, group, keysOf(of), from)
	}
	if err != nil {
		return page.Keys{}, reading(err)
	}
	seen, err := d.sight(ctx, of, of.Namespace)
	if err != nil {
		return page.Keys{}, err
	}
	shown.Next = pathOf(of.Of(), query, next)
	if shown.Create, shown.Ask, err = d.offers(ctx, group, seen); err != nil {
		return page.Keys{}, err
	}
	for i := range keys {
		shown.Keys = append(shown.Keys, seen.KeyRow(&keys[i]))
	}
	return shown, nil
}

// offers are the paths of the form for a new key, or in its place of that which asks for one, if the Group accepts that.
func (d *Desk) offers(ctx context.Context, group *v1alpha1.Group, seen *view.Sight) (create, ask string, err error) {
	if role.May(seen.Role, role.CreateKey) {
		return seen.Group.Of("new-key"), "", nil
	}
	if !view.AcceptsRequests(group) {
		return "", "", nil
	}
	asks, err := d.onRequests(ctx, "create", group.Namespace, "")
	if asks {
		ask = place.AskIn(group.Namespace, seen.Group)
	}
	return "", ask, err
}

// keysOf is a list of the keys of a Group.
func keysOf(of place.Group) *listing[v1alpha1.ApiKey] {
	return &listing[v1alpha1.ApiKey]{
		into: func() client.ObjectList { return &v1alpha1.ApiKeyList{} }, options: []client.ListOption{ofGroup(of)},
		item: items(func(list *v1alpha1.ApiKeyList) []v1alpha1.ApiKey { return list.Items }),
		keep: func(key *v1alpha1.ApiKey) bool { return view.Refers(key.Spec.GroupRef, key.Namespace, of) },
	}
}

// part returns a part of a list of the keys of a Group, as within does.
func (d *Desk) part(ctx context.Context, group *v1alpha1.Group, of *listing[v1alpha1.ApiKey], from cursor) (
	keys []v1alpha1.ApiKey, next *cursor, only string, err error) {
	return within(group, from, func(in string) ([]v1alpha1.ApiKey, *cursor, error) {
		of.in = []string{in}
		return gather(ctx, d, of, from)
	})
}

// within reads keys where those of a Group may be: in the whole cluster where others may refer to it and the person may list them, or else in its
// namespace. Only is that namespace if others may have keys, too, which the person may not list.
func within(group *v1alpha1.Group, from cursor, read func(in string) ([]v1alpha1.ApiKey, *cursor, error)) (
	keys []v1alpha1.ApiKey, next *cursor, only string, err error) {
	if onlyOwn(&group.Spec.AllowedNamespaces) {
		keys, next, err = read(group.Namespace)
		return keys, next, "", err
	}
	if from.Namespace != group.Namespace {
		keys, next, err = read(everywhere)
		if from != (cursor{}) || !apierrors.IsForbidden(err) {
			return keys, next, "", err
		}
	}
	keys, next, err = read(group.Namespace)
	return keys, next, group.Namespace, err
}

// onlyOwn reports whether only objects of its own namespace may refer to a Group.
func onlyOwn(from *v1alpha1.AllowedNamespaces) bool {
	return from.From == "" || from.From == v1alpha1.NamespacesFromSame
}

// Key implements web.Desk.
func (d *Desk) Key(ctx context.Context, of place.Key) (page.KeyDetail, error) {
	at, err := d.open(ctx, of, role.ReadKeys)
	if err != nil {
		return page.KeyDetail{}, err
	}
	recorded, unknown := d.recorded(ctx, of.Group) // the person may not read it, or it cannot be read: the rest is known all the same
	if keystate.Unclaimed(at.key) != nil {
		if at.sight.ReadsSecret, err = d.readsSecret(ctx, at.key); err != nil {
			return page.KeyDetail{}, err
		}
	}
	detail := at.sight.Key(at.group, at.key)
	if unknown == nil {
		detail.RefusalsKnown, detail.Refusals = true, at.sight.Refusals(recorded, at.key)
	}
	return detail, nil
}

// readsSecret reports whether the person may read the Secret of a key.
func (d *Desk) readsSecret(ctx context.Context, key *v1alpha1.ApiKey) (bool, error) {
	allowed, err := d.may(ctx, authorizationv1.ResourceAttributes{
		Resource: "secrets", Verb: "get", Namespace: key.Namespace, Name: lifecycle.SecretName(key),
	})
	return err == nil && allowed[0], err
}

// opened is a key of a Group, as a person sees it.
type opened struct {
	group *v1alpha1.Group
	key   *v1alpha1.ApiKey
	sight *view.Sight
}

// open reads a key for an operation that the role of the person has to include.
func (d *Desk) open(ctx context.Context, of place.Key, o role.Operation) (*opened, error) {
	group, err := d.group(ctx, of.Group)
	if err != nil {
		return nil, err
	}
	key := &v1alpha1.ApiKey{}
	if err := d.get(ctx, of.Namespace, of.Name, key); err != nil {
		return nil, err
	}
	if !view.Refers(key.Spec.GroupRef, key.Namespace, of.Group) {
		return nil, web.ErrNotFound
	}
	seen, err := d.sight(ctx, of.Group, of.Namespace)
	if err != nil {
		return nil, err
	}
	if !role.May(seen.Role, o) {
		return nil, lacks(o, of.Namespace)
	}
	return &opened{group, key, seen}, nil
}
