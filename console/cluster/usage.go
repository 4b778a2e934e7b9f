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

// keyPages is how many pages of keys are read to find those with the most requests.
const keyPages = 10

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
	var keys []v1alpha1.ApiKey
	from, all := cursor{}, false
	for range keyPages {
		more, next, err := d.keysOf(ctx, group, "", from)
		if err != nil {
			return page.Usage{}, reading(err)
		}
		for i := range more { // of a key, only what is counted is kept
			keys = append(keys, v1alpha1.ApiKey{
				ObjectMeta: nameOf(&more[i]), Status: v1alpha1.ApiKeyStatus{Usage: more[i].Status.Usage},
			})
		}
		if all = next == nil; all {
			break
		}
		from = *next
	}
	seen := &view.Sight{Group: of, Now: d.now()}
	used, err := seen.Usage(group, recorded, keys, all, month)
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
