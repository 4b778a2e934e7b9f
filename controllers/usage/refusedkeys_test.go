package usage_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var _ = Describe("The refused keys of a Group", func() {
	var w *testenv.World
	var pending *traffic.Pending
	var objects *store.Objects
	var server *session.Session
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		pending = traffic.New(clock.RealClock{})
		objects = &store.Objects{
			Client: testenv.Admin, Reader: testenv.Admin, Groups: testenv.Manager.GetClient(), Clock: clock.RealClock{}, Traffic: pending,
		}
		server = session.NewRegistry(clock.RealClock{}, 0).Connect(session.Server{
			Run:       session.Run{ID: session.ID{Instance: "server"}, Incarnation: "life"},
			Serves:    func(group string) (bool, bool) { return group == w.Namespace+"/acme", true },
			ServesKey: func(string, string) bool { return true },
		})
	})
	report := func(id, code, origin string) {
		at := time.Now().UnixMilli()
		pending.ReportKeys(server, &syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{{
			Group: w.Namespace + "/acme", Key: id, Code: code, Requests: 2, FirstMs: at, LastMs: at, Origin: origin,
		}}})
	}
	shown := func(ctx context.Context) []string {
		GinkgoHelper()
		usage := &v1alpha1.GroupUsage{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "acme"}, usage)).To(Succeed())
		texts := []string{}
		for _, is := range usage.Status.RefusedKeys {
			Expect(is.APIKey.Namespace).To(Equal(w.Namespace))
			texts = append(texts, fmt.Sprint(is.APIKey.Name, " ", is.Code, " ", is.Requests, " ", is.Origin))
		}
		return texts
	}
	// cached waits until the manager's cache knows the id of a key, or that there is none.
	cached := func(ctx context.Context, name, id string) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			key := &v1alpha1.ApiKey{}
			err := testenv.Manager.GetClient().Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, key)
			if id == "" {
				g.Expect(err).To(MatchError(ContainSubstring("not found")))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(key.Status.KeyID).To(Equal(id))
		}).Should(Succeed())
	}

	It("are recorded with what is written anyway, with either store of ledgers, and go with their ApiKeys", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "other" })
		w.CreateKey(ctx)
		id := w.ReconcileUntil(ctx, "web", testenv.Ready).Status.KeyID
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.GroupRef.Name = "foreign", "other" })
		foreign := w.ReconcileUntil(ctx, "foreign", testenv.Ready).Status.KeyID
		cached(ctx, "web", id)
		cached(ctx, "foreign", foreign)

		report(id, "origin_denied", "https://copy.example")
		report(foreign, "origin_denied", "https://copy.example")
		report("k0123456789abcdef", "origin_denied", "https://copy.example")
		Eventually(func() error { return objects.RecordTraffic(ctx, w.Namespace+"/acme") }).Should(Succeed())
		Expect(shown(ctx)).To(Equal([]string{"web origin_denied 2 https://copy.example"}), "keys of others are not shown")

		By("the store of ledgers being Redis: totals are published")
		report(id, "origin_denied", "")
		report(id, "key_retired", "")
		period := quotaledger.MonthOf(time.Now()).Period()
		Expect(objects.Publish(ctx, store.Key{Group: w.Namespace + "/acme", Period: period}, store.Totals{Requests: 1})).To(Succeed())
		Expect(shown(ctx)).To(ConsistOf("web origin_denied 4 https://copy.example", "web key_retired 2 "))

		By("the store of ledgers being objects")
		report(id, "key_retired", "")
		entry, err := objects.Load(ctx, store.Key{Group: w.Namespace + "/acme", Period: period})
		Expect(err).NotTo(HaveOccurred())
		_, err = objects.Save(ctx, store.Key{Group: w.Namespace + "/acme", Period: period}, entry, store.Totals{Requests: 1})
		Expect(err).NotTo(HaveOccurred())
		Expect(shown(ctx)).To(ConsistOf("web origin_denied 4 https://copy.example", "web key_retired 4 "))

		By("the ApiKey being deleted")
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "web"}, key)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) { // its finalizer
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(MatchError(ContainSubstring("not found")))
		}).Should(Succeed())
		cached(ctx, "web", "")
		Expect(objects.RecordTraffic(ctx, w.Namespace+"/acme")).To(Succeed())
		Expect(shown(ctx)).To(BeEmpty())
	})

	It("are gone when the Group is made again", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		w.CreateKey(ctx)
		id := w.ReconcileUntil(ctx, "web", testenv.Ready).Status.KeyID
		cached(ctx, "web", id)
		report(id, "origin_denied", "")
		Eventually(func() error { return objects.RecordTraffic(ctx, w.Namespace+"/acme") }).Should(Succeed())
		Expect(shown(ctx)).To(HaveLen(1))
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		again := w.CreateGroup(ctx)
		Eventually(func(g Gomega) {
			is := &v1alpha1.Group{}
			g.Expect(testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(again), is)).To(Succeed())
			g.Expect(is.UID).To(Equal(again.UID))
		}).Should(Succeed())
		Expect(objects.RecordTraffic(ctx, w.Namespace+"/acme")).To(Succeed())
		Expect(shown(ctx)).To(BeEmpty())
	})
})
