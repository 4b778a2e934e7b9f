package cluster

import (
	"context"
	"errors"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
)

// Usage implements web.Desk.
func (d *Desk) Usage(ctx context.Context, of place.Group, month string) (page.Usage, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return page.Usage{}, err
	}
	recorded, err := d.recorded(ctx, of)
	if err != nil {
		return page.Usage{}, err
	}
	many := keysOf(of)
	many.rows, many.atOnce = manyRows, manyAtOnce
	keys, next, only, err := d.part(ctx, group, many, cursor{})
	if err != nil {
		return page.Usage{}, reading(err)
	}
	seen := &view.Sight{Group: of, Now: d.now()}
	used, err := seen.Usage(group, recorded, keys, next == nil && only == "", month)
	if errors.Is(err, view.ErrMonth) {
		return page.Usage{}, errors.Join(web.ErrNotFound, err)
	}
	return used, err
}

// recorded reads the GroupUsage of a Group, which there is none of before it was used.
func (d *Desk) recorded(ctx context.Context, of place.Group) (*v1alpha1.GroupUsage, error) {
	recorded := &v1alpha1.GroupUsage{}
	return recorded, unlessMissing(d.client.Get(ctx, objectKey(of.Namespace, of.Name), recorded))
}
