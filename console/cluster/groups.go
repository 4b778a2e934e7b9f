package cluster

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
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
	namespace, name, named := strings.Cut(strings.TrimSpace(query.Search), "/")
	if !named {
		namespace, name = everywhere, namespace
	} else if len(validation.IsDNS1123Label(namespace)) > 0 {
		return page.Groups{Search: page.Input{Value: query.Search, Error: "Write the name of a namespace before the slash."}, Action: place.Groups}, nil
	}
	of := &listing[v1alpha1.Group]{
		in: []string{namespace}, into: func() client.ObjectList { return &v1alpha1.GroupList{} },
		item: items(func(list *v1alpha1.GroupList) []v1alpha1.Group { return list.Items }),
		keep: func(group *v1alpha1.Group) bool { return matches(group.Name, name) }, skips: named,
	}
	limited := !named && from.Namespace != everywhere
	if limited {
		of.in, of.skips = d.namespaces, true
	}
	groups, next, err := gather(ctx, d, of, from)
	if !named && from == (cursor{}) && apierrors.IsForbidden(err) {
		of.in, of.skips, limited = d.namespaces, true, true
		groups, next, err = gather(ctx, d, of, cursor{})
	}
	if err != nil {
		return page.Groups{}, reading(err)
	}
	shown := page.Groups{Search: page.Input{Value: query.Search}, Action: place.Groups, Named: limited, Next: pathOf(place.Groups, query.Search, next)}
	for i := range groups {
		shown.Groups = append(shown.Groups, view.Group(&groups[i], d.now(), !named))
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
