package apikey_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("A key of a Group that requires addresses", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })
	require := func(g *v1alpha1.Group) { g.Spec.KeyPolicy.RequireAddresses = ptr.To(true) }
	declare := func(k *v1alpha1.ApiKey) { k.Spec.Addresses = []v1alpha1.AddressPrefix{"192.0.2.0/24"} }

	It("is not minted before it declares some", func(ctx SpecContext) {
		w.CreateGroup(ctx, require)
		jane, heard := testenv.As("jane")
		key := w.NewKey()
		Expect(jane.Create(ctx, key)).To(Succeed())
		Expect(heard.Texts).To(ContainElement(ContainSubstring("spec.addresses: Group")))
		w.Clock.Step(2 * conditions.ReferenceGrace)
		blocked := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonAddressesRequired))
		Expect(blocked.Status.State).To(Equal(v1alpha1.KeyBlocked))
		Expect(blocked.Status.Versions).To(BeEmpty())
		testenv.Edit(ctx, key, declare)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
	})

	It("goes on with its life without them, and says that it is refused", func(ctx SpecContext) {
		group, key := w.CreateGroup(ctx), w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		jane, heard := testenv.As("jane")
		before := group.DeepCopy()
		require(before)
		Expect(jane.Update(ctx, before)).To(Succeed())
		Expect(heard.Texts).To(ContainElement(And(ContainSubstring("1 ApiKeys declare no addresses"), ContainSubstring("web"))))
		refused := func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonAddressesRequired)(g, k)
			ready := meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionReady)
			g.Expect(ready.Message).To(ContainSubstring("refused with 403 address_denied"))
		}
		w.ReconcileUntil(ctx, "web", refused)

		By("it rotates, because it may have leaked")
		text := w.Plaintext(ctx)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: "leaked;overlap=0s"}
		})
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.LastHandledRotateRequest).To(Equal("leaked;overlap=0s"))
			refused(g, k)
		})
		Expect(w.Plaintext(ctx)).NotTo(Equal(text))

		By("it is accepted again with them")
		testenv.Edit(ctx, key, declare)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
	})
})
