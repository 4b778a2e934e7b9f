package testenv

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/controllers"
)

// NewClient is a client that reads from the cache, as the manager's client does, for an interceptor to wrap.
func NewClient() client.WithWatch {
	GinkgoHelper()
	watching, err := client.NewWithWatch(Config, client.Options{
		Scheme: controllers.Scheme(), Cache: &client.CacheOptions{Reader: Manager.GetCache()},
	})
	Expect(err).NotTo(HaveOccurred())
	return watching
}

// CountWrites calls count for every write to the API server.
func CountWrites(count func()) interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			count()
			return c.Create(ctx, object, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			count()
			return c.Update(ctx, object, options...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch,
			options ...client.PatchOption) error {
			count()
			return c.Patch(ctx, object, patch, options...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			count()
			return c.Apply(ctx, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, subresource string, object client.Object, patch client.Patch,
			options ...client.SubResourcePatchOption) error {
			count()
			return c.SubResource(subresource).Patch(ctx, object, patch, options...)
		},
	}
}

// Warnings collects what the API server warns a client of.
type Warnings struct{ Texts []string }

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *Warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.Texts = append(w.Texts, text)
}

// As is a client of another user with every right, and what it is warned of.
func As(user string) (client.Client, *Warnings) {
	GinkgoHelper()
	return Impersonate(user, "system:masters")
}

// AsUser is a client of a user with the rights that it was given and no others.
func AsUser(user string) (client.Client, *Warnings) {
	GinkgoHelper()
	return Impersonate(user, "system:authenticated")
}

// Impersonate is a client of a user in groups, and what it is warned of.
func Impersonate(user string, groups ...string) (client.Client, *Warnings) {
	GinkgoHelper()
	impersonating := rest.CopyConfig(Config)
	impersonating.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	warnings := &Warnings{}
	impersonating.WarningHandlerWithContext = warnings
	c, err := client.New(impersonating, client.Options{Scheme: controllers.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c, warnings
}

// Edit changes an object as a user would.
func Edit[T client.Object](ctx context.Context, object T, change func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := Admin.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		change(object)
		return Admin.Update(ctx, object)
	}).Should(Succeed())
}
