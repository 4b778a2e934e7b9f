package apikey_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers"
	"github.com/keyward-dev/keyward/controllers/apikey"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage"
)

// runControllers lets the real controllers work in the World's namespace, and nowhere else.
func runControllers(ctx context.Context, w *testenv.World) {
	GinkgoHelper()
	options := controllers.CacheOptions()
	options.DefaultNamespaces = map[string]ctrlcache.Config{w.Namespace: {}}
	mgr, err := ctrl.NewManager(testenv.Config, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: options, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(cache.RegisterIndexes(ctx, mgr.GetFieldIndexer())).To(Succeed())
	Expect((&apikey.Reconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Hub: testenv.Hub, Usage: usage.NewTracker(clock.RealClock{}, testenv.Sessions),
		Tiers:    testenv.Tiers,
		Recorder: w.Recorder, Clock: clock.RealClock{}, Random: rand.Reader, LastUsedResolution: time.Minute,
		Seals: testenv.Seals(), Memory: testenv.Memory(clock.RealClock{}),
	}).Setup(mgr)).To(Succeed())
	Expect((&group.Reconciler{Client: mgr.GetClient(), Hub: testenv.Hub, Tiers: testenv.Tiers, Recorder: w.Recorder,
		Clock: clock.RealClock{}}).Setup(mgr)).To(Succeed())
	running, stop := context.WithCancel(context.Background())
	stopped, drained := make(chan error, 1), make(chan struct{})
	go func() { stopped <- mgr.Start(running) }()
	go func() { // events block their sender when nobody reads them
		defer close(drained)
		for {
			select {
			case <-w.Recorder.Events:
			case <-running.Done():
				return
			}
		}
	}()
	DeferCleanup(func() {
		stop()
		Eventually(stopped).Should(Receive(BeNil()))
		<-drained
	})
}

// keysOf are the ApiKeys of a Group, oldest first, once each is minted or told that it is not.
func keysOf(ctx context.Context, w *testenv.World, group string) (minted, waiting []v1alpha1.ApiKey) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		minted, waiting = nil, nil
		var keys v1alpha1.ApiKeyList
		g.Expect(testenv.Admin.List(ctx, &keys, client.InNamespace(w.Namespace), client.MatchingLabels{"group": group})).To(Succeed())
		slices.SortFunc(keys.Items, func(a, b v1alpha1.ApiKey) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
		})
		for i := range keys.Items {
			key := &keys.Items[i]
			ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
			g.Expect(ready).NotTo(BeNil())
			switch {
			case ready.Reason == v1alpha1.ReasonKeyLimitReached:
				g.Expect(key.Status.Versions).To(BeEmpty())
				g.Expect(key.Status.State).To(Equal(v1alpha1.KeyBlocked))
				waiting = append(waiting, *key)
			case key.Status.State != v1alpha1.KeyRevoked:
				g.Expect(ready.Status).To(Equal(metav1.ConditionTrue), ready.Message)
				minted = append(minted, *key)
			}
		}
	}, "60s").Should(Succeed())
	return minted, waiting
}

func names(keys []v1alpha1.ApiKey) []string {
	var all []string
	for i := range keys {
		all = append(all, keys[i].Name)
	}
	return all
}

var _ = Describe("The limit of keys", func() {
	const limit, creates = 10, 200
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	limited := func(name string) *v1alpha1.Group {
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
		group.Spec.Limits.Keys = new(int32(limit))
		return group
	}
	// create reports how many keys admission has let pass.
	create := func(ctx context.Context, group string) int {
		GinkgoHelper()
		var all sync.WaitGroup
		var passed atomic.Int64
		for i := range creates {
			all.Go(func() {
				defer GinkgoRecover()
				key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: fmt.Sprintf("%s-%d", group, i),
					Labels: map[string]string{"group": group}}}
				key.Spec.GroupRef.Name = group
				key.Spec.Projects = []v1alpha1.ProjectName{v1alpha1.DefaultProject}
				err := testenv.Admin.Create(ctx, key)
				for range 5 { // of so many connections at once, the webhook server may close one that is being reused
					if !apierrors.IsInternalError(err) {
						break
					}
					err = testenv.Admin.Create(ctx, key)
				}
				switch {
				case err == nil:
					passed.Add(1)
				case !apierrors.IsInvalid(err):
					Expect(err).NotTo(HaveOccurred())
				}
			})
		}
		all.Wait()
		return int(passed.Load())
	}

	It("is exact where 200 keys are created at once", func(ctx SpecContext) {
		runControllers(ctx, w)
		for i := range 6 {
			name, created := fmt.Sprintf("acme-%d", i), 0
			if i%2 == 0 { // the webhook warns of some
				Expect(testenv.Admin.Create(ctx, limited(name))).To(Succeed())
				created = create(ctx, name)
			} else { // and of none as long as there is no Group
				created = create(ctx, name)
				Expect(testenv.Admin.Create(ctx, limited(name))).To(Succeed())
			}
			Expect(created).To(Equal(creates))
			Eventually(func(g Gomega) {
				minted, waiting := keysOf(ctx, w, name)
				g.Expect(minted).To(HaveLen(limit))
				g.Expect(waiting).To(HaveLen(created - limit))
			}).Should(Succeed())
			minted, waiting := keysOf(ctx, w, name)
			Expect(minted).To(HaveLen(limit))
			_, _ = fmt.Fprintf(GinkgoWriter, "run %d: %d created, %d minted, %d waiting\n", i, created, len(minted), len(waiting))
		}
	})

	It("lets the oldest in when a key slot becomes free", func(ctx SpecContext) {
		create(ctx, "acme")
		runControllers(ctx, w)
		group := limited("acme")
		Expect(testenv.Admin.Create(ctx, group)).To(Succeed())
		var minted, waiting []v1alpha1.ApiKey
		Eventually(func() int { minted, waiting = keysOf(ctx, w, "acme"); return len(minted) + len(waiting) }).Should(Equal(creates))
		Expect(minted).To(HaveLen(limit))
		for i := range minted {
			Expect(minted[i].CreationTimestamp.After(waiting[0].CreationTimestamp.Time)).To(BeFalse())
		}

		By("revoking one, and deleting another")
		testenv.Edit(ctx, &minted[0], func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		Eventually(func() []string { now, _ := keysOf(ctx, w, "acme"); return names(now) }).
			Should(ConsistOf(append(names(minted[1:]), waiting[0].Name)))
		Expect(testenv.Admin.Delete(ctx, &minted[1])).To(Succeed())
		Eventually(func() []string { now, _ := keysOf(ctx, w, "acme"); return names(now) }).
			Should(ConsistOf(append(names(minted[2:]), names(waiting[:2])...)))

		By("raising the limit")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = new(int32(limit + 5)) })
		Eventually(func() []string { now, _ := keysOf(ctx, w, "acme"); return names(now) }).
			Should(ConsistOf(append(names(minted[2:]), names(waiting[:7])...)))

		By("lowering it below what there is")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = new(int32(1)) })
		Eventually(func(g Gomega) {
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed())
			g.Expect(group.Status.Keys.Limit).To(HaveValue(BeEquivalentTo(1)))
			g.Expect(group.Status.Keys.Active).To(HaveValue(BeEquivalentTo(limit + 5)))
		}).Should(Succeed())
	})

	It("is reported at admission, with a hint", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Tier = "Free" })
		w.CreateKey(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "second" })
		third := func() *v1alpha1.ApiKey { return w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "third" }) }
		user, heard := testenv.As("jane")
		warnings := func() []string {
			heard.Texts = nil
			Expect(user.Create(ctx, third(), client.DryRunAll)).To(Succeed())
			return heard.Texts
		}
		Eventually(warnings).Should(ConsistOf(And(
			ContainSubstring("spec.groupRef"), ContainSubstring("may have 2 ApiKeys, and has them"),
			ContainSubstring("raise spec.limits.keys or spec.tier"))))
		key := w.NewKey()
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		Eventually(warnings).Should(BeEmpty())
	})
})
