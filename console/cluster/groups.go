package cluster

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
)

// Groups implements web.Desk. Who may list Groups in the whole cluster sees all. For others the API has no list of what they may read: they see those of
// the configured namespaces, and of one that the search names, as in acme/ or acme/shop.
func (d *Desk) Groups(ctx context.Context, query web.ListQuery) (page.Groups, error) {
	from, err := parseCursor(query.After)
	if err != nil {
		return page.Groups{}, err
	}
	what, good := parseSought(query.Search)
	if !good {
		return page.Groups{Search: page.Input{Value: query.Search, Error: notNamespace}, Action: place.Groups}, nil
	}
	of := &listing[v1alpha1.Group]{
		into: func() client.ObjectList { return &v1alpha1.GroupList{} },
		item: items(func(list *v1alpha1.GroupList) []v1alpha1.Group { return list.Items }),
		keep: func(group *v1alpha1.Group) bool { return matches(group.Name, what.name) },
	}
	groups, next, limited, err := seek(ctx, d, of, what, from)
	if err != nil {
		return page.Groups{}, reading(err)
	}
	shown := page.Groups{Search: page.Input{Value: query.Search}, Action: place.Groups, Named: limited, Next: pathOf(place.Groups, query, next),
		Asked: place.Requests}
	if query.After == "" && d.seesPlatform(ctx) {
		shown.Platform = place.Platform
	}
	for i := range groups {
		shown.Groups = append(shown.Groups, view.Group(&groups[i], d.now(), !what.named))
	}
	return shown, nil
}

// Projects implements web.Desk.
func (d *Desk) Projects(ctx context.Context, of place.Group) (page.Projects, error) {
	group, err := d.group(ctx, of)
	if err != nil {
		return page.Projects{}, err
	}
	return view.Projects(group), nil
}
