package group_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("The default key of a Group", func() {
	It("is created with it, is created again, and keeps edits", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.DefaultKey.Enabled = ptr.To(true) })
		key := &v1alpha1.ApiKey{}
		comes := func(g Gomega) {
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			g.Expect(testenv.Admin.Get(ctx, w.Request("acme-default").NamespacedName, key)).To(Succeed())
			g.Expect(key.DeletionTimestamp).To(BeNil())
		}
		Eventually(comes).Should(Succeed())
		Expect(key.Spec.Projects).To(ConsistOf(v1alpha1.ProjectName("marketing"), v1alpha1.ProjectName("product")))
		w.ReconcileUntil(ctx, "acme-default", testenv.Ready)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"product"} })
		Eventually(comes).Should(Succeed())
		Expect(key.Spec.Projects).To(HaveLen(1))
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "acme-default")
			g.Expect(err).NotTo(HaveOccurred())
			uid := key.UID
			comes(g)
			g.Expect(key.UID).NotTo(Equal(uid))
		}).Should(Succeed())
	})

	It("outlives it, as all other keys do, also where an earlier release made the Group its owner", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		enabled := func(g *v1alpha1.Group) { g.Spec.DefaultKey.Enabled = ptr.To(true) }
		acme := w.CreateGroup(ctx, enabled)
		key := &v1alpha1.ApiKey{}
		Eventually(func(g Gomega) {
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			g.Expect(testenv.Admin.Get(ctx, w.Request("acme-default").NamespacedName, key)).To(Succeed())
		}).Should(Succeed())
		Expect(key.OwnerReferences).To(BeEmpty(), "garbage collection would delete it with the Group")
		key = w.ReconcileUntil(ctx, "acme-default", testenv.Ready)

		Expect(testenv.Admin.Delete(ctx, acme)).To(Succeed())
		w.ReconcileUntil(ctx, "acme-default", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonGroupNotFound))
		acme = w.CreateGroup(ctx, enabled)
		Eventually(func() error { return w.ReconcileGroup(ctx, "acme") }).Should(Succeed())
		again := w.ReconcileUntil(ctx, "acme-default", testenv.Ready)
		Expect(again.Status.Versions[0].Digest).To(Equal(key.Status.Versions[0].Digest))

		theirs := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "tenant", UID: "u"}
		testenv.Edit(ctx, again, func(k *v1alpha1.ApiKey) {
			k.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(acme, v1alpha1.GroupVersion.WithKind("Group")), theirs}
		})
		Eventually(func(g Gomega) {
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(again), again)).To(Succeed())
			g.Expect(again.OwnerReferences).To(ConsistOf(theirs))
		}).Should(Succeed())

		By("not being deleted when it is no longer wanted")
		testenv.Edit(ctx, acme, func(g *v1alpha1.Group) { g.Spec.DefaultKey.Enabled = ptr.To(false) })
		Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(again), again)).To(Succeed())
	})

	It("is tried again within 30 seconds while it is denied, and the status of the Group does not wait for it", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "no-keys"}}
		quota.Spec.Hard = corev1.ResourceList{"count/apikeys.keyward.dev": resource.MustParse("0")}
		Expect(testenv.Admin.Create(ctx, quota)).To(Succeed())
		quota.Status.Hard, quota.Status.Used = quota.Spec.Hard, quota.Spec.Hard // no controller does it here
		Expect(testenv.Admin.Status().Update(ctx, quota)).To(Succeed())
		acme := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.DefaultKey.Enabled = ptr.To(true) })
		r := &group.Reconciler{Client: testenv.Manager.GetClient(), Hub: testenv.Hub, Tiers: w.Tiers, Recorder: w.Recorder, Clock: w.Clock}
		Eventually(func(g Gomega) {
			result, err := r.Reconcile(ctx, w.Request("acme"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", 30*time.Second)))
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(acme), acme)).To(Succeed())
			g.Expect(acme.Status.ObservedGeneration).To(Equal(acme.Generation))
		}).Should(Succeed())
		Expect(w.Events()).To(ContainSubstring("Warning DefaultKeyRefused the default key acme-default is not created"))
	})
})
