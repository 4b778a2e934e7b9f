package publish_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// counting is a cache that counts how often allowlists are listed.
type counting struct {
	ctrlcache.Cache

	lists *atomic.Int32
}

// List implements client.Reader.
func (c counting) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, is := list.(*v1alpha1.DomainAllowlistList); is {
		c.lists.Add(1)
	}
	return c.Cache.List(ctx, list, options...)
}

var _ = Describe("A burst of allowlists", func() {
	It("is published a few times, and as it is at its end", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		lists := &atomic.Int32{}
		hub := publish.NewHub(clock.RealClock{}, session.NewRegistry(clock.RealClock{}, 0), publish.Options{})
		projector := &publish.Projector{Hub: hub, Cache: counting{testenv.Manager.GetCache(), lists}}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- projector.Start(running) }()
		DeferCleanup(func() {
			stop()
			Eventually(ended).Should(Receive(BeNil()))
		})
		Eventually(hub.Opened()).Should(BeClosed())
		v := testenv.Validator{Subscription: hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})}
		DeferCleanup(func() { v.Close(true) })
		var latest []string
		patterns := func() int {
			next, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			if update, err := v.Next(next); err == nil {
				v.Ack(update.GetRevision())
				for _, group := range update.GetGroups() {
					latest = group.GetProjects()[0].GetOrigins().GetPatterns()
				}
			}
			return len(latest)
		}
		Eventually(v.CaughtUp).WithPolling(time.Millisecond).Should(Or(BeTrue(), Satisfy(func(bool) bool { patterns(); return v.CaughtUp() })))

		before, began := lists.Load(), time.Now()
		const burst = 300
		for i := range burst {
			Expect(testenv.Admin.Create(ctx, w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) {
				l.Name, l.Spec.Domains = fmt.Sprintf("l%03d", i), []string{fmt.Sprintf("d%d.example", i)}
			}))).To(Succeed())
		}
		Eventually(patterns).Should(Equal(burst))
		took, times := time.Since(began), lists.Load()-before
		AddReportEntry("listed", fmt.Sprintf("%d times in %v", times, took))
		Expect(times).To(BeNumerically("<=", 5+took/(100*time.Millisecond)))
	})
})
