package grouplog_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
)

var _ = Describe("What no object is evidence of", func() {
	It("is in the log once, whoever leads, and costs no writes while nothing happens", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		group := w.CreateGroup(ctx)
		cached(ctx, group)
		registry, writes := session.NewRegistry(w.Clock, 0), 0
		seen := traffic.New(w.Clock)
		lead := func() *grouplog.Writer {
			return newWriter(ctx, w, func(writer *grouplog.Writer) {
				writer.Servers, writer.Origins = registry, seen
				writer.Client = interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(func() { writes++ }))
			})
		}
		writer := lead()
		looks := func() {
			GinkgoHelper()
			look(ctx, w, writer)
			Expect(writer.LookAtServers()).To(Succeed())
			Expect(writer.LookAtRefusals(ctx)).To(Succeed())
			Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		}
		looks()
		usage := &v1alpha1.GroupUsage{}
		Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, usage)).To(Succeed())
		usage.Status.Days = []v1alpha1.DayUsage{{
			Day: w.Clock.Now().UTC().Format(time.DateOnly), TrafficCounts: v1alpha1.TrafficCounts{Refusals: map[string]int64{"origin_denied": 200}},
		}}
		Expect(testenv.Admin.Status().Update(ctx, usage)).To(Succeed())
		name := w.Namespace + "/acme"
		server := session.Server{
			Run:    session.Run{ID: session.ID{Instance: "edge", Identity: "account"}, Incarnation: "one"},
			Serves: func(string) (bool, bool) { return true, true }, Has: func(group string) bool { return group == name },
		}
		connected := registry.Connect(server)
		seen.Report(connected, &syncv1.TrafficReport{Groups: []*syncv1.GroupTraffic{{
			Group: name, RefusedOrigins: []*syncv1.OriginUse{{Origin: "https://shop.example", Requests: 190}},
		}}})
		connected.Disconnect(session.OneGroup(name))
		w.Clock.Step(10 * time.Minute)
		looks()
		expected := []string{"group.created", "group.server-absent", "group.requests-refused"}
		Expect(typesOf(ctx, w)).To(ConsistOf(expected))
		Expect(segments(ctx, w)[0].Spec.Events).To(ContainSubstring(`"origins":[{"origin":"https://shop.example","requests":190}]`))
		Expect(seen.RefusedOrigins(name, 5)).To(BeEmpty(), "the next event has only what comes")

		before := writes
		for range 3 {
			looks()
			writer = lead()
			w.Clock.Step(time.Minute)
			looks()
		}
		Expect(writes).To(Equal(before))
		Expect(typesOf(ctx, w)).To(ConsistOf(expected))
		registry.Connect(server)
		w.Clock.Step(time.Minute)
		looks()
		looks()
		Expect(typesOf(ctx, w)).To(ConsistOf(append(expected, "group.server-back")))
	})
})
