package apikey_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("A Secret that has another owner", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Events()
	})
	contested := func(key *v1alpha1.ApiKey) string {
		if c := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionSecretContested); c != nil {
			return c.Message
		}
		return ""
	}
	// overwrite writes the entry as the field manager of another controller, and waits until the cache has it.
	overwrite := func(ctx context.Context) {
		GinkgoHelper()
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		patch := []byte(`{"stringData":{"api-key":"from-a-vault-from-a-vault"}}`)
		Expect(testenv.Admin.Patch(ctx, secret, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("vault-sync"))).To(Succeed())
		Eventually(func(g Gomega) {
			seen := &corev1.Secret{}
			g.Expect(testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(secret), seen)).To(Succeed())
			g.Expect(seen.ResourceVersion).To(Equal(secret.ResourceVersion))
		}).Should(Succeed())
	}
	count := func(n int) func(Gomega, *v1alpha1.ApiKey) {
		return func(g Gomega, key *v1alpha1.ApiKey) {
			g.Expect(key.Status.Versions).To(HaveLen(n))
			g.Expect(key.Status.Versions[n-1].State).To(Equal(v1alpha1.VersionActive))
			testenv.Ready(g, key)
		}
	}

	It("is named, costs few events, waits longer each time, and heals", func(ctx SpecContext) {
		By("one loss, which is replaced at once")
		overwrite(ctx)
		key := w.ReconcileUntil(ctx, "web", count(2))
		Expect(contested(key)).To(BeEmpty())
		Expect(w.Events()).To(ContainSubstring("no longer holds version 1"))

		By("a second one, after a pause")
		overwrite(ctx)
		key = w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonKeyLost))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message).To(SatisfyAll(
			ContainSubstring("entry api-key of Secret web was overwritten by field manager vault-sync"), ContainSubstring("is accepted until then")))
		Expect(key.Status.Versions[1].State).To(Equal(v1alpha1.VersionActive), "it is refused before there is another")
		testenv.HasReason(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted)(Default, key)
		w.Clock.Step(2 * time.Second)
		key = w.ReconcileUntil(ctx, "web", count(3))
		Expect(contested(key)).To(BeEmpty())
		w.Events()

		By("a third, with which it is contested")
		overwrite(ctx)
		w.Clock.Step(4 * time.Second)
		key = w.ReconcileUntil(ctx, "web", count(4))
		Expect(contested(key)).To(ContainSubstring("by field manager vault-sync"))
		for range 3 {
			w.Restart() // what is known of it is in the status
			overwrite(ctx)
			w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonKeyLost))
			w.Clock.Step(time.Minute)
			n := len(key.Status.Versions) + 1
			key = w.ReconcileUntil(ctx, "web", count(n))
			Expect(contested(key)).To(ContainSubstring("by field manager vault-sync"))
		}
		events := strings.Split(strings.TrimSpace(w.Events()), "\n")
		Expect(events).To(ConsistOf(ContainSubstring("Warning SecretContested ")), "one event tells of all these losses")

		By("ten minutes without a loss")
		w.Clock.Step(10 * time.Minute)
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(contested(k)).To(BeEmpty())
			testenv.Ready(g, k)
		})
		Expect(w.Events()).NotTo(Or(ContainSubstring("Warning"), ContainSubstring("Minted")))
	})
})
