package domainallowlist_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("DomainAllowlist", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	reason := func(ctx context.Context) func(Gomega) string {
		return func(g Gomega) string {
			g.Expect(w.ReconcileAllowlist(ctx, "web")).To(Succeed())
			list := &v1alpha1.DomainAllowlist{}
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
			if c := meta.FindStatusCondition(list.Status.Conditions, v1alpha1.ConditionReady); c != nil {
				return c.Reason
			}
			return ""
		}
	}

	It("notes shared hosting", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		list := w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) { l.Spec.Domains = []string{"acme.example", "app-*.vercel.app"} })
		Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
		Eventually(reason(ctx)).Should(Equal(v1alpha1.ReasonReady))
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
		Expect(meta.FindStatusCondition(list.Status.Conditions, v1alpha1.ConditionReady).Message).To(
			And(ContainSubstring("spec.domains[1]: app-*.vercel.app"), ContainSubstring("strangers")))
	})

	It("is ready with its Group, and says what is missing", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist())).To(Succeed())
		Expect(reason(ctx)(Default)).To(BeEmpty(), "its Group may be on its way")
		w.Clock.Step(2 * conditions.ReferenceGrace)
		Eventually(reason(ctx)).Should(Equal(v1alpha1.ReasonGroupNotFound))
		group := w.CreateGroup(ctx)
		Eventually(reason(ctx)).Should(Equal(v1alpha1.ReasonReady))
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects = g.Spec.Projects[1:] })
		Eventually(reason(ctx)).Should(Equal(v1alpha1.ReasonProjectNotFound))
		Expect(w.Events()).To(ContainSubstring("spec.projects[0]"))
	})
})
