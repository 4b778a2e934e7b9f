package v1alpha1_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("DomainAllowlists of one Group", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	list := func(name string, domains int) *v1alpha1.DomainAllowlist {
		return w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) {
			l.Name, l.Spec.Domains = name, nil
			for i := range domains {
				l.Spec.Domains = append(l.Spec.Domains, fmt.Sprintf("d%d.%s.example", i, name))
			}
		})
	}

	It("are refused beyond the bound, and may become smaller", func(ctx SpecContext) {
		for i := range 15 {
			Expect(testenv.Admin.Create(ctx, list(fmt.Sprintf("l%02d", i), 256))).To(Succeed())
		}
		last := list("last", 255)
		Expect(testenv.Admin.Create(ctx, last)).To(Succeed())
		Eventually(func(g Gomega) { // the webhook's cache may lag
			err := testenv.Admin.Create(ctx, list("new", 2), client.DryRunAll)
			g.Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
			g.Expect(causes(err)).To(Equal([]string{"FieldValueForbidden spec.domains"}))
			g.Expect(err.Error()).To(And(ContainSubstring("would have 4097 domains"), ContainSubstring("they may have 4096"), ContainSubstring("wildcard")))
		}).Should(Succeed())
		Expect(testenv.Admin.Create(ctx, list("new", 1), client.DryRunAll)).To(Succeed())
		Expect(testenv.Admin.Create(ctx, list("new", 0), client.DryRunAll)).To(Succeed())

		other := w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) { l.Name, l.Spec.GroupRef.Name = "other", "another" })
		Expect(testenv.Admin.Create(ctx, other, client.DryRunAll)).To(Succeed(), "other Groups have bounds of their own")
		change := func(domains int) error {
			changed := last.DeepCopy()
			changed.Spec.Domains = list("changed", domains).Spec.Domains
			return testenv.Admin.Update(ctx, changed, client.DryRunAll)
		}
		Expect(change(256)).To(Succeed())
		Expect(change(254)).To(Succeed())
		Expect(testenv.Admin.Create(ctx, list("new", 1))).To(Succeed())
		Eventually(func() error { return change(256) }).Should(MatchError(apierrors.IsInvalid, "IsInvalid"))
		Expect(change(255)).To(Succeed())
	})
})
