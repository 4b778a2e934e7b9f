package publish_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// watched is a cache that counts how often the keys of Groups are listed, and that fails while fails is set.
type watched struct {
	ctrlcache.Cache

	lists *atomic.Int32
	fails *atomic.Bool
}

func (c watched) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, is := list.(*v1alpha1.ApiKeyList); is {
		c.lists.Add(1)
	}
	return c.Cache.List(ctx, list, options...)
}

func (c watched) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if c.fails.Load() {
		return errors.New("the cache fails for this test")
	}
	return c.Cache.Get(ctx, key, object, options...)
}

var _ = Describe("The Projector", func() {
	project := func(ctx context.Context) (*publish.Hub, watched) {
		GinkgoHelper()
		hub := publish.NewHub(clock.RealClock{}, session.NewRegistry(clock.RealClock{}, 0), publish.Options{})
		cached := watched{testenv.Manager.GetCache(), &atomic.Int32{}, &atomic.Bool{}}
		projector := &publish.Projector{Hub: hub, Cache: cached}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- projector.Start(running) }()
		DeferCleanup(func() {
			stop()
			Eventually(ended).Should(Receive(BeNil()))
		})
		Eventually(hub.Opened()).Should(BeClosed())
		return hub, cached
	}
	digestOf := func(key *v1alpha1.ApiKey) keyformat.Digest {
		GinkgoHelper()
		read, err := keyformat.ReadDigest(key.Status.Versions[0].Digest)
		Expect(err).NotTo(HaveOccurred())
		return read.Digest
	}

	It("publishes the keys of a Group again only if it grants them something else", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		group := w.CreateGroup(ctx)
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		hub, cached := project(ctx)
		published := func() bool { _, known := hub.GroupOf(digestOf(key)); return known }
		Eventually(published).Should(BeTrue())
		v := testenv.Validator{Subscription: hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})}
		DeferCleanup(func() { v.Close(true) })
		contextOf := func(g Gomega) map[string]string {
			for {
				update, err := v.Next(ctx)
				g.Expect(err).NotTo(HaveOccurred())
				v.Ack(update.GetRevision())
				for _, group := range update.GetGroups() {
					return group.GetContext()
				}
			}
		}
		Eventually(contextOf).Should(BeEmpty())
		before := cached.lists.Load()
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Context = map[string]v1alpha1.ContextValue{"database": "other"} })
		Eventually(contextOf).Should(HaveKey("database"))
		Expect(cached.lists.Load()).To(Equal(before), "the keys were listed")

		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects = []v1alpha1.Project{{Name: "elsewhere"}} })
		Eventually(published).Should(BeFalse(), "its project is gone")
		Expect(cached.lists.Load()).To(BeNumerically(">", before))
	})

	It("tries again what it could not publish", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		hub, cached := project(ctx)
		cached.fails.Store(true)
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		published := func() bool { _, known := hub.GroupOf(digestOf(key)); return known }
		Consistently(published, "200ms").Should(BeFalse())
		cached.fails.Store(false)
		Eventually(published).Should(BeTrue())
	})
})
