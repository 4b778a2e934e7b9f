package usage_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

var _ = Describe("The requests of an ApiKey", func() {
	It("are written when they are due or with another write, and never for an idle key", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		writes := 0
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { writes++ }))
		name := usage.KeyName{Group: w.Namespace + "/acme", ID: key.Status.KeyID}
		server := w.Usage.Keys.Connect(w.Usage.Sessions.Connect(w.Server("validator")),
			func(group, _ string) bool { return w.Selects(group) })
		report := func(requests uint64) {
			server.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{{
				Group: name.Group, Key: name.ID, Period: w.Clock.Now().UTC().Format("2006-01"), Requests: requests,
			}}})
		}
		reconcile := func(most int) {
			GinkgoHelper()
			for range 3 {
				_, err := w.ReconcileKey(ctx, "web")
				Expect(err).NotTo(HaveOccurred())
				Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
				w.WaitForCache(ctx, key)
			}
			Expect(writes).To(Equal(most))
		}
		reconcile(0)
		report(3)
		reconcile(0) // it is not due yet
		Expect(w.Usage.Keys.Due(time.Minute, 10)).To(ConsistOf(name))
		reconcile(1)
		Expect(key.Status.Usage).To(HaveValue(Equal(v1alpha1.KeyRequests{Period: w.Clock.Now().UTC().Format("2006-01"),
			Requests: ptr.To[int64](3),
			Days:     &v1alpha1.KeyDays{Last: w.Clock.Now().UTC().Format(time.DateOnly), Requests: []int64{3}}})))
		Expect(server.Take().GetKeys()).To(HaveLen(1), "it is acknowledged")

		report(5)
		w.Clock.Step(30 * time.Second)
		Expect(w.Usage.Keys.Due(time.Minute, 10)).To(BeEmpty())
		w.Clock.Step(30 * time.Second)
		Expect(w.Usage.Keys.Due(time.Minute, 10)).To(ConsistOf(name))
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), seemsToFail(testenv.CountWrites(func() { writes++ })))
		_, err := w.ReconcileKey(ctx, "web")
		Expect(err).To(MatchError(errNoAnswer))
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		w.WaitForCache(ctx, key)
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { writes++ }))
		reconcile(2)
		Expect(*key.Status.Usage.Requests).To(BeEquivalentTo(5), "what was written and seemed not to be is not written again")
		Expect(sum(key.Status.Usage.Days.Requests)).To(BeEquivalentTo(5), "in the days neither")

		report(6)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) })
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonSuspended))
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		Expect(*key.Status.Usage.Requests).To(BeEquivalentTo(6), "the status was written anyway")
		Expect(sum(key.Status.Usage.Days.Requests)).To(BeEquivalentTo(6))
	})
})

var _ = Describe("The usage of many Groups", func() {
	// With KEYWARD_GROUPS=10000 it is the case that docs/usage.md describes.
	It("costs the API server no more than 50 writes a second, and less than 20 of Groups", func(ctx SpecContext) {
		const seconds = 8
		count, err := strconv.Atoi(cmp.Or(os.Getenv("KEYWARD_GROUPS"), "400"))
		Expect(err).NotTo(HaveOccurred())
		w := testenv.NewWorld(ctx)
		name := func(i int) string { return fmt.Sprint("group-", i) }
		var groupWrites, usageWrites atomic.Int64
		groups := &group.Reconciler{
			Client: interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { groupWrites.Add(1) })),
			Hub:    testenv.Hub, Tiers: w.Tiers, Recorder: &events.FakeRecorder{}, Clock: clock.RealClock{}, Totals: board(clock.RealClock{}),
		}
		objects := &store.Objects{
			Client: interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { usageWrites.Add(1) })),
			Reader: testenv.Admin, Groups: testenv.Manager.GetClient(), Clock: clock.RealClock{},
		}
		var creating errgroup.Group
		creating.SetLimit(16)
		for i := range count {
			creating.Go(func() error {
				created := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name(i)}}
				if err := testenv.Admin.Create(ctx, created); err != nil {
					return err
				}
				// A GroupUsage is made once, with a write more; this is about all the time after that.
				Eventually(func() error { return objects.RecordTraffic(ctx, w.Namespace+"/"+name(i)) }).Should(Succeed())
				_, err := groups.Reconcile(ctx, w.Request(name(i)))
				return err
			})
		}
		Expect(creating.Wait()).To(Succeed())

		sessions := session.NewRegistry(clock.RealClock{}, 0)
		aggregator := quota.New(quota.Config{
			Sessions: sessions, Clock: clock.RealClock{}, Log: GinkgoLogr, Writes: store.ObjectWrites,
			Store: &store.Notified{Store: objects, Saved: func(key store.Key, used store.Totals) {
				groups.Totals.Set(ctx, key.Group, key.Period, used)
			}},
		})
		session := aggregator.Connect(sessions.Connect(session.Server{
			Run:    session.Run{ID: session.ID{Instance: "server"}, Incarnation: "life"},
			Serves: func(string) (bool, bool) { return true, true },
		}))
		report := func(requests uint64) {
			uses := &syncv1.QuotaReport{}
			for i := range count {
				uses.Groups = append(uses.Groups, &syncv1.GroupUse{
					Group: w.Namespace + "/" + name(i), Period: quotaledger.MonthOf(time.Now()).String(), Requests: requests,
					Bytes: requests,
				})
			}
			session.Report(uses)
		}
		for i := range count {
			aggregator.SetLimits(w.Namespace+"/"+name(i), quota.Limits{})
		}
		running, stop := context.WithCancel(ctx)
		var stopped errgroup.Group
		defer func() { stop(); Expect(stopped.Wait()).To(Succeed()) }()
		due := make(chan types.NamespacedName, count)
		groups.Totals.OnDue(func(name types.NamespacedName) { due <- name })
		stopped.Go(func() error { return groups.Totals.Start(running) })
		stopped.Go(func() error { return aggregator.Start(running) })
		stopped.Go(func() error {
			for {
				select {
				case name := <-due:
					if _, err := groups.Reconcile(running, reconcile.Request{NamespacedName: name}); err != nil && running.Err() == nil {
						return err
					}
				case <-running.Done():
					return nil
				}
			}
		})
		writes := usageWrites.Load()
		report(1)
		Eventually(usageWrites.Load).Should(BeNumerically(">", writes)) // reports are gathered first
		begin, written, shown := time.Now(), usageWrites.Load(), groupWrites.Load()
		for n := uint64(2); time.Since(begin) < seconds*time.Second; n++ {
			before := usageWrites.Load()
			Eventually(usageWrites.Load).Should(BeNumerically(">", before+store.ObjectWrites/4))
			report(n) // all groups are active all the time
		}
		took := time.Since(begin).Seconds()
		pace, ofGroups := float64(usageWrites.Load()-written)/took, float64(groupWrites.Load()-shown)/took
		AddReportEntry("writes a second", fmt.Sprintf("%.1f of GroupUsages, %.1f of Groups, with %d groups", pace, ofGroups, count))
		Expect(pace).To(BeNumerically("<", 50))
		Expect(ofGroups).To(BeNumerically("<", 20))
		Expect(min(pace, ofGroups)).To(BeNumerically(">", 2), "and yet they are written")
	})
})

// board returns a Board of the Groups in the manager's cache.
func board(clk clock.WithTicker) *totals.Board {
	return totals.New(clk, func(ctx context.Context, name types.NamespacedName) *v1alpha1.Group {
		group := &v1alpha1.Group{}
		if err := testenv.Manager.GetClient().Get(ctx, name, group); err != nil {
			return nil
		}
		return group
	}, quota.Crossed)
}

func sum(numbers []int64) (sum int64) {
	for _, n := range numbers {
		sum += n
	}
	return sum
}

var errNoAnswer = errors.New("no answer")

// seemsToFail lets writes of the status succeed, but returns an error.
func seemsToFail(funcs interceptor.Funcs) interceptor.Funcs {
	patch := funcs.SubResourcePatch
	funcs.SubResourcePatch = func(ctx context.Context, c client.Client, subresource string, object client.Object, p client.Patch,
		options ...client.SubResourcePatchOption) error {
		return errors.Join(patch(ctx, c, subresource, object, p, options...), errNoAnswer)
	}
	return funcs
}
