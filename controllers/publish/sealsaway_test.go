package publish_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// silent is an API server that refuses the first request, and does not answer those after it until it is back.
type silent struct {
	client.Reader

	requests *atomic.Int32
	back     chan struct{}
}

func (s silent) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if s.requests.Add(1) == 1 {
		return errors.New("the API server is unreachable for this test")
	}
	<-s.back
	return s.Reader.Get(context.WithoutCancel(ctx), key, object, options...)
}

var _ = Describe("The manager's secret, which opens secrets of signed URLs", func() {
	It("delays no other key while it cannot be read", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.SignedURLs = new(true) })
		signer := w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			testenv.Ready(g, key)
			g.Expect(key.Status.Versions[0].URLSecret).NotTo(BeEmpty())
		})
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "other" })
		other := w.ReconcileUntil(ctx, "other", testenv.Ready)

		api := silent{testenv.Manager.GetAPIReader(), &atomic.Int32{}, make(chan struct{})}
		hub := publish.NewHub(clock.RealClock{}, session.NewRegistry(clock.RealClock{}, 0), publish.Options{})
		projector := &publish.Projector{Hub: hub, Cache: testenv.Manager.GetCache(), Seals: &seal.Keeper{
			Reader: api, Client: testenv.Manager.GetClient(), Namespace: testenv.SystemNamespace, Random: rand.Reader}}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- projector.Start(running) }()
		DeferCleanup(func() {
			stop()
			Eventually(ended).Should(Receive(BeNil()))
		})
		answer := sync.OnceFunc(func() { close(api.back) })
		DeferCleanup(answer)
		Eventually(hub.Opened()).Should(BeClosed())
		v := testenv.Validator{Subscription: hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})}
		DeferCleanup(func() { v.Close(true) })
		records := map[string]*syncv1.Key{}
		// record is what was published of a key.
		record := func(key *v1alpha1.ApiKey) func() *syncv1.Version {
			return func() *syncv1.Version {
				for {
					next, cancel := context.WithCancel(ctx)
					if v.CaughtUp() {
						cancel()
					}
					update, err := v.Next(next)
					cancel()
					if err != nil {
						break
					}
					v.Ack(update.GetRevision())
					for _, record := range update.GetKeys() {
						records[record.GetId()] = record
					}
				}
				if versions := records[publish.KeyID(key.UID)].GetVersions(); len(versions) == 1 {
					return versions[0]
				}
				return nil
			}
		}
		Eventually(record(signer)).ShouldNot(BeNil(), "it is published without its secret")
		Expect(record(signer)().GetUrlSecret()).To(BeEmpty())
		Eventually(api.requests.Load).Should(BeNumerically(">", 1), "it is asked again")

		By("other keys change, and those that sign")
		for _, key := range []*v1alpha1.ApiKey{signer, other} {
			Expect(record(key)().GetRevoked()).To(BeFalse())
			testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = new(true) })
		}
		suspended := func(key *v1alpha1.ApiKey) func() bool {
			return func() bool { record(key)(); return records[publish.KeyID(key.UID)].GetSuspended() }
		}
		Eventually(suspended(other)).Should(BeTrue())
		Eventually(suspended(signer)).Should(BeTrue())
		Expect(record(signer)().GetUrlSecret()).To(BeEmpty())

		By("the API server answers")
		answer()
		Eventually(func() []byte { return record(signer)().GetUrlSecret() }).ShouldNot(BeEmpty())
	})
})
