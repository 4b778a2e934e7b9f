package controllers_test

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
	"github.com/keyward-dev/keyward/controllers/usage"
)

// run lets the real controllers work in the world's namespace, and nowhere else.
func (w *world) run(ctx context.Context) {
	GinkgoHelper()
	options := controllers.CacheOptions()
	options.DefaultNamespaces = map[string]ctrlcache.Config{w.namespace: {}}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: controllers.Scheme(), Cache: options, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: ctrlconfig.Controller{SkipNameValidation: new(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(cache.RegisterIndexes(ctx, mgr.GetFieldIndexer())).To(Succeed())
	Expect((&apikey.Reconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Hub: hub, Usage: usage.NewTracker(clock.RealClock{}), Tiers: tiers,
		Recorder: w.recorder, Clock: clock.RealClock{}, Random: rand.Reader, LastUsedResolution: time.Minute,
		Seals: seals(), Memory: memory(clock.RealClock{}),
	}).Setup(mgr)).To(Succeed())
	Expect((&group.Reconciler{Client: mgr.GetClient(), Hub: hub, Tiers: tiers, Recorder: w.recorder, Clock: clock.RealClock{}}).Setup(mgr)).To(Succeed())
	running, stop := context.WithCancel(context.Background())
	stopped, drained := make(chan error, 1), make(chan struct{})
	go func() { stopped <- mgr.Start(running) }()
	go func() { // events block their sender when nobody reads them
		defer close(drained)
		for {
			select {
			case <-w.recorder.Events:
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

// settled are the ApiKeys of a Group, oldest first, once each is minted or told that it is not.
func (w *world) settled(ctx context.Context, group string) (minted, waiting []v1alpha1.ApiKey) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		minted, waiting = nil, nil
		var keys v1alpha1.ApiKeyList
		g.Expect(admin.List(ctx, &keys, client.InNamespace(w.namespace), client.MatchingLabels{"group": group})).To(Succeed())
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
	var w *world
	BeforeEach(func(ctx SpecContext) { w = newWorld(ctx) })

	limited := func(name string) *v1alpha1.Group {
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
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
				key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("%s-%d", group, i), Labels: map[string]string{"group": group}}}
				key.Spec.GroupRef.Name = group
				key.Spec.Projects = []v1alpha1.ProjectName{v1alpha1.DefaultProject}
				switch err := admin.Create(ctx, key); {
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

	It("is exact where 200 keys are created at once, 20 times", func(ctx SpecContext) {
		w.run(ctx)
		for i := range 20 {
			name, created := fmt.Sprintf("acme-%d", i), 0
			if i%2 == 0 { // the webhook refuses some
				Expect(admin.Create(ctx, limited(name))).To(Succeed())
				created = create(ctx, name)
			} else { // and none as long as there is no Group
				created = create(ctx, name)
				Expect(created).To(Equal(creates))
				Expect(admin.Create(ctx, limited(name))).To(Succeed())
			}
			Eventually(func(g Gomega) {
				minted, waiting := w.settled(ctx, name)
				g.Expect(minted).To(HaveLen(limit))
				g.Expect(waiting).To(HaveLen(created - limit))
			}).Should(Succeed())
			minted, waiting := w.settled(ctx, name)
			Expect(minted).To(HaveLen(limit))
			_, _ = fmt.Fprintf(GinkgoWriter, "run %d: %d created, %d minted, %d waiting\n", i, created, len(minted), len(waiting))
		}
	})

	It("lets the oldest in when a place becomes free", func(ctx SpecContext) {
		create(ctx, "acme")
		w.run(ctx)
		group := limited("acme")
		Expect(admin.Create(ctx, group)).To(Succeed())
		var minted, waiting []v1alpha1.ApiKey
		Eventually(func() int { minted, waiting = w.settled(ctx, "acme"); return len(minted) + len(waiting) }).Should(Equal(creates))
		Expect(minted).To(HaveLen(limit))
		for i := range minted {
			Expect(minted[i].CreationTimestamp.After(waiting[0].CreationTimestamp.Time)).To(BeFalse())
		}

		By("revoking one, and deleting another")
		edit(ctx, &minted[0], func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		Eventually(func() []string { now, _ := w.settled(ctx, "acme"); return names(now) }).
			Should(ConsistOf(append(names(minted[1:]), waiting[0].Name)))
		Expect(admin.Delete(ctx, &minted[1])).To(Succeed())
		Eventually(func() []string { now, _ := w.settled(ctx, "acme"); return names(now) }).
			Should(ConsistOf(append(names(minted[2:]), names(waiting[:2])...)))

		By("raising the limit")
		edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = new(int32(limit + 5)) })
		Eventually(func() []string { now, _ := w.settled(ctx, "acme"); return names(now) }).
			Should(ConsistOf(append(names(minted[2:]), names(waiting[:7])...)))

		By("lowering it below what there is")
		edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = new(int32(1)) })
		Eventually(func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed())
			g.Expect(group.Status.Keys.Limit).To(HaveValue(BeEquivalentTo(1)))
			g.Expect(group.Status.Keys.Active).To(HaveValue(BeEquivalentTo(limit + 5)))
		}).Should(Succeed())
	})

	It("is told at admission, with the remedy", func(ctx SpecContext) {
		w.group(ctx, func(g *v1alpha1.Group) { g.Spec.Tier = "Free" })
		w.key(ctx)
		w.key(ctx, func(k *v1alpha1.ApiKey) { k.Name = "second" })
		third := func() *v1alpha1.ApiKey { return w.newKey(func(k *v1alpha1.ApiKey) { k.Name = "third" }) }
		Eventually(func() error { return admin.Create(ctx, third(), client.DryRunAll) }).Should(MatchError(And(
			ContainSubstring("spec.groupRef"), ContainSubstring("may have 2 ApiKeys, and has them"), ContainSubstring("raise spec.limits.keys or spec.tier"))))
		key := w.newKey()
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		Eventually(func() error { return admin.Create(ctx, third(), client.DryRunAll) }).Should(Succeed())
	})
})
