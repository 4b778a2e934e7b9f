package cluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/place"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/internal/role"
)

var _ web.Desk = (*Desk)(nil)

// Follow implements web.Desk. The API server sends only metadata of the one object.
func (d *Desk) Follow(ctx context.Context, of place.Key) (<-chan string, error) {
	if _, err := d.open(ctx, of, role.ReadKeys); err != nil {
		return nil, err
	}
	config := rest.CopyConfig(d.config)
	config.Timeout = 0 // which a watch would not outlast; ctx ends it
	watcher, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("prepare a watch: %w", err)
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ApiKeyList"))
	only := &metav1.ListOptions{FieldSelector: metav1.ObjectNameField + "=" + of.Name}
	if err := watcher.List(ctx, list, &client.ListOptions{Namespace: of.Namespace, Raw: only}); err != nil {
		return nil, reading(err)
	}
	if len(list.Items) != 1 {
		return nil, web.ErrNotFound
	}
	version := list.Items[0].ResourceVersion
	// The API server may have forgotten what was at the version of an object that has not changed for long, but not what is now.
	only.ResourceVersion = list.ResourceVersion
	changes, err := watcher.Watch(ctx, list, &client.ListOptions{Namespace: of.Namespace, Raw: only})
	if err != nil {
		return nil, reading(err)
	}
	versions := make(chan string, 1)
	versions <- version
	go func() {
		defer close(versions)
		defer changes.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case change, more := <-changes.ResultChan():
				object, ok := change.Object.(client.Object)
				if !more || change.Type == watch.Error || !ok {
					return
				}
				select { // nobody has taken the one before
				case <-versions:
				default:
				}
				versions <- object.GetResourceVersion()
			}
		}
	}()
	return versions, nil
}
