package usage_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// keyLeader is what a leader runs for the quotas of keys, and a server that reports to it.
type keyLeader struct {
	*quota.Session

	board *quota.KeyBoard
	month string
}

// leadKeys runs it until the spec is over.
func leadKeys(ctx SpecContext, w *testenv.World) *keyLeader {
	objects := &store.Objects{
		Client: testenv.Admin, Reader: testenv.Admin, Groups: testenv.Manager.GetClient(), Clock: clock.RealClock{},
	}
	lead := &keyLeader{board: quota.NewKeyBoard(w.Clock), month: quotaledger.MonthOf(time.Now()).String()}
	w.Keys.Quotas = lead.board
	sessions, collector := session.NewRegistry(clock.RealClock{}, 0), store.Collect(objects, []string{w.Namespace})
	aggregator := quota.New(quota.Config{
		Sessions: sessions, Clock: clock.RealClock{}, Log: GinkgoLogr, Writes: rate.Inf,
		Store: &store.Notified{Store: objects, SavedKey: func(key store.Key, used store.Totals) {
			lead.board.Set(key.Owner, key.Period, used.Requests-used.Unconfirmed)
		}},
	})
	running, stop := context.WithCancel(ctx)
	var stopped errgroup.Group
	for _, runnable := range []interface{ Start(context.Context) error }{
		aggregator, collector, &quota.Follower{Aggregator: aggregator, Cache: testenv.Manager.GetCache()},
		&quota.KeyFollower{Aggregator: aggregator, Cache: testenv.Manager.GetCache(), Deleted: collector.Deleted},
	} {
		stopped.Go(func() error { return runnable.Start(running) })
	}
	lead.Session = aggregator.Connect(sessions.Connect(session.Server{
		Run:    session.Run{ID: session.ID{Instance: "server"}, Incarnation: "life"},
		Serves: func(string) (bool, bool) { return true, true },
	}))
	DeferCleanup(func() {
		lead.Close()
		stop()
		Expect(stopped.Wait()).To(Succeed())
	})
	return lead
}

// ask reports the use of a key until an answer about it satisfies the check.
func (l *keyLeader) ask(use *syncv1.GroupUse, check func(*syncv1.Allowance) bool) {
	GinkgoHelper()
	use.Period = l.month
	Eventually(func() bool {
		l.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{use}})
		for _, answer := range l.Take().GetGroups() {
			if answer.GetKey() == use.GetKey() && check(answer) {
				return true
			}
		}
		return false
	}).Should(BeTrue())
}

var _ = Describe("The quota of an ApiKey", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("is leased, recorded, shown in the status, raised, and forgotten with the ApiKey", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Limits.RequestsPerMonth = ptr.To[int64](7) })
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(key.Status.Quota).To(HaveValue(And(HaveField("Limit", HaveValue(BeEquivalentTo(7))), HaveField("Used", HaveValue(BeEquivalentTo(0))))))
		l, id := leadKeys(ctx, w), key.Status.KeyID
		use := &syncv1.GroupUse{Group: w.Namespace + "/acme", Key: id, Wants: 100}
		l.ask(use, func(a *syncv1.Allowance) bool {
			use.Leased, use.Sequence = max(use.GetLeased(), a.GetLeased()), max(use.GetSequence(), a.GetSequence())
			Expect(use.GetLeased()).To(BeNumerically("<=", 7))
			return use.GetLeased() == 7
		})
		use.Spent, use.Requests = 7, 7
		l.ask(use, func(a *syncv1.Allowance) bool {
			return a.GetState() == syncv1.QuotaState_QUOTA_STATE_EXHAUSTED && a.GetRecorded().GetSpent() == 7 &&
				a.GetWhole().GetRequests() == 7 && a.GetWhole().GetUsed() == 7
		})
		kept := &v1alpha1.KeyUsage{}
		at := client.ObjectKey{Namespace: w.Namespace, Name: id}
		Expect(testenv.Admin.Get(ctx, at, kept)).To(Succeed())
		Expect(kept.Spec.APIKey.Name).To(Equal("web"))
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, is *v1alpha1.ApiKey) {
			g.Expect(is.Status.Quota).To(HaveValue(HaveField("Used", HaveValue(BeEquivalentTo(7)))))
			g.Expect(is.Status.Quota.Notice).To(HaveValue(And(HaveField("Percent", BeEquivalentTo(100)), HaveField("Used", BeEquivalentTo(7)))))
		})
		Expect(key.Status.Quota.Period).To(Equal(l.month))
		Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "acme"}, &v1alpha1.GroupUsage{})).
			To(MatchError(ContainSubstring("not found")), "nothing is taken for the use of the Group")

		raised := key.DeepCopy()
		raised.Spec.Limits.RequestsPerMonth = ptr.To[int64](9)
		Expect(testenv.Admin.Patch(ctx, raised, client.MergeFrom(key))).To(Succeed())
		l.ask(use, func(a *syncv1.Allowance) bool { return a.GetLeased() > 7 && a.GetWhole().GetRequests() == 9 })
		w.ReconcileUntil(ctx, "web", func(g Gomega, is *v1alpha1.ApiKey) {
			g.Expect(is.Status.Quota.Notice).To(HaveValue(HaveField("Percent", BeEquivalentTo(75))), "what is said is about the new quota")
		})

		Expect(testenv.Admin.Delete(ctx, raised)).To(Succeed())
		Eventually(func(g Gomega) { // its finalizer
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(raised), raised)).To(MatchError(ContainSubstring("not found")))
		}).Should(Succeed())
		Eventually(func() error { return testenv.Admin.Get(ctx, at, kept) }).Should(MatchError(ContainSubstring("not found")))
		l.ask(use, func(a *syncv1.Allowance) bool { return a.GetRefused() != "" })
	})

	It("is not that of a key in a namespace that the Group does not admit", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		group := w.CreateGroup(ctx, testenv.Admitting(other))
		foreign := other.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.GroupRef = v1alpha1.GroupReference{Name: "acme", Namespace: w.Namespace}
			k.Spec.Limits.RequestsPerMonth = ptr.To[int64](7)
		})
		Eventually(func(g Gomega) {
			other.Clock.Step(time.Minute) // a Group may be created later than its keys
			_, err := other.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(foreign), foreign)).To(Succeed())
			g.Expect(foreign.Status.KeyID).NotTo(BeEmpty())
		}).Should(Succeed())
		l := leadKeys(ctx, w)
		use := &syncv1.GroupUse{Group: w.Namespace + "/acme", Key: foreign.Status.KeyID, Wants: 100}
		l.ask(use, func(a *syncv1.Allowance) bool { return a.GetRefused() != "" })

		admitting := group.DeepCopy()
		admitting.Spec.AllowedNamespaces = v1alpha1.AllowedNamespaces{
			From:     v1alpha1.NamespacesFromSelector,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": other.Namespace}},
		}
		Expect(testenv.Admin.Patch(ctx, admitting, client.MergeFrom(group))).To(Succeed())
		l.ask(use, func(a *syncv1.Allowance) bool { return a.GetLeased() > 0 && a.GetLeased() <= 7 })
	})
})
