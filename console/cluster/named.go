package cluster

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/view"
	"github.com/keyward-dev/keyward/console/web"
)

const (
	// namesAtOnce is how many names are asked for at once to look for a part of one: without the rest of the object, which costs most.
	namesAtOnce = 500
	// mostSingly is how many objects of these are read one by one, singlyAtOnce at a time. Where more match, their part of the list is read.
	mostSingly, singlyAtOnce = 20, 8
)

// keysNamed returns a page of the keys of a Group whose names contain something. The API server cannot search: names are looked at, where within
// says.
func (d *Desk) keysNamed(ctx context.Context, group *v1alpha1.Group, search string, from cursor) (
	keys []v1alpha1.ApiKey, next *cursor, only string, err error) {
	of := place.Group{Namespace: group.Namespace, Name: group.Name}
	return within(group, from, func(in string) ([]v1alpha1.ApiKey, *cursor, error) { return d.keysNamedIn(ctx, of, in, search, from) })
}

func (d *Desk) keysNamedIn(ctx context.Context, of place.Group, in, search string, from cursor) (found []v1alpha1.ApiKey, next *cursor, err error) {
	if from != (cursor{}) && from.Namespace != in {
		return nil, nil, errors.Join(web.ErrNotFound, errScope)
	}
	at, after := from.Continue, ""
	if from.After != nil {
		after = from.After.Name
	}
	for range lookups {
		names := &metav1.PartialObjectMetadataList{}
		names.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKeyList"))
		if err := d.list(ctx, names, in, at, namesAtOnce, ofGroup(of)); err != nil {
			return nil, nil, err
		}
		matching := slices.DeleteFunc(names.Items, func(one metav1.PartialObjectMetadata) bool {
			return !matches(one.Name, search) || one.Namespace+"/"+one.Name <= after
		})
		room := pageSize - len(found)
		part, err := d.keysAt(ctx, of, in, at, matching[:min(len(matching), room)])
		if err != nil {
			return nil, nil, err
		}
		found = append(found, part...)
		if len(matching) > room {
			last := matching[room-1]
			return found, &cursor{Namespace: in, Continue: at, After: &rank{Name: last.Namespace + "/" + last.Name}}, nil
		}
		if at, after = names.Continue, ""; at == "" {
			return found, nil, nil
		}
		if len(found) == pageSize {
			break
		}
	}
	return found, &cursor{Namespace: in, Continue: at}, nil
}

// keysAt reads the keys of these names, which are in the part of the list that begins at from. Keys that are gone or of another Group are left out.
// Who may list keys, and get none, gets those that are in that part of the list still.
func (d *Desk) keysAt(ctx context.Context, of place.Group, in, from string, names []metav1.PartialObjectMetadata) ([]v1alpha1.ApiKey, error) {
	keys, listed := make([]v1alpha1.ApiKey, len(names)), false
	fromList := func() error {
		list := &v1alpha1.ApiKeyList{}
		if err := d.list(ctx, list, in, from, namesAtOnce, ofGroup(of)); err != nil {
			return err
		}
		listed = true
		for i := range list.Items {
			key := &list.Items[i]
			at := slices.IndexFunc(names, func(one metav1.PartialObjectMetadata) bool {
				return one.Name == key.Name && one.Namespace == key.Namespace
			})
			if at >= 0 {
				keys[at] = *key
			}
		}
		return nil
	}
	if len(names) > mostSingly {
		if err := fromList(); err != nil {
			return nil, err
		}
	}
	err := d.keysSingly(ctx, names, keys)
	if apierrors.IsForbidden(err) {
		if err = nil; !listed {
			err = fromList()
		}
	}
	return slices.DeleteFunc(keys, func(key v1alpha1.ApiKey) bool {
		return key.Name == "" || !view.Refers(key.Spec.GroupRef, key.Namespace, of)
	}), err
}

// keysSingly reads the keys of these names that were not read yet. One that is gone has no name.
func (d *Desk) keysSingly(ctx context.Context, names []metav1.PartialObjectMetadata, into []v1alpha1.ApiKey) error {
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(singlyAtOnce)
	for i, one := range names {
		if into[i].Name != "" {
			continue
		}
		reading.Go(func() error {
			key := &v1alpha1.ApiKey{}
			if err := d.client.Get(ctx, objectKey(one.Namespace, one.Name), key); err != nil {
				return client.IgnoreNotFound(err)
			}
			into[i] = *key
			return nil
		})
	}
	return reading.Wait()
}

// ofGroup has the API server select objects by the name of their Group. Those of another Group of that name, in another namespace, are among them.
func ofGroup(of place.Group) client.ListOption {
	return client.MatchingFields{"spec.groupRef.name": of.Name}
}
