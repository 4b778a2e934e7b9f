package grouplog_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grouplog"
	"github.com/keyward-dev/keyward/controllers/sinks"
	"github.com/keyward-dev/keyward/controllers/sinks/config"
	"github.com/keyward-dev/keyward/controllers/sinks/cursor"
	"github.com/keyward-dev/keyward/controllers/sinks/sender"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// archive is a real server that keeps the events that it is sent.
type archive struct {
	mu     sync.Mutex
	events []string
}

func (a *archive) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	defer GinkgoRecover()
	body, err := io.ReadAll(r.Body)
	Expect(err).NotTo(HaveOccurred())
	var events []json.RawMessage
	Expect(json.Unmarshal(body, &events)).To(Succeed())
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, event := range events {
		a.events = append(a.events, string(event))
	}
}

// all returns the events that have arrived, each once: a leader that ends before it has saved its position has the next send some again.
func (a *archive) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var once []string
	for _, event := range a.events {
		if !slices.Contains(once, event) {
			once = append(once, event)
		}
	}
	return once
}

var _ = Describe("A log for sinks", func() {
	var w *testenv.World
	var group *v1alpha1.Group
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx)
		cached(ctx, group)
	})

	// record has a change of the Group in its log.
	record := func(ctx context.Context, writer *grouplog.Writer, change func(*v1alpha1.Group)) {
		GinkgoHelper()
		testenv.Edit(ctx, group, change)
		cached(ctx, group)
		Expect(writer.Observe(ctx, group)).To(Succeed())
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
	}
	logged := func(ctx context.Context) (events []string) {
		GinkgoHelper()
		for _, segment := range segments(ctx, w) {
			for line := range strings.SplitSeq(strings.TrimSuffix(segment.Spec.Events, "\n"), "\n") {
				events = append(events, line)
			}
		}
		return events
	}

	It("has each event as it is in the segments", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		source := &grouplog.Source{Writer: writer}
		changed := source.Changed(ctx)
		Expect(writer.Observe(ctx, group)).To(Succeed())
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		Expect(changed).To(Receive())
		record(ctx, writer, func(g *v1alpha1.Group) {
			g.Spec.State = v1alpha1.GroupFrozen
			g.Labels = map[string]string{"audit": "siem"}
		})
		logs, err := source.Logs(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(logs).To(ConsistOf(sinks.Log{
			Key: string(group.UID), Labels: labels.Set{"audit": "siem"}, First: 1, Last: uint64(len(logged(ctx))),
		}))
		all, err := source.Read(ctx, string(group.UID), 0, 100)
		Expect(err).NotTo(HaveOccurred())
		Expect(all).To(HaveLen(len(logged(ctx))))
		ids := map[string]bool{}
		for i, r := range all {
			Expect(string(r.Body)).To(Equal(logged(ctx)[i]))
			Expect(r.Sequence).To(Equal(uint64(i + 1)))
			event, err := groupevent.Decode(r.Body)
			Expect(err).NotTo(HaveOccurred())
			Expect(r.ID).To(Equal(event.ID))
			Expect(r.Type).To(Equal(string(event.Type)))
			Expect(r.Time).To(BeTemporally("==", event.Time))
			ids[r.ID] = true
		}
		Expect(ids).To(HaveLen(len(all)))
		rest, err := source.Read(ctx, string(group.UID), 1, 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(rest).To(Equal(all[1:2]))
		none, err := source.Read(ctx, string(group.UID), all[len(all)-1].Sequence, 100)
		Expect(err).NotTo(HaveOccurred())
		Expect(none).To(BeEmpty())

		By("knowing that somebody has deleted a segment")
		for _, segment := range segments(ctx, w) {
			Expect(testenv.Admin.Delete(ctx, &segment)).To(Succeed())
		}
		none, err = source.Read(ctx, string(group.UID), 1, 100)
		Expect(err).NotTo(HaveOccurred())
		Expect(none).To(BeEmpty())
		logs, err = source.Logs(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(logs[0].First).To(Equal(logs[0].Last + 1))

		By("knowing that the Group has gone")
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		Eventually(func(g Gomega) {
			logs, err := source.Logs(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(logs[0].Orphaned).To(BeTrue())
			g.Expect(logs[0].Labels).To(Equal(labels.Set{"audit": "siem"}), "as they were")
		}).Should(Succeed())
	})

	It("ends with the last event that there is, also if its end is missing", func(ctx SpecContext) {
		writer := newWriter(ctx, w)
		Expect(writer.Observe(ctx, group)).To(Succeed())
		Expect(writer.Flush(ctx, group.UID)).To(Succeed())
		for _, segment := range segments(ctx, w) {
			Expect(testenv.Admin.Delete(ctx, &segment)).To(Succeed())
		}
		logs, err := (&grouplog.Source{Writer: newWriter(ctx, w)}).Logs(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(logs).To(HaveLen(1))
		Expect(logs[0].First).To(Equal(uint64(1)))
		Expect(logs[0].Last).To(BeZero())
	})

	It("is not known before it is read", func(ctx SpecContext) {
		_, err := (&grouplog.Source{Writer: &grouplog.Writer{}}).Logs(ctx)
		Expect(err).To(HaveOccurred())
	})

	It("is sent to a receiver, by one leader after the other", func(ctx SpecContext) {
		receiver := &archive{}
		server := httptest.NewServer(receiver)
		defer server.Close()
		to, err := url.Parse(server.URL)
		Expect(err).NotTo(HaveOccurred())
		sink := &config.Sink{
			Name: "archive", Type: config.CloudEvents, Mode: config.Batch, URL: to, Groups: labels.Everything(), MaxEvents: 3, MaxBytes: 64 << 10,
			Timeout: 10 * time.Second, Concurrency: 1, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}
		// lead runs what a leader runs, until it has sent what the log has after f.
		lead := func(f func(*grouplog.Writer)) {
			GinkgoHelper()
			writer := newWriter(ctx, w)
			sending, err := sender.New(sink, clock.RealClock{}, io.Discard)
			Expect(err).NotTo(HaveOccurred())
			runner := &sinks.Runner{
				Source: &grouplog.Source{Writer: writer}, Clock: clock.RealClock{}, Log: GinkgoLogr, Sinks: []sinks.Sink{{Sink: sink, Sender: sending}},
				Store: &cursor.ConfigMaps{Reader: testenv.Admin, Client: testenv.Admin, Namespace: w.Namespace, Log: GinkgoLogr},
			}
			leading, stop := context.WithCancel(ctx)
			ended := make(chan error)
			go func() { ended <- runner.Start(leading) }()
			f(writer)
			Eventually(receiver.all).Should(Equal(logged(ctx)))
			stop()
			Expect(<-ended).To(Succeed())
		}
		lead(func(writer *grouplog.Writer) {
			Expect(writer.Observe(ctx, group)).To(Succeed())
			Expect(writer.Flush(ctx, group.UID)).To(Succeed())
			for range 3 {
				record(ctx, writer, func(g *v1alpha1.Group) { g.Spec.State = v1alpha1.GroupFrozen })
				record(ctx, writer, func(g *v1alpha1.Group) { g.Spec.State = v1alpha1.GroupActive })
			}
		})
		lead(func(writer *grouplog.Writer) {
			record(ctx, writer, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.AllowNever = ptr.To(true) })
		})
		Expect(len(receiver.all())).To(BeNumerically(">=", 8))
	})
})
