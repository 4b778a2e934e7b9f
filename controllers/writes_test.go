package controllers_test

import (
	"context"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/controllers"
)

// clientWithWatch reads from the cache, as the manager's client does.
func clientWithWatch() client.WithWatch {
	watching, err := client.NewWithWatch(config, client.Options{
		Scheme: controllers.Scheme(), Cache: &client.CacheOptions{Reader: manager.GetCache()},
	})
	Expect(err).NotTo(HaveOccurred())
	return watching
}

// countWrites calls count for every write to the API server.
func countWrites(count func()) interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			count()
			return c.Create(ctx, object, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			count()
			return c.Update(ctx, object, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			count()
			return c.Patch(ctx, object, patch, options...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			count()
			return c.Apply(ctx, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, subresource string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			count()
			return c.SubResource(subresource).Patch(ctx, object, patch, options...)
		},
	}
}
