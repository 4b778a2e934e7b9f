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
	at, err := d.open(ctx, of, role.ReadKeys)
	if err != nil {
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
	changes, err := watcher.Watch(ctx, list, &client.ListOptions{
		Namespace: of.Namespace,
		Raw:       &metav1.ListOptions{FieldSelector: metav1.ObjectNameField + "=" + at.key.Name, ResourceVersion: at.key.ResourceVersion},
	})
	if err != nil {
		return nil, reading(err)
	}
	versions := make(chan string, 1)
	versions <- at.key.ResourceVersion
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
