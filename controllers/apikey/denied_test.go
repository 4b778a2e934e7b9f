package apikey_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("An ApiKey whose writes are denied", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})

	It("is tried again within 30 seconds while a quota is used up, without an error, and is delivered when that is raised", func(ctx SpecContext) {
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "few"}}
		limit := func(n string) corev1.ResourceList {
			return corev1.ResourceList{"count/secrets": resource.MustParse(n)}
		}
		quota.Spec.Hard = limit("0")
		Expect(testenv.Admin.Create(ctx, quota)).To(Succeed())
		set := func(n string) { // as the quota controller does, which does not run here
			quota.Spec.Hard = limit(n)
			Expect(testenv.Admin.Update(ctx, quota)).To(Succeed())
			quota.Status = corev1.ResourceQuotaStatus{Hard: limit(n), Used: limit("0")}
			Expect(testenv.Admin.Status().Update(ctx, quota)).To(Succeed())
		}
		set("0")
		Eventually(func() error { // admission has the quota
			return testenv.Admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "any"}}, client.DryRunAll)
		}).Should(MatchError(ContainSubstring("exceeded quota")))
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretRefused))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("exceeded quota: few"))
		Expect(w.Events()).To(ContainSubstring("exceeded quota"))

		var last time.Duration
		for range 2 {
			result, err := w.ReconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred(), "each error is logged")
			Expect(result.RequeueAfter).To(And(BeNumerically(">=", 10*time.Second), BeNumerically("<=", 30*time.Second)))
			last = result.RequeueAfter
		}
		Expect(w.Events()).To(BeEmpty(), "nothing has changed")
		set("5")
		w.Clock.Step(last)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
	})

	It("mints nothing, and reports nothing, in a namespace that is being deleted", func(ctx SpecContext) {
		w.CreateKey(ctx)
		before := w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "late" })
		w.Events()
		terminate(ctx, w.Namespace)
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(testenv.Admin.Delete(ctx, secret)).To(Succeed()) // as the namespace controller does, in any order
		quiet(ctx, w, "web")
		quiet(ctx, w, "late")
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(before), key)).To(Succeed())
		Expect(key.Status.Versions).To(Equal(before.Status.Versions))
		Expect(testenv.Admin.Get(ctx, w.Request("late").NamespacedName, key)).To(Succeed())
		Expect(key.Status.Versions).To(BeEmpty())
		Expect(w.Events()).To(BeEmpty())

		By("and does so, too, while the cache does not know of it")
		w.Keys.Client = blind{testenv.NewClient()}
		quiet(ctx, w, "late")
		Expect(testenv.Admin.Get(ctx, w.Request("late").NamespacedName, key)).To(Succeed())
		Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionStalled)).To(BeFalse())

		By("being deleted itself")
		Expect(testenv.Admin.Delete(ctx, before)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(client.IgnoreNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(before), key))).To(Succeed())
		}).Should(Succeed())
	})
})

// terminate deletes a namespace, which stays, because nothing here removes its finalizer, and waits until the cache has it.
func terminate(ctx context.Context, name string) {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	Expect(testenv.Admin.Delete(ctx, namespace)).To(Succeed())
	Eventually(func() bool { return cache.Terminating(ctx, testenv.Manager.GetClient(), name) }).Should(BeTrue())
}

// quiet reconciles the key until nothing is left to do, and requires that no reconciliation has an error.
func quiet(ctx context.Context, w *testenv.World, name string) {
	GinkgoHelper()
	for range 5 {
		Eventually(func(g Gomega) { // the cache has what was written last
			live, seen := &v1alpha1.ApiKey{}, &v1alpha1.ApiKey{}
			g.Expect(testenv.Admin.Get(ctx, w.Request(name).NamespacedName, live)).To(Succeed())
			g.Expect(testenv.Manager.GetClient().Get(ctx, w.Request(name).NamespacedName, seen)).To(Succeed())
			g.Expect(seen.ResourceVersion).To(Equal(live.ResourceVersion))
		}).Should(Succeed())
		_, err := w.ReconcileKey(ctx, name)
		Expect(err).NotTo(HaveOccurred())
	}
}

// blind is a client whose cache has no namespaces.
type blind struct{ client.WithWatch }

// Get implements client.Reader.
func (b blind) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*metav1.PartialObjectMetadata); ok {
		object.SetName(key.Name)
		return nil
	}
	return b.WithWatch.Get(ctx, key, object, options...)
}
