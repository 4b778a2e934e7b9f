package cluster

import (
	"context"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

// NewKey implements web.Desk.
func (d *Desk) NewKey(ctx context.Context, of place.Group, entered *web.EnteredKey, yaml bool) (page.Create, error) {
	group, seen, err := d.creating(ctx, of)
	if err != nil {
		return page.Create{}, err
	}
	if entered == nil {
		return seen.NewKey(group, nil, nil), nil
	}
	key, problems := seen.Create(group, (*view.EnteredKey)(entered))
	if !yaml {
		return seen.NewKey(group, (*view.EnteredKey)(entered), problems), nil
	}
	form := seen.NewKey(group, (*view.EnteredKey)(entered), nil)
	form.YAML, err = view.KeyYAML(key)
	return form, err
}

// CreateKey implements web.Desk. The ApiKey is in the namespace of the Group.
func (d *Desk) CreateKey(ctx context.Context, of place.Group, entered web.EnteredKey) (place.Key, error) {
	group, seen, err := d.creating(ctx, of)
	if err != nil {
		return place.Key{}, err
	}
	key, problems := seen.Create(group, (*view.EnteredKey)(&entered))
	if len(problems) > 0 {
		return place.Key{}, &web.InvalidError{Fields: problems}
	}
	if err := d.client.Create(ctx, key, fieldOwner); err != nil {
		return place.Key{}, changing(err)
	}
	return place.Key{Group: of, Namespace: key.Namespace, Name: key.Name}, nil
}

// creating reads a Group for a new key of it.
func (d *Desk) creating(ctx context.Context, of place.Group) (*v1alpha1.Group, *view.Sight, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return nil, nil, err
	}
	seen, err := d.sight(ctx, of, of.Namespace)
	if err == nil && !role.May(seen.Role, role.CreateKey) {
		err = lacks(role.CreateKey, of.Namespace)
	}
	return group, seen, err
}
