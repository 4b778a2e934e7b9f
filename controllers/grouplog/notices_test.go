package grouplog_test

import (
	"context"
	"io"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/cursor"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/controllers/usage/totals"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const day = 24 * time.Hour

var _ = Describe("The notices in the log of a Group", func() {
	var w *testenv.World
	var group *v1alpha1.Group
	create := func(ctx context.Context, change ...func(*v1alpha1.Group)) {
		GinkgoHelper()
		w = testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx, change...)
		cached(ctx, group)
	}
	// noticed returns the types and the data of all notices.
	noticed := func(ctx context.Context) []string {
		GinkgoHelper()
		events, divergence := verify(ctx, w)
		Expect(divergence).To(BeNil())
		all := []string{}
		for i := range events {
			if short, is := strings.CutPrefix(events[i].Type.Short(), "notice."); is {
				Expect(events[i].Actor.User).To(BeEmpty())
				all = append(all, short+" "+string(events[i].Data))
			}
		}
		return all
	}
	// lookTwice is what two leaders see, one after the other: what both see is in the log once.
	lookTwice := func(ctx context.Context) {
		GinkgoHelper()
		for range 2 {
			writer := newWriter(ctx, w)
			look(ctx, w, writer)
			look(ctx, w, writer)
			Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		}
	}
	contain := func(parts ...string) []any {
		var all []any
		for _, part := range parts {
			all = append(all, ContainSubstring(part))
		}
		return all
	}

	It("say 14, 7 and 1 days before that a key ends, unless it rotates", func(ctx SpecContext) {
		create(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "40d" })
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Name, k.Spec.ExpiresAfter, k.Spec.Rotation.Every = "rotates", "40d", "30d"
		})
		for _, name := range []string{"web", "rotates"} {
			cached(ctx, w.ReconcileUntil(ctx, name, active))
		}
		lookTwice(ctx)
		Expect(noticed(ctx)).To(BeEmpty())
		var expected []string
		for _, step := range []struct {
			after  time.Duration
			expect string
		}{{26 * day, `"days":14`}, {day, ""}, {6 * day, `"days":7`}, {6 * day, `"days":1`}, {23 * time.Hour, ""}} {
			w.Clock.Step(step.after + time.Second)
			cached(ctx, w.ReconcileUntil(ctx, "web", active))
			lookTwice(ctx)
			if step.expect != "" {
				expected = append(expected, step.expect)
			}
			Expect(noticed(ctx)).To(HaveExactElements(contain(expected...)...))
		}
	})

	It("say that nobody has claimed a key, while there is time", func(ctx SpecContext) {
		create(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Secret.Reveal = v1alpha1.RevealOnce })
		cached(ctx, w.ReconcileUntil(ctx, "web", active))
		lookTwice(ctx)
		Expect(noticed(ctx)).To(BeEmpty())
		w.Clock.Step(31 * time.Minute)
		lookTwice(ctx)
		Expect(noticed(ctx)).To(HaveExactElements(contain("key-unclaimed")...))
	})

	It("say that a version is still used though its overlap is about to end", func(ctx SpecContext) {
		create(ctx)
		server := w.Usage.Connect(w.Usage.Sessions.Connect(w.Server("validator")), testenv.Hub.GroupOf)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Overlap = "8h" })
		key := w.ReconcileUntil(ctx, "web", active)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetiring))
		})
		cached(ctx, key)
		lookTwice(ctx)
		Expect(noticed(ctx)).To(BeEmpty())
		w.Clock.Step(7 * time.Hour)
		server.Report(w.VersionUses(key, 0))
		cached(ctx, w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionCutoverPending, v1alpha1.ReasonStillUsed)))
		lookTwice(ctx)
		Expect(noticed(ctx)).To(HaveExactElements(contain(`cutover-pending {"until":`)...))
	})

	It("say that a key is not used, before it is suspended for that, until somebody resumes it", func(ctx SpecContext) {
		create(ctx, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.WarnUnusedFor, g.Spec.KeyPolicy.SuspendUnusedFor = "10d", "20d"
			g.Spec.KeyPolicy.AllowNever = ptr.To(true)
		})
		server := w.Usage.Connect(w.Usage.Sessions.Connect(w.Server("validator")), testenv.Hub.GroupOf)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = v1alpha1.LifetimeNever })
		key := w.ReconcileUntil(ctx, "web", active)
		server.Report(w.VersionUses(key, 0))
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.LastUsedAt).NotTo(BeNil()) })
		unused := testenv.HasReason(v1alpha1.ConditionUnused, v1alpha1.ReasonNotUsed)
		used := func(g Gomega, k *v1alpha1.ApiKey) {
			active(g, k)
			g.Expect(meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionUnused)).To(BeNil())
		}

		By("waiting until every server has reported")
		w.Clock.Step(11 * day)
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
			used(g, key)
		}, "300ms").Should(Succeed())
		server.Report(w.VersionUses(key))
		key = w.ReconcileUntil(ctx, "web", unused)
		Expect(w.Events()).To(ContainSubstring("Warning Unused no request was allowed with the key since"))
		cached(ctx, key)
		lookTwice(ctx)
		Expect(noticed(ctx)).To(HaveExactElements(contain("key-unused")...))

		By("suspending it, when every server has reported again")
		w.Clock.Step(10 * day)
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
			active(g, key)
		}, "300ms").Should(Succeed())
		server.Report(w.VersionUses(key))
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.State).To(Equal(v1alpha1.KeySuspended)) })
		accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted)
		Expect(accepted.Reason).To(Equal(v1alpha1.ReasonSuspended))
		Expect(accepted.Message).To(ContainSubstring("because it was not used"))
		Expect(w.Events()).To(ContainSubstring("because it was not used"))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionUnused)).To(BeNil())

		By("leaving it alone for as long when it is resumed")
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(false) })
		w.ReconcileUntil(ctx, "web", used)
		w.Clock.Step(9 * day)
		server.Report(w.VersionUses(key))
		w.ReconcileUntil(ctx, "web", used)
		w.Clock.Step(2 * day)
		server.Report(w.VersionUses(key))
		key = w.ReconcileUntil(ctx, "web", unused)
		cached(ctx, key)
		lookTwice(ctx)
		Expect(noticed(ctx)).To(HaveExactElements(contain("key-unused", "key-unused")...), "one for each time")

		By("ending that with its use")
		server.Report(w.VersionUses(key, 0))
		w.ReconcileUntil(ctx, "web", used)
	})

	It("say how much of a quota is used, and whether it lasts", func(ctx SpecContext) {
		create(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.RequestsPerMonth = ptr.To[int64](1000) })
		w.Clock.SetTime(time.Date(2027, 2, 6, 0, 0, 0, 0, time.UTC))
		period := quotaledger.Schedule{}.At(w.Clock.Now())
		use := func(requests uint64) {
			GinkgoHelper()
			w.Totals = totals.New(w.Clock, func(context.Context, types.NamespacedName) *v1alpha1.Group { return group }, quota.Crossed)
			w.Totals.Set(ctx, w.Request("acme").String(), period.Period, usageseries.Totals{Requests: requests})
			Eventually(func(g Gomega) {
				g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
				g.Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, group)).To(Succeed())
				g.Expect(group.Status.Usage).NotTo(BeNil())
				g.Expect(*group.Status.Usage.Requests).To(BeEquivalentTo(requests))
			}).Should(Succeed())
			cached(ctx, group)
			lookTwice(ctx)
		}
		use(100)
		Expect(noticed(ctx)).To(BeEmpty())
		use(300)
		Expect(noticed(ctx)).To(HaveExactElements(contain(`quota-forecast {"limit":"requestsPerMonth","period":"2027-02","quota":1000,"used":300,"usedUpAt":"2027-02-17T16:00:00Z"}`)...))
		use(910)
		Expect(noticed(ctx)[1:]).To(HaveExactElements(contain(`"percent":90`)...), "and not 75 % also")
		use(1000)
		Expect(noticed(ctx)[2:]).To(HaveExactElements(contain(`"percent":100`)...))
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Limits.RequestsPerMonth = ptr.To[int64](1300) })
		use(1001)
		Expect(noticed(ctx)[3:]).To(HaveExactElements(contain(`"percent":75,"period":"2027-02","quota":1300`)...), "of the new quota")
	})

	It("come in time, also if nothing changes, and cost nothing before", func(ctx SpecContext) {
		create(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "40d" })
		cached(ctx, w.ReconcileUntil(ctx, "web", active))
		writer := newWriter(ctx, w)
		leading, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- writer.Start(leading) }()
		Eventually(func() int64 { return ptr.Deref(head(ctx, w), v1alpha1.LogHead{}).Sequence }).Should(BeEquivalentTo(4))
		// written returns the versions of what is written in the namespace.
		written := func() (versions []string) {
			usages := &v1alpha1.GroupUsageList{}
			Expect(testenv.Admin.List(ctx, usages, client.InNamespace(w.Namespace))).To(Succeed())
			versions = append(versions, usages.Items[0].ResourceVersion)
			for _, segment := range segments(ctx, w) {
				versions = append(versions, segment.ResourceVersion)
			}
			return versions
		}
		objects := &store.Objects{
			Client: testenv.Admin, Reader: testenv.Admin, Groups: testenv.Manager.GetClient(), Clock: w.Clock, Wrote: writer.ObserveUsage,
		}
		used := uint64(0)
		use := func(requests uint64) {
			GinkgoHelper()
			used += requests
			key := store.Key{Group: w.Request("acme").String(), Period: quotaledger.Schedule{}.At(w.Clock.Now()).Period}
			Expect(objects.Publish(ctx, key, store.Totals{Requests: used})).To(Succeed())
		}
		By("looking at a key when it is due")
		w.Clock.Step(25 * day)
		before := written()
		Consistently(written, "600ms").Should(Equal(before))
		Expect(noticed(ctx)).To(BeEmpty())
		w.Clock.Step(day + time.Second)
		Eventually(func() []string { return noticed(ctx) }).Should(HaveExactElements(contain(`"days":14`)...))
		w.Clock.Step(7 * day)
		Eventually(func() []string { return noticed(ctx) }).Should(HaveExactElements(contain(`"days":14`, `"days":7`)...))

		By("looking at what is used")
		w.Clock.SetTime(time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC))
		used = 0
		for range 14 {
			use(1000)
			w.Clock.Step(day)
		}
		use(4000)
		use(1)
		use(5000)
		Eventually(func() []string { return noticed(ctx) }).Should(ContainElement(ContainSubstring(
			`usage-unusual {"day":"2027-03-15","median":1000,"requests":4001}`)))
		stop()
		Eventually(ended).Should(Receive(BeNil()))

		By("finding it again, if the process had died before")
		for _, segment := range segments(ctx, w) {
			Expect(testenv.Admin.Delete(ctx, &segment)).To(Succeed())
		}
		again := newWriter(ctx, w)
		leading, stop = context.WithCancel(ctx)
		go func() { ended <- again.Start(leading) }()
		Eventually(func(g Gomega) {
			found := false
			for _, segment := range segments(ctx, w) {
				found = found || strings.Contains(segment.Spec.Events, `"day":"2027-03-15"`)
			}
			g.Expect(found).To(BeTrue())
		}).Should(Succeed())
		stop()
		Eventually(ended).Should(Receive(BeNil()))
	})

	It("reach a receiver that wants nothing else, with the contacts of the Group", func(ctx SpecContext) {
		create(ctx, func(g *v1alpha1.Group) {
			g.Spec.Contacts = []v1alpha1.Contact{
				{Name: "ops", Email: "ops@acme.example"},
				{Name: "billing", URL: "https://hooks.acme.example/billing", Events: []v1alpha1.EventPattern{"*.quota-*"}},
			}
		})
		receiver := &archive{}
		server := httptest.NewServer(receiver)
		defer server.Close()
		to, err := url.Parse(server.URL)
		Expect(err).NotTo(HaveOccurred())
		sink := &config.Sink{
			Name: "notices", Type: config.CloudEvents, Mode: config.Batch, URL: to, Groups: labels.Everything(), MaxEvents: 3, MaxBytes: 64 << 10,
			Timeout: 10 * time.Second, Concurrency: 1, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			Events: []string{"dev.keyward.notice.*"},
		}
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "40d" })
		cached(ctx, w.ReconcileUntil(ctx, "web", active))
		writer := newWriter(ctx, w)
		look(ctx, w, writer)
		w.Clock.Step(39*day + time.Second)
		look(ctx, w, writer)
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		sending, err := sender.New(sink, clock.RealClock{}, io.Discard)
		Expect(err).NotTo(HaveOccurred())
		runner := &sinks.Runner{
			Source: &grouplog.Source{Writer: writer}, Clock: clock.RealClock{}, Log: GinkgoLogr, Sinks: []sinks.Sink{{Sink: sink, Sender: sending}},
			Store: &cursor.ConfigMaps{Reader: testenv.Admin, Client: testenv.Admin, Namespace: w.Namespace, Log: GinkgoLogr},
		}
		leading, stop := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- runner.Start(leading) }()
		Eventually(receiver.all).Should(HaveExactElements(And(ContainSubstring("dev.keyward.notice.key-expiring.v1"),
			ContainSubstring(`"contacts":[{"email":"ops@acme.example","name":"ops"}]`), ContainSubstring(`"days":1,`))))
		stop()
		Expect(<-ended).To(Succeed())
	})
})
