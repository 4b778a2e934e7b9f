package domainallowlist_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("DomainAllowlist of another namespace", func() {
	var w, other *testenv.World
	BeforeEach(func(ctx SpecContext) { w, other = testenv.NewWorld(ctx), testenv.NewWorld(ctx) })

	foreign := func(l *v1alpha1.DomainAllowlist) {
		l.Spec.GroupRef.Namespace = other.Namespace
		l.Spec.Domains = []string{"evil.example"}
		l.Spec.MissingOrigin = v1alpha1.MissingOriginAllow
	}
	// published returns the origin policy of the Group's first project as it is sent to servers.
	published := func(ctx context.Context, g Gomega) *syncv1.OriginPolicy {
		group := &v1alpha1.Group{}
		g.Expect(testenv.Manager.GetClient().Get(ctx, other.Request("acme").NamespacedName, group)).To(Succeed())
		lists, err := cache.CachedAllowlists(ctx, testenv.Manager.GetClient(), group)
		g.Expect(err).NotTo(HaveOccurred())
		return publish.GroupRecord(group, lists).GetProjects()[0].GetOrigins()
	}
	condition := func(ctx context.Context, g Gomega) *metav1.Condition {
		g.Expect(w.ReconcileAllowlist(ctx, "web")).To(Succeed())
		list := &v1alpha1.DomainAllowlist{}
		g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, list)).To(Succeed())
		g.Expect(list.Status.Conditions).NotTo(BeEmpty())
		return &list.Status.Conditions[0]
	}

	DescribeTable("counts only where the Group allows it", func(ctx SpecContext, from v1alpha1.AllowedNamespaces, counts bool) {
		// The allowlist comes first, so that admission cannot check it: the controllers enforce it anyway.
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist(foreign))).To(Succeed())
		w.Clock.Step(2 * conditions.ReferenceGrace)
		if from.Selector != nil {
			from.Selector.MatchLabels = map[string]string{"kubernetes.io/metadata.name": w.Namespace}
		}
		other.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll // for keys
			g.Spec.AllowlistsFrom = from
		})
		Expect(testenv.Admin.Create(ctx, other.NewAllowlist())).To(Succeed())
		Eventually(func(g Gomega) {
			policy := published(ctx, g)
			g.Expect(policy.GetAllowMissing()).To(Equal(counts))
			if counts {
				g.Expect(policy.GetPatterns()).To(ConsistOf("www.acme.example", "evil.example"))
			} else {
				g.Expect(policy.GetPatterns()).To(ConsistOf("www.acme.example"))
			}
		}).Should(Succeed())
		Eventually(func(g Gomega) {
			c := condition(ctx, g)
			if counts {
				g.Expect(c.Reason).To(Equal(v1alpha1.ReasonReady))
			} else {
				g.Expect(c.Reason).To(Equal(v1alpha1.ReasonNamespaceNotAllowed))
				g.Expect(c.Message).To(ContainSubstring("spec.allowlistsFrom"))
			}
		}).Should(Succeed())
		second := w.NewAllowlist(foreign, func(l *v1alpha1.DomainAllowlist) { l.Name = "second" })
		alice, heard := testenv.As("alice")
		Expect(alice.Create(ctx, second, client.DryRunAll)).To(Succeed())
		if counts {
			Expect(heard.Texts).To(BeEmpty())
		} else {
			Expect(heard.Texts).To(ContainElement(And(ContainSubstring("spec.groupRef"), ContainSubstring("spec.allowlistsFrom"))))
		}
		Expect(testenv.Admin.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = other.Namespace }),
			client.DryRunAll)).To(Succeed())
	},
		Entry("by default it does not", v1alpha1.AllowedNamespaces{}, false),
		Entry("Same", v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSame}, false),
		Entry("Selector", v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{}}, true),
		Entry("All", v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}, true),
	)

	It("counts without a right to keys, and no longer when the Group stops allowing it", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewAllowlist(foreign))).To(Succeed())
		Expect(testenv.Admin.Create(ctx, other.NewAllowlist())).To(Succeed())
		group := other.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.AllowlistsFrom.From = v1alpha1.NamespacesFromAll })
		Eventually(func(g Gomega) { g.Expect(published(ctx, g).GetAllowMissing()).To(BeTrue()) }).Should(Succeed())
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.AllowlistsFrom.From = v1alpha1.NamespacesFromSame })
		Eventually(func(g Gomega) { g.Expect(published(ctx, g).GetPatterns()).To(ConsistOf("www.acme.example")) }).Should(Succeed())
	})
})
