package group_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

var _ = Describe("The usage in the status of a Group", func() {
	var (
		w     *testenv.World
		name  types.NamespacedName
		due   chan types.NamespacedName
		month quotaledger.Span
	)
	// lead makes a new leader, which knows nothing.
	lead := func(ctx context.Context) {
		due = make(chan types.NamespacedName, 100)
		notified := due
		w.Totals = totals.New(w.Clock, func(ctx context.Context, name types.NamespacedName) *v1alpha1.Group {
			group := &v1alpha1.Group{}
			if err := testenv.Manager.GetClient().Get(ctx, name, group); err != nil {
				return nil
			}
			return group
		}, quota.Crossed)
		w.Totals.OnDue(func(name types.NamespacedName) { notified <- name })
		running, stop := context.WithCancel(context.WithoutCancel(ctx))
		stopped := make(chan error, 1)
		board := w.Totals
		go func() { stopped <- board.Start(running) }()
		DeferCleanup(func() {
			stop()
			Eventually(stopped).Should(Receive(BeNil()))
		})
	}
	group := func(ctx context.Context) *v1alpha1.Group {
		GinkgoHelper()
		group := &v1alpha1.Group{}
		Expect(testenv.Admin.Get(ctx, name, group)).To(Succeed())
		return group
	}
	requests := func(group *v1alpha1.Group) int64 {
		if group.Status.Usage == nil {
			return -1
		}
		return *group.Status.Usage.Requests
	}
	// reconcile reconciles until the cache has what was written, and nothing is left to write.
	reconcile := func(ctx context.Context) *v1alpha1.Group {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			before := group(ctx)
			cached := &v1alpha1.Group{}
			g.Expect(testenv.Manager.GetClient().Get(ctx, name, cached)).To(Succeed())
			g.Expect(cached.ResourceVersion).To(Equal(before.ResourceVersion))
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			g.Expect(group(ctx).ResourceVersion).To(Equal(before.ResourceVersion))
		}).Should(Succeed())
		return group(ctx)
	}
	set := func(ctx context.Context, requests uint64) {
		w.Totals.Set(ctx, name.String(), month.Period, usageseries.Totals{Requests: requests, Bytes: 10 * requests})
	}

	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.Clock.SetTime(time.Date(2027, 2, 3, 4, 5, 6, 0, time.UTC))
		month = quotaledger.Schedule{}.At(w.Clock.Now())
		name = w.Request("acme").NamespacedName
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.RequestsPerMonth = ptr.To[int64](100) })
		lead(ctx)
		Expect(requests(reconcile(ctx))).To(BeEquivalentTo(-1))
	})

	It("is written once a minute, and only if it has moved", func(ctx SpecContext) {
		set(ctx, 10)
		Eventually(due).Should(Receive(Equal(name)))
		Expect(requests(reconcile(ctx))).To(BeEquivalentTo(10))
		written := group(ctx).ResourceVersion

		set(ctx, 20)
		Expect(reconcile(ctx).ResourceVersion).To(Equal(written), "it is not due yet")
		Expect(due).NotTo(Receive())
		w.Clock.Step(time.Minute)
		Eventually(due).Should(Receive(Equal(name)))
		Expect(requests(reconcile(ctx))).To(BeEquivalentTo(20))
		written = group(ctx).ResourceVersion

		set(ctx, 20)
		w.Clock.Step(time.Hour)
		Expect(reconcile(ctx).ResourceVersion).To(Equal(written), "it has not moved")
		Expect(due).NotTo(Receive())
		Expect(group(ctx).Status.Usage.ResetsAt.Time).To(BeTemporally("==", month.End()))
	})

	It("is written with anything else that changes", func(ctx SpecContext) {
		set(ctx, 10)
		Eventually(due).Should(Receive())
		reconcile(ctx)
		set(ctx, 30)
		testenv.Edit(ctx, group(ctx), func(g *v1alpha1.Group) { g.Spec.Projects = g.Spec.Projects[:1] })
		Expect(requests(reconcile(ctx))).To(BeEquivalentTo(30))
	})

	It("is written at once, by the one writer of conditions, when a quota gets low or is used up", func(ctx SpecContext) {
		set(ctx, 79)
		Eventually(due).Should(Receive())
		Expect(meta.IsStatusConditionFalse(reconcile(ctx).Status.Conditions, v1alpha1.ConditionQuotaLow)).To(BeTrue())
		set(ctx, 80)
		Eventually(due).Should(Receive(Equal(name)))
		is := reconcile(ctx)
		Expect(requests(is)).To(BeEquivalentTo(80))
		Expect(meta.IsStatusConditionTrue(is.Status.Conditions, v1alpha1.ConditionQuotaLow)).To(BeTrue())
		Expect(meta.IsStatusConditionTrue(is.Status.Conditions, v1alpha1.ConditionQuotaExceeded)).To(BeFalse())
		set(ctx, 100)
		Eventually(due).Should(Receive(Equal(name)))
		is = reconcile(ctx)
		Expect(meta.IsStatusConditionTrue(is.Status.Conditions, v1alpha1.ConditionQuotaExceeded)).To(BeTrue())
		Expect(w.Events()).To(And(ContainSubstring("at least 80 % of requestsPerMonth is used"),
			ContainSubstring("at least 100 % of requestsPerMonth is used")))
	})

	It("is what an earlier leader persisted and had no time to show", func(ctx SpecContext) {
		set(ctx, 10)
		Eventually(due).Should(Receive())
		reconcile(ctx)
		lead(ctx)
		w.Totals.Begin(ctx, name.String(), month.Period, usageseries.Totals{Requests: 10, Bytes: 100})
		Expect(reconcile(ctx)).NotTo(BeNil())
		Expect(due).NotTo(Receive(), "it is shown")
		lead(ctx)
		w.Totals.Begin(ctx, name.String(), month.Period, usageseries.Totals{Requests: 99, Bytes: 990})
		Eventually(due).Should(Receive(Equal(name)))
		is := reconcile(ctx)
		Expect(requests(is)).To(BeEquivalentTo(99))
		Expect(meta.IsStatusConditionTrue(is.Status.Conditions, v1alpha1.ConditionQuotaLow)).To(BeTrue())
		w.Totals.Begin(ctx, name.String(), month.Period, usageseries.Totals{Requests: 98})
		Expect(requests(reconcile(ctx))).To(BeEquivalentTo(99), "something newer is known")
	})

	It("is never that of an earlier month", func(ctx SpecContext) {
		set(ctx, 10)
		Eventually(due).Should(Receive())
		reconcile(ctx)
		w.Totals.Set(ctx, name.String(), quotaledger.Schedule{}.Before(month).Period, usageseries.Totals{Requests: 500})
		lead(ctx)
		w.Totals.Set(ctx, name.String(), quotaledger.Schedule{}.Before(month).Period, usageseries.Totals{Requests: 500})
		w.Clock.Step(time.Hour)
		is := reconcile(ctx)
		Expect(requests(is)).To(BeEquivalentTo(10))
		Expect(is.Status.Usage.Period).To(Equal(month.String()))
		set(ctx, 12)
		Eventually(due).Should(Receive(Equal(name)))
		Expect(requests(reconcile(ctx))).To(BeEquivalentTo(12))
	})
})
