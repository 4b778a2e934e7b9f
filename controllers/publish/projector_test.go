package publish_test

import (
	"context"
	"crypto/rand"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// interrupted is a cache in which something happens before the informer of ApiKeys is returned.
type interrupted struct {
	ctrlcache.Cache

	happens func()
}

// GetInformer implements ctrlcache.Informers.
func (c interrupted) GetInformer(ctx context.Context, object client.Object,
	options ...ctrlcache.InformerGetOption) (ctrlcache.Informer, error) {
	if _, keys := object.(*v1alpha1.ApiKey); keys {
		c.happens()
	}
	return c.Cache.GetInformer(ctx, object, options...)
}

var _ = Describe("A new leader", func() {
	It("publishes namespaces as they are, no matter what changes in the meantime", func(ctx SpecContext) {
		w, other := testenv.NewWorld(ctx), testenv.NewWorld(ctx)
		other.CreateGroup(ctx, testenv.Admitting(w))
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
		testenv.Edit(ctx, namespace, func(n *corev1.Namespace) { n.Labels["admitted"] = w.Namespace })
		Eventually(func() error { // the webhook's cache may lag
			list := w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) { l.Spec.GroupRef.Namespace = other.Namespace })
			return testenv.Admin.Create(ctx, list)
		}).Should(Succeed())
		patterns := func(hub *publish.Hub) func(Gomega) []string {
			v := testenv.Validator{Subscription: hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: other.Selection()})}
			DeferCleanup(func() { v.Close(true) })
			var latest []string
			return func(g Gomega) []string {
				next, cancel := context.WithCancel(ctx)
				if v.CaughtUp() {
					cancel()
				}
				defer cancel()
				if update, err := v.Next(next); err == nil {
					v.Ack(update.GetRevision())
					for _, group := range update.GetGroups() {
						latest = group.GetProjects()[0].GetOrigins().GetPatterns()
					}
				}
				return latest
			}
		}
		Eventually(patterns(testenv.Hub)).Should(ConsistOf("www.acme.example"))

		fresh, before := publish.NewHub(clock.RealClock{}, session.NewRegistry(clock.RealClock{}, 0), publish.Options{}), 0
		projector := &publish.Projector{Hub: fresh, Cache: interrupted{testenv.Manager.GetCache(), func() {
			defer GinkgoRecover()
			before++ // the Group is published with the allowlist
			testenv.Edit(ctx, namespace, func(n *corev1.Namespace) { delete(n.Labels, "admitted") })
			Eventually(func() (map[string]string, error) {
				return cache.NamespaceLabels(ctx, testenv.Manager.GetCache(), w.Namespace)
			}).ShouldNot(HaveKey("admitted"))
		}}}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- projector.Start(running) }()
		DeferCleanup(func() {
			stop()
			Eventually(ended).Should(Receive(BeNil()))
		})
		Eventually(fresh.Opened()).Should(BeClosed())
		Expect(before).To(Equal(1))
		Eventually(patterns(fresh)).Should(BeEmpty())
		Consistently(patterns(fresh), "100ms").Should(BeEmpty())
	})
})
