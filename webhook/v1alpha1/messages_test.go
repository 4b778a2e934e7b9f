package v1alpha1_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Messages", func() {
	var w, other *testenv.World
	BeforeEach(func(ctx SpecContext) { w, other = testenv.NewWorld(ctx), testenv.NewWorld(ctx) })

	It("name orphaned keys only in the Group's own namespace", func(ctx SpecContext) {
		group := other.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll })
		Eventually(func() error {
			return client.IgnoreAlreadyExists(testenv.Admin.Create(ctx,
				w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = other.Namespace })))
		}).Should(Succeed())
		user, heard := testenv.As("jane")
		group.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSame
		Eventually(func(g Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			g.Expect(user.Update(ctx, group.DeepCopy(), client.DryRunAll)).To(Succeed())
			g.Expect(heard.Texts).To(ConsistOf("1 ApiKeys are no longer accepted"))
		}).Should(Succeed())
	})

	It("warn of a selector that allows every namespace", func(ctx SpecContext) {
		user, heard := testenv.As("jane")
		open := v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{}}
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		group.Spec.AllowedNamespaces = open
		Expect(user.Create(ctx, group)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(And(ContainSubstring("spec.allowedNamespaces.selector"), ContainSubstring("every namespace"))))
		heard.Texts = nil
		group.Spec.AllowlistsFrom = open
		Expect(user.Update(ctx, group)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring("spec.allowedNamespaces.selector"),
			ContainSubstring("spec.allowlistsFrom.selector")))
		heard.Texts = nil
		group.Spec.AllowedNamespaces.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		group.Spec.AllowlistsFrom = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}
		Expect(user.Update(ctx, group)).To(Succeed())
		Expect(heard.Texts).To(BeEmpty())
	})

	It("warn of what follows a change of the anchor day", func(ctx SpecContext) {
		user, heard := testenv.As("jane")
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		Expect(user.Create(ctx, group)).To(Succeed())
		group.Status.ObservedGeneration = 1 // so a period is running
		Expect(testenv.Admin.Status().Update(ctx, group)).To(Succeed())
		group.Spec.Limits.Period = &v1alpha1.QuotaPeriod{AnchorDay: new(int32(17))}
		Expect(user.Update(ctx, group)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring("spec.limits.period.anchorDay: the running period")))
		heard.Texts = nil
		group.Spec.DisplayName = "Acme Inc"
		Expect(user.Update(ctx, group)).To(Succeed())
		Expect(heard.Texts).To(BeEmpty())
	})

	It("say who claims an earlier creator", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		jane, _ := testenv.As("jane")
		stamped := func(name string, annotations map[string]string) map[string]string {
			GinkgoHelper()
			key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Name, k.Annotations = name, annotations })
			Expect(jane.Create(ctx, key)).To(Succeed())
			return key.Annotations
		}
		const restored, created = v1alpha1.AnnotationRestored, v1alpha1.AnnotationCreatedBy
		Expect(stamped("copy", map[string]string{created: "ada"})).To(And(HaveKeyWithValue(restored, "ada"),
			HaveKeyWithValue(created, "jane")))
		Expect(stamped("both", map[string]string{created: "ada", restored: "root"})).To(HaveKeyWithValue(restored, "ada"))
		Expect(stamped("made-up", map[string]string{restored: "root"})).NotTo(HaveKey(restored))
		for name, text := range map[string]string{"lines": "ada\nroot: all is well", "escapes": "\x1b[2J", "turned": "\u202eada",
			"long": strings.Repeat("a", 10_000), "none": ""} {
			Expect(stamped(name, map[string]string{created: text})).NotTo(HaveKey(restored), name)
		}

		key := &v1alpha1.ApiKey{}
		Expect(jane.Get(ctx, w.Request("made-up").NamespacedName, key)).To(Succeed())
		key.Annotations[restored] = "root"
		Expect(jane.Update(ctx, key)).To(Succeed())
		Expect(key.Annotations).NotTo(HaveKey(restored), "it is for admission to say")
		Expect(jane.Get(ctx, w.Request("copy").NamespacedName, key)).To(Succeed())
		key.Annotations[restored] = "root"
		Expect(jane.Update(ctx, key)).To(Succeed())
		Expect(key.Annotations).To(HaveKeyWithValue(restored, "ada"))

		w.ReconcileUntil(ctx, "copy", testenv.Ready)
		Expect(w.Events()).To(ContainSubstring(`its creator claims that "ada" created it then`))
	})
})
