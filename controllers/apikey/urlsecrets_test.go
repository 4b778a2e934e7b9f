package apikey_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/pkg/urltoken"
)

var _ = Describe("A key that signs URLs", func() {
	It("can be deleted", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.SignedURLs = ptr.To(true) })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			g.Expect(k.Status.Versions[0].URLSecret).NotTo(BeEmpty())
		})
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key))).To(BeTrue())
		}).Should(Succeed())
	})

	It("has its secret published before it is delivered, until it no longer signs", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		v := testenv.Validator{Subscription: testenv.Hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})}
		DeferCleanup(func() { v.Close(true) })
		var latest *syncv1.Key
		follow := func() {
			next, cancel := context.WithCancel(ctx)
			defer cancel()
			if v.CaughtUp() {
				cancel()
			}
			if update, err := v.Next(next); err == nil {
				v.Ack(update.GetRevision())
				for _, key := range update.GetKeys() {
					latest = key
				}
			}
		}
		secrets := func() (all [][]byte) {
			for _, version := range latest.GetVersions() {
				all = append(all, version.GetUrlSecret())
			}
			return all
		}
		derive := func(text string) []byte {
			GinkgoHelper()
			secret, err := urltoken.Derive(text)
			Expect(err).NotTo(HaveOccurred())
			return secret
		}
		reach := func(check func(Gomega, *v1alpha1.ApiKey)) *v1alpha1.ApiKey {
			return w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				follow()
				check(g, k)
			})
		}
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.SignedURLs = ptr.To(true) })
		ready := reach(testenv.Ready)
		first := derive(w.Plaintext(ctx))
		Expect(secrets()).To(Equal([][]byte{first}))
		Expect(ready.Status.Versions[0].URLSecret).NotTo(ContainSubstring(base64.RawURLEncoding.EncodeToString(first)))

		By("in an overlap both versions sign, though the text of the first is gone")
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: "now"}
		})
		reach(func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.LastHandledRotateRequest).To(Equal("now"))
			testenv.Ready(g, k)
		})
		second := derive(w.Plaintext(ctx))
		Expect(second).NotTo(Equal(first))
		Expect(secrets()).To(Equal([][]byte{first, second}))

		By("what cannot be opened is derived again where the text is known, and kept for a secret that comes back elsewhere")
		lost := "v1." + strings.Repeat("A", 80)
		found := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), found)).To(Succeed())
		before := found.DeepCopy()
		found.Status.Versions[0].URLSecret, found.Status.Versions[1].URLSecret = lost, lost
		Expect(testenv.Admin.Status().Patch(ctx, found, client.MergeFrom(before))).To(Succeed())
		reach(func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions[1].URLSecret).NotTo(Equal(lost))
			g.Expect(k.Status.Versions[0].URLSecret).To(Equal(lost))
			g.Expect(secrets()).To(Equal([][]byte{nil, second}))
		})
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), found)).To(Succeed())
		before = found.DeepCopy()
		found.Status.Versions[0].URLSecret = ready.Status.Versions[0].URLSecret
		Expect(testenv.Admin.Status().Patch(ctx, found, client.MergeFrom(before))).To(Succeed())
		reach(func(g Gomega, _ *v1alpha1.ApiKey) { g.Expect(secrets()).To(Equal([][]byte{first, second})) })

		By("it no longer signs")
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.SignedURLs = ptr.To(false) })
		reach(func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			g.Expect(k.Status.Versions[0].URLSecret + k.Status.Versions[1].URLSecret).To(BeEmpty())
		})
		Eventually(func() [][]byte {
			follow()
			return secrets()
		}).Should(Equal([][]byte{nil, nil}))

		By("it signs again, with what is still known")
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.SignedURLs = ptr.To(true) })
		reach(func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			g.Expect(k.Status.Versions[1].URLSecret).NotTo(BeEmpty())
			g.Expect(secrets()).To(Equal([][]byte{nil, second}))
		})
	})
})
