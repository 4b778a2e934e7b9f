package controllers_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/usage"
)

var _ = Describe("The requests of an ApiKey", func() {
	It("are written when they are due, or with something else, and never for an idle key", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.group(ctx)
		writes := 0
		w.key(ctx)
		key := w.settle(ctx, "web", ready)
		w.keys.Client = interceptor.NewClient(clientWithWatch(), countWrites(func() { writes++ }))
		name := usage.KeyName{Group: w.namespace + "/acme", ID: key.Status.KeyID}
		server := w.usage.Keys.Connect("validator", func(group string) (bool, bool) { return w.selects(group), true })
		report := func(requests uint64) {
			server.Report(&syncv1.Uses{Life: "one", Keys: []*syncv1.KeyUse{{
				Group: name.Group, Key: name.ID, Period: w.clock.Now().UTC().Format("2006-01"), Requests: requests,
			}}})
		}
		reconcile := func(most int) {
			GinkgoHelper()
			for range 3 {
				_, err := w.reconcileKey(ctx, "web")
				Expect(err).NotTo(HaveOccurred())
				Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
				w.cached(ctx, key)
			}
			Expect(writes).To(Equal(most))
		}
		reconcile(0)
		report(3)
		reconcile(0) // not due yet: it waits for its turn
		Expect(w.usage.Keys.Due(time.Minute, 10)).To(ConsistOf(name))
		reconcile(1)
		Expect(key.Status.Usage).To(HaveValue(Equal(v1alpha1.KeyUsage{Period: w.clock.Now().UTC().Format("2006-01"), Requests: ptr.To[int64](3)})))
		Expect(server.Take().GetKeys()).To(HaveLen(1), "the server is told")

		report(5)
		w.clock.Step(30 * time.Second)
		Expect(w.usage.Keys.Due(time.Minute, 10)).To(BeEmpty())
		w.clock.Step(30 * time.Second)
		Expect(w.usage.Keys.Due(time.Minute, 10)).To(ConsistOf(name))
		w.keys.Client = interceptor.NewClient(clientWithWatch(), seemsToFail(countWrites(func() { writes++ })))
		_, err := w.reconcileKey(ctx, "web")
		Expect(err).To(MatchError(errSilence))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		w.cached(ctx, key)
		w.keys.Client = interceptor.NewClient(clientWithWatch(), countWrites(func() { writes++ }))
		reconcile(2)
		Expect(*key.Status.Usage.Requests).To(BeEquivalentTo(5), "what was written and seemed not to be is not written again")

		report(6)
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) })
		w.settle(ctx, "web", because(v1alpha1.ConditionReady, v1alpha1.ReasonSuspended))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		Expect(*key.Status.Usage.Requests).To(BeEquivalentTo(6), "the status was written anyway")
	})
})

var errSilence = errors.New("no answer")

// seemsToFail lets writes of the status succeed, and nobody hear of it.
func seemsToFail(funcs interceptor.Funcs) interceptor.Funcs {
	patch := funcs.SubResourcePatch
	funcs.SubResourcePatch = func(ctx context.Context, c client.Client, subresource string, object client.Object, p client.Patch, options ...client.SubResourcePatchOption) error {
		return errors.Join(patch(ctx, c, subresource, object, p, options...), errSilence)
	}
	return funcs
}
