package cache

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// New returns a constructor of caches of these namespaces, or of all if there are none. An object of a namespace that is not
// watched does not exist for a reader, because the manager has no right to read it: a reference to it is answered as one to an
// object that is missing, and not by an error, which would be tried again forever.
func New(namespaces []string) ctrlcache.NewCacheFunc {
	return func(config *rest.Config, options ctrlcache.Options) (ctrlcache.Cache, error) {
		inner, err := ctrlcache.New(config, options)
		if err != nil || len(namespaces) == 0 {
			return inner, err
		}
		return &scoped{Cache: inner, namespaces: namespaces}, nil
	}
}

type scoped struct {
	ctrlcache.Cache

	namespaces []string
}

// Get implements client.Reader. ConfigMaps are watched in the manager's namespace, too; who reads them knows where.
func (s *scoped) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, own := object.(*corev1.ConfigMap); !own && s.hides(key.Namespace) {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return s.Cache.Get(ctx, key, object, options...)
}

// List implements client.Reader.
func (s *scoped) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	requested := client.ListOptions{}
	requested.ApplyOptions(options)
	if s.hides(requested.Namespace) {
		return meta.SetList(list, nil)
	}
	return s.Cache.List(ctx, list, options...)
}

func (s *scoped) hides(namespace string) bool {
	return namespace != "" && !slices.Contains(s.namespaces, namespace)
}
