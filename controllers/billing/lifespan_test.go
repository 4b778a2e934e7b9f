package billing_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/billing"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

func TestSpecs(t *testing.T) { testenv.Run(t, "controllers/billing") }

// short is a Group that lives for less than a look, and what bills it.
type short struct {
	w       *testenv.World
	clock   *clocktesting.FakeClock
	group   *v1alpha1.Group
	cluster *billing.Cluster
	keeper  *billing.Keeper
	objects *store.Objects
}

func newShort(ctx context.Context) *short {
	GinkgoHelper()
	s := &short{w: testenv.NewWorld(ctx), clock: clocktesting.NewFakeClock(begin.Add(10 * time.Minute))}
	s.cluster = &billing.Cluster{
		Reader: testenv.Manager.GetAPIReader(), Client: testenv.Manager.GetClient(), Namespaces: []string{s.w.Namespace},
	}
	s.keeper = s.newKeeper(ctx)
	s.group = s.w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Billing.Customer = "cus_1" })
	Eventually(func() string {
		g := &v1alpha1.Group{}
		_ = testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(s.group), g)
		return g.Spec.Billing.Customer
	}).Should(Equal("cus_1"))
	s.objects = &store.Objects{
		Client: testenv.Manager.GetClient(), Reader: testenv.Manager.GetAPIReader(), Groups: testenv.Manager.GetClient(), Clock: s.clock,
		Billed: s.keeper.Begin,
	}
	return s
}

// newKeeper returns the Keeper of a new leader, which has looked once, and then looks when a spec has it look.
func (s *short) newKeeper(ctx context.Context) *billing.Keeper {
	GinkgoHelper()
	outboxes := &billing.Objects{Reader: testenv.Manager.GetAPIReader(), Client: testenv.Manager.GetClient(), Namespace: testenv.SystemNamespace}
	k := billing.New(outboxes, s.cluster, []string{"ledger"}, s.clock, logr.Discard())
	Expect(k.ReadOutboxes(ctx)).To(Succeed())
	Expect(k.Look(ctx)).To(Succeed())
	return k
}

// use counts requests of the Group, as the leader does.
func (s *short) use(ctx context.Context, requests uint64) {
	GinkgoHelper()
	key := store.Key{Group: client.ObjectKeyFromObject(s.group).String(), Period: quotaledger.PeriodFrom(begin)}
	entry, err := s.objects.Load(ctx, key)
	Expect(err).NotTo(HaveOccurred())
	entry.Ledger = entry.Ledger.Clone()
	entry.Ledger.Servers = map[string]quotaledger.Counters{"a/A": {Requests: requests, Spent: requests, Leased: requests, Sequence: 1, Closed: true}}
	_, err = s.objects.Save(ctx, key, entry, store.Totals{Requests: requests})
	Expect(err).NotTo(HaveOccurred())
}

// delete deletes the Group, and then its GroupUsage, as the garbage collector does.
func (s *short) delete(ctx context.Context) {
	GinkgoHelper()
	Expect(testenv.Admin.Delete(ctx, s.group)).To(Succeed())
	Eventually(func() bool {
		err := testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(s.group), &v1alpha1.Group{})
		return apierrors.IsNotFound(err)
	}).Should(BeTrue())
	Expect(client.IgnoreNotFound(testenv.Admin.Delete(ctx, s.usage()))).To(Succeed())
}

func (s *short) usage() *v1alpha1.GroupUsage {
	return &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: s.group.Namespace, Name: s.group.Name}}
}

func (s *short) usageIsGone(ctx context.Context) bool {
	return apierrors.IsNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(s.group), s.usage()))
}

// billed returns the requests in the windows of the outbox.
func (s *short) billed(ctx context.Context) int64 {
	GinkgoHelper()
	o := &v1alpha1.BillingOutbox{}
	name := client.ObjectKey{Namespace: testenv.SystemNamespace, Name: billing.NameOf(s.group.UID)}
	if err := testenv.Admin.Get(ctx, name, o); apierrors.IsNotFound(err) {
		return 0
	} else {
		Expect(err).NotTo(HaveOccurred())
	}
	total := int64(0)
	for i := range o.Spec.Windows {
		total += o.Spec.Windows[i].Delta.TotalRequests
	}
	return total
}

var _ = Describe("A Group that lives for less than a look", func() {
	It("is billed although it was used after the first look and deleted before the next", func(ctx SpecContext) {
		s := newShort(ctx)
		Expect(s.keeper.Look(ctx)).To(Succeed())
		s.use(ctx, 70)
		s.delete(ctx)
		Expect(s.usageIsGone(ctx)).To(BeFalse(), "it is held")
		s.clock.Step(time.Minute)
		Expect(s.keeper.Look(ctx)).To(Succeed())
		Expect(s.billed(ctx)).To(BeEquivalentTo(70))
		Expect(s.usageIsGone(ctx)).To(BeTrue(), "it is let go of")
	})

	It("is billed although nothing has looked while it lived, by a later leader, too", func(ctx SpecContext) {
		s := newShort(ctx)
		s.use(ctx, 80)
		s.delete(ctx)
		Expect(s.newKeeper(ctx)).NotTo(BeNil())
		Expect(s.billed(ctx)).To(BeEquivalentTo(80))
		Expect(s.usageIsGone(ctx)).To(BeTrue())
	})

	It("is held by the second look if its GroupUsage was made during the first", func(ctx SpecContext) {
		s := newShort(ctx)
		s.objects.Billed = nil // as if the leader did not know yet that the Group is billed
		Expect(s.keeper.Look(ctx)).To(Succeed())
		s.use(ctx, 90)
		s.clock.Step(time.Minute)
		Expect(s.keeper.Look(ctx)).To(Succeed())
		s.delete(ctx)
		Expect(s.keeper.Look(ctx)).To(Succeed())
		Expect(s.billed(ctx)).To(BeEquivalentTo(90))
	})

	It("leaves no finalizer that nobody removes", func(ctx SpecContext) {
		s := newShort(ctx)
		held := func() {
			usage := s.usage()
			usage.Finalizers = []string{v1alpha1.FinalizerBilling}
			usage.OwnerReferences = []metav1.OwnerReference{
				{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Group", Name: s.group.Name, UID: s.group.UID},
			}
			Expect(testenv.Admin.Create(ctx, usage)).To(Succeed())
		}
		held() // by a leader that ended before it had written the status, or the outbox
		s.newKeeper(ctx)
		Expect(s.usageIsGone(ctx)).To(BeFalse(), "its Group exists")
		outbox := &v1alpha1.BillingOutbox{ObjectMeta: metav1.ObjectMeta{Namespace: testenv.SystemNamespace, Name: billing.NameOf(s.group.UID)}}
		Expect(testenv.Admin.Delete(ctx, outbox)).To(Succeed())
		s.delete(ctx)
		Expect(s.usageIsGone(ctx)).To(BeFalse())
		s.newKeeper(ctx)
		Expect(s.usageIsGone(ctx)).To(BeTrue(), "there is neither a Group nor an outbox")

		held()
		Expect(testenv.Admin.Delete(ctx, s.usage())).To(Succeed())
		Expect(s.usageIsGone(ctx)).To(BeFalse())
		release := &billing.Release{Cluster: s.cluster, Clock: s.clock, Log: logr.Discard(), RetryInterval: time.Second}
		Expect(release.Start(ctx)).To(Succeed())
		Expect(s.usageIsGone(ctx)).To(BeTrue(), "billing was switched off")
	})

	It("is let go of in the look after the last window, what was made meanwhile included", func(ctx SpecContext) {
		s := newShort(ctx)
		Expect(s.keeper.Look(ctx)).To(Succeed())
		group := s.group.DeepCopy()
		s.delete(ctx)
		Expect(s.keeper.Begin(ctx, group)).To(BeTrue(), "its last window is not closed yet")
		Expect(s.keeper.Look(ctx)).To(Succeed())
		usage := s.usage()
		usage.Finalizers = []string{v1alpha1.FinalizerBilling}
		usage.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Group", Name: group.Name, UID: group.UID},
		}
		Expect(testenv.Admin.Create(ctx, usage)).To(Succeed())
		Expect(testenv.Admin.Delete(ctx, s.usage())).To(Succeed())
		Expect(s.keeper.Begin(ctx, group)).To(BeFalse(), "it is closed")
		Expect(s.keeper.Look(ctx)).To(Succeed())
		Expect(s.usageIsGone(ctx)).To(BeTrue())
	})
})
