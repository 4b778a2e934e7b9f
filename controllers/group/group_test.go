package group_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
)

var _ = Describe("Group", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	reconcileUntil := func(ctx context.Context, check func(Gomega, *v1alpha1.Group)) *v1alpha1.Group {
		GinkgoHelper()
		group := &v1alpha1.Group{}
		Eventually(func(g Gomega) {
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			g.Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, group)).To(Succeed())
			check(g, group)
		}).Should(Succeed())
		return group
	}
	condition := func(group *v1alpha1.Group, kind string) metav1.Condition {
		if c := meta.FindStatusCondition(group.Status.Conditions, kind); c != nil {
			return *c
		}
		return metav1.Condition{}
	}

	It("counts its projects and its active keys", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "pending" })
		reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
			g.Expect(*group.Status.Projects).To(BeEquivalentTo(2))
			g.Expect(*group.Status.Keys.Active).To(BeEquivalentTo(1))
			g.Expect(condition(group, v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionTrue))
		})
	})

	It("says on how many servers a freeze is in force", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		v := w.Connect("v")
		reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
			v.CatchUp()
			g.Expect(condition(group, v1alpha1.ConditionEnforced).Status).To(Equal(metav1.ConditionTrue))
		})
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.State = v1alpha1.GroupFrozen })
		Eventually(func(g Gomega) {
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			w.Clock.Step(1e9)
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed())
			g.Expect(group.Status.Enforcement.WaitingFor).To(Equal([]string{"v"}))
			g.Expect(condition(group, v1alpha1.ConditionEnforced).Status).To(Equal(metav1.ConditionFalse))
		}).Should(Succeed())
		v.CatchUp()
		group = reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
			g.Expect(condition(group, v1alpha1.ConditionEnforced).Status).To(Equal(metav1.ConditionTrue))
		})
		Expect(*group.Status.Enforcement.Acknowledged).To(BeEquivalentTo(1))
		Expect(group.Status.Enforcement.Latency).NotTo(BeEmpty())
		Expect(condition(group, v1alpha1.ConditionReady).Reason).To(Equal(v1alpha1.ReasonGroupFrozen))
		Expect(w.Events()).To(ContainSubstring("Frozen: in force on 1 of 1"))
	})

	It("is observed also where an edit changes nothing that servers have", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		enforced := func(g Gomega, group *v1alpha1.Group) {
			g.Expect(group.Status.ObservedGeneration).To(Equal(group.Generation))
			enforced := condition(group, v1alpha1.ConditionEnforced)
			g.Expect(enforced.Status).To(Equal(metav1.ConditionTrue))
			g.Expect(enforced.ObservedGeneration).To(Equal(group.Generation))
		}
		reconcileUntil(ctx, enforced)
		before := group.Generation
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.MaxLifetime = "30d" })
		group = reconcileUntil(ctx, enforced)
		Expect(group.Generation).To(BeNumerically(">", before))
	})

	It("resolves its tier, and keeps the limits of a tier that was removed", func(ctx SpecContext) {
		group := w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.Tier = "Pro"
			g.Spec.Limits.RequestsPerMonth = new(int64(7))
		})
		v := w.Connect("v")
		resolved := func(tier string, keys int32, reason string) *v1alpha1.Group {
			GinkgoHelper()
			return reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
				v.CatchUp()
				g.Expect(group.Status.Limits).NotTo(BeNil())
				g.Expect(group.Status.Limits.Tier).To(Equal(tier))
				g.Expect(group.Status.Limits.Keys).To(HaveValue(Equal(keys)))
				g.Expect(group.Status.Limits.RequestsPerMonth).To(HaveValue(BeEquivalentTo(7)))
				g.Expect(group.Status.Keys.Limit).To(HaveValue(Equal(keys)))
				g.Expect(condition(group, v1alpha1.ConditionTierResolved).Reason).To(Equal(reason))
				g.Expect(condition(group, v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionTrue))
				g.Expect(condition(group, v1alpha1.ConditionEnforced).Status).To(Equal(metav1.ConditionTrue))
			})
		}
		Expect(resolved("Pro", 10, v1alpha1.ReasonTierFound).Status.Limits.BytesPerMonth.String()).To(Equal("100G"))

		w.Tiers = &tier.Catalogue{Tiers: tier.Builtin().Tiers[:2]}
		resolved("Pro", 10, v1alpha1.ReasonTierNotFound)
		Expect(w.Events()).To(ContainSubstring(`TierNotFound the catalogue has no tier "Pro"; it has Free, Basic`))
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Tier = "Basic" })
		resolved("Basic", 5, v1alpha1.ReasonTierFound)
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Tier, g.Spec.Limits.RequestsPerMonth = "", nil })
		reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
			g.Expect(group.Status.Limits).To(BeNil())
			g.Expect(meta.FindStatusCondition(group.Status.Conditions, v1alpha1.ConditionTierResolved)).To(BeNil())
		})
	})

	It("publishes the rate limit that results from its tier and its spec, and how many servers share it", func(ctx SpecContext) {
		pace := func(perSecond int32) *tier.Catalogue {
			limits := v1alpha1.Limits{RateLimit: v1alpha1.RateLimit{RequestsPerSecond: &perSecond}}
			return &tier.Catalogue{Tiers: []tier.Tier{{Name: "Pro", Limits: limits}}}
		}
		w.Tiers = pace(100)
		group := w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.Tier = "Pro"
			g.Spec.Limits.Burst = new(int32(7))
		})
		v := testenv.Hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})
		defer v.Close(true)
		published := func(want string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
				next, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				update, err := v.Next(next)
				g.Expect(err).NotTo(HaveOccurred())
				v.Ack(update.GetRevision())
				g.Expect(update.GetGroups()).To(HaveLen(1))
				rate := update.GetGroups()[0].GetLimits().GetRate()
				g.Expect(fmt.Sprintf("%d, %d at once", rate.GetPerSecond(), rate.GetBurst())).To(Equal(want))
			}).Should(Succeed())
		}
		published("100, 7 at once")
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed())
		Expect(group.Status.Limits.RequestsPerSecond).To(HaveValue(BeEquivalentTo(100)))
		Expect(group.Status.Limits.Burst).To(HaveValue(BeEquivalentTo(7)))
		w.Tiers = pace(200)
		published("200, 7 at once")
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.RequestsPerSecond, g.Spec.Limits.Burst = new(int32(3)), nil })
		published("3, 3 at once")

		w.Connect("another")
		Eventually(v.ServersChanged()).Should(Receive())
		servers := v.TakeServers().GetGroups()
		Expect(servers).To(HaveLen(1))
		Expect(servers[0].GetServers()).To(BeEquivalentTo(2))
	})

	It("publishes when quotas are reset, and lets the running period end as it would have", func(ctx SpecContext) {
		w.Clock.SetTime(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
		group := w.CreateGroup(ctx)
		v := testenv.Hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})
		defer v.Close(true)
		var period *syncv1.QuotaPeriod // as it was published last
		published := func(anchorDay uint32, starts ...string) {
			GinkgoHelper()
			Eventually(func(g Gomega) {
				g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
				next, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				for update, err := v.Next(next); err == nil; update, err = v.Next(next) {
					v.Ack(update.GetRevision())
					for _, group := range update.GetGroups() {
						period = cmp.Or(group.GetQuotaPeriod(), &syncv1.QuotaPeriod{})
					}
				}
				g.Expect(period).NotTo(BeNil(), "nothing was published")
				g.Expect(period.GetAnchorDay()).To(Equal(anchorDay))
				var days []string
				for _, day := range period.GetStarts() {
					days = append(days, quotaledger.PeriodFromDays(day).Begin().Format(time.DateOnly))
				}
				g.Expect(days).To(Equal(starts))
				g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(group), group)).To(Succeed())
				g.Expect(group.Status.ObservedGeneration).To(Equal(group.Generation), "without a status, no period is running")
			}).Should(Succeed())
		}
		published(0)
		Expect(group.Status.Limits).To(BeNil())
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.Period = &v1alpha1.QuotaPeriod{AnchorDay: new(int32(15))} })
		published(15, "2026-10-01", "2026-11-01", "2026-12-01")
		Expect(group.Status.Limits.PeriodStarts).To(HaveLen(3))
		w.Clock.SetTime(time.Date(2027, 1, 20, 12, 0, 0, 0, time.UTC))
		published(15)
		Expect(group.Status.Limits.PeriodStarts).To(BeEmpty())
	})

	It("reports routes that claim the same requests", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.Projects[1].Routes = append(g.Spec.Projects[1].Routes, v1alpha1.Route{Paths: []string{"/mkt/**"}})
		})
		group := reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
			g.Expect(condition(group, v1alpha1.ConditionRoutesOverlap).Status).To(Equal(metav1.ConditionTrue))
		})
		Expect(condition(group, v1alpha1.ConditionRoutesOverlap).Message).To(And(
			ContainSubstring("spec.projects[0].routes[0] (marketing)"), ContainSubstring("spec.projects[1].routes[1] (product)")))
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects[1].Routes = g.Spec.Projects[1].Routes[:1] })
		reconcileUntil(ctx, func(g Gomega, group *v1alpha1.Group) {
			g.Expect(condition(group, v1alpha1.ConditionRoutesOverlap).Status).To(Equal(metav1.ConditionFalse))
		})
	})
})
