package cluster_test

import (
	"context"
	"fmt"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/cluster"
	"github.com/keyward-dev/keyward/console/web"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/role"
	"github.com/keyward-dev/keyward/internal/specchange"
)

var _ = Describe("Claims", func() {
	var (
		w     *testenv.World
		admin *cluster.Desk
	)
	once := func(k *v1alpha1.ApiKey) { k.Spec.Secret.Reveal = v1alpha1.RevealOnce }
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		admin = join(ctx, w, role.Admin)
	})
	mayRead := func(ctx context.Context) {
		GinkgoHelper()
		bindRule(ctx, w, w.Namespace+":admin", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"web"}, Verbs: []string{"get"}})
	}

	It("return the text to who may read its Secret, once", func(ctx SpecContext) {
		w.CreateKey(ctx, once)
		_, err := admin.Claim(ctx, webOf(w))
		Expect(err).To(MatchError(web.ErrForbidden))
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		want := w.Plaintext(ctx)
		shown, err := admin.Key(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(shown.Actions).NotTo(ContainElement(HaveField("Text", "Claim")))
		_, err = admin.Claim(ctx, webOf(w))
		Expect(err).To(MatchError(web.ErrForbidden))

		mayRead(ctx)
		Eventually(func(g Gomega) {
			shown, err := admin.Key(ctx, webOf(w))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(shown.Actions).To(ContainElement(HaveField("Text", "Claim")))
		}).Should(Succeed())
		text, err := admin.Claim(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(text.Reveal()).To(Equal(want))
		Expect(fmt.Sprintf("%v %+v %#v %s", text, text, text, text)).NotTo(ContainSubstring(want[:12]))

		By("and before the manager has removed it, too")
		text, err = admin.Claim(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(text.Reveal()).To(BeEmpty())
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.Versions[0].ClaimedAt).NotTo(BeNil()) })
		changes := specchange.Of(key.Annotations)
		Expect(changes[len(changes)-1].User).To(Equal(w.Namespace + ":admin"))
		w.ReconcileUntil(ctx, "web", func(g Gomega, _ *v1alpha1.ApiKey) {
			_, err := w.Secret(ctx)
			g.Expect(client.IgnoreNotFound(err)).To(Succeed())
			g.Expect(err).To(HaveOccurred())
		})
		text, err = admin.Claim(ctx, webOf(w))
		Expect(err).NotTo(HaveOccurred())
		Expect(text.Reveal()).To(BeEmpty())
	})

	It("give the text to exactly one of many at once", func(ctx SpecContext) {
		w.CreateKey(ctx, once)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		want := w.Plaintext(ctx)
		mayRead(ctx)
		Eventually(func(g Gomega) {
			shown, err := admin.Key(ctx, webOf(w))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(shown.Actions).To(ContainElement(HaveField("Text", "Claim")))
		}).Should(Succeed())
		const tries = 8
		texts, problems := make([]string, tries), make([]error, tries)
		var all sync.WaitGroup
		for i := range tries {
			desk := deskOf(w, w.Namespace+":admin")
			all.Go(func() {
				text, err := desk.Claim(ctx, webOf(w))
				texts[i], problems[i] = text.Reveal(), err
			})
		}
		all.Wait()
		got := 0
		for i := range tries {
			Expect(problems[i]).NotTo(HaveOccurred())
			if texts[i] != "" {
				Expect(texts[i]).To(Equal(want))
				got++
			}
		}
		Expect(got).To(Equal(1))
	})

	It("are refused for what is not revealed once, not delivered, or over", func(ctx SpecContext) {
		mayRead(ctx)
		w.CreateKey(ctx)
		Eventually(func() error { return only(admin.Claim(ctx, webOf(w))) }).Should(MatchError(ContainSubstring("not accepted")))
		_, err := admin.Claim(ctx, webOf(w))
		Expect(fieldsOf(err)).To(HaveKeyWithValue("", ContainSubstring("from its Secret")))
		Expect(testenv.Admin.Delete(ctx, w.NewKey())).To(Succeed())

		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Name = "other" })
		w.CreateKey(ctx, once, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Secret.Name = "late", "web" })
		late := webOf(w)
		late.Name = "late"
		_, err = admin.Claim(ctx, late)
		Expect(fieldsOf(err)).To(HaveKeyWithValue("", ContainSubstring("not delivered yet")))
		testenv.Edit(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "late" }), func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		_, err = admin.Claim(ctx, late)
		Expect(fieldsOf(err)).To(HaveKeyWithValue("", ContainSubstring("revoked for good")))
	})
})
