package group_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
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
})
