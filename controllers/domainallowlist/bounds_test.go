package domainallowlist_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/domainallowlist"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("DomainAllowlists beyond the bound", func() {
	It("say so until others are deleted or smaller, and are reconciled when that changes", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		var lists []*v1alpha1.DomainAllowlist
		for i := range 17 { // before their Group, so that admission cannot see it
			list := w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) {
				l.Name, l.Spec.Domains = fmt.Sprintf("l%02d", i), nil
				for j := range 256 {
					l.Spec.Domains = append(l.Spec.Domains, fmt.Sprintf("d%dx%d.example", i, j))
				}
			})
			Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
			lists = append(lists, list)
		}
		w.CreateGroup(ctx)
		ready := func(ctx context.Context, name string) func(Gomega) metav1.Condition {
			return func(g Gomega) metav1.Condition {
				g.Expect(w.ReconcileAllowlist(ctx, name)).To(Succeed())
				list := &v1alpha1.DomainAllowlist{}
				g.Expect(testenv.Admin.Get(ctx, w.Request(name).NamespacedName, list)).To(Succeed())
				condition := meta.FindStatusCondition(list.Status.Conditions, v1alpha1.ConditionReady)
				g.Expect(condition).NotTo(BeNil())
				return *condition
			}
		}
		Eventually(ready(ctx, "l16")).Should(And(
			HaveField("Status", metav1.ConditionFalse), HaveField("Reason", v1alpha1.ReasonAllowlistsTooLarge),
			HaveField("Message", And(ContainSubstring("spec.domains"), ContainSubstring("4096"), ContainSubstring("allows nothing")))))
		Eventually(ready(ctx, "l15")).Should(HaveField("Reason", v1alpha1.ReasonReady))

		r := &domainallowlist.Reconciler{Client: testenv.Manager.GetClient(), Clock: w.Clock}
		affected := func() (names []string) {
			for _, request := range r.AllowlistsBeside(ctx, lists[0]) {
				names = append(names, request.Name)
			}
			return names
		}
		Eventually(affected).Should(BeEmpty(), "the status of all is right")
		Expect(testenv.Admin.Delete(ctx, lists[3])).To(Succeed())
		Eventually(affected).Should(ConsistOf("l16"))
		Eventually(ready(ctx, "l16")).Should(HaveField("Reason", v1alpha1.ReasonReady))
		Eventually(affected).Should(BeEmpty())
		Expect(client.IgnoreNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(lists[3]), lists[3]))).To(Succeed())
	})
})
