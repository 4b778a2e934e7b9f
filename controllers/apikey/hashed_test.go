package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

var _ = Describe("A key that is imported by its hash", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	text := func() string { return "legacy-platform/0123456789+" + w.Namespace }
	named := func(name string) func(*v1alpha1.ApiKey) { return func(k *v1alpha1.ApiKey) { k.Name = name } }
	noSecret := func(ctx context.Context) {
		GinkgoHelper()
		_, err := w.Secret(ctx)
		Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
	}
	ready := func(key *v1alpha1.ApiKey) string {
		return meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
	}

	It("is accepted without a Secret, also over a restart, and minted from the first rotation on", func(ctx SpecContext) {
		w.CreateKey(ctx, testenv.ImportingHash(text()), func(k *v1alpha1.ApiKey) { k.Spec.ImportFrom.Preview = "legacy-…" })
		w.ReconcileUntil(ctx, "web", versions(v1alpha1.VersionPending))
		w.Restart()
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		versions(active)(Default, key)
		noSecret(ctx)
		keys, err := w.Keys.Seals.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(key.Status.Versions[0]).To(And(
			HaveField("ID", BeEquivalentTo(1)), HaveField("Cause", v1alpha1.CauseImported), HaveField("Preview", "legacy-…"),
			HaveField("Digest", keys.Digests.Format(keys.Digests.Keyed(keyformat.DigestOf(text()))))))
		Expect(key.Status.SecretRef).To(BeNil())
		Expect(ready(key)).To(ContainSubstring("imported by its hash"))
		w.Restart()
		w.ReconcileUntil(ctx, "web", versions(active)) // nothing counts as lost

		testenv.Edit(ctx, key, trigger("mint", "1h"))
		key = w.ReconcileUntil(ctx, "web", versions(retiring, active))
		Expect(key.Status.Versions[1].Cause).To(Equal(v1alpha1.CauseTriggered))
		Expect(keyformat.WellFormed(w.Plaintext(ctx))).To(BeTrue())
		Expect(key.Status.SecretRef).NotTo(BeNil())
	})

	It("is suspended, resumed and revoked as any other, and not imported again", func(ctx SpecContext) {
		key := w.CreateKey(ctx, testenv.ImportingHash(text()))
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = new(true) })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.State).To(Equal(v1alpha1.KeySuspended)) })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = nil; k.Spec.ImportFrom = nil })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			versions(active)(g, k)
		})
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		w.ReconcileUntil(ctx, "web", versions(v1alpha1.VersionRevoked))
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
		vanish(ctx, w, key)
		w.CreateKey(ctx, testenv.ImportingHash(text()), named("second"))
		second := w.ReconcileUntil(ctx, "second", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonTextRevoked))
		Expect(ready(second)).To(ContainSubstring("spec.importFrom.sha256"))
		// Nor is it as a text: it is the same key.
		legacy(ctx, w, text())
		w.CreateKey(ctx, testenv.Importing("legacy", "token"), named("third"))
		w.ReconcileUntil(ctx, "third", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonTextRevoked))
	})

	DescribeTable("has one ApiKey, in any form:", func(ctx SpecContext, first, second func(context.Context, string) func(*v1alpha1.ApiKey), minted bool) {
		shared := text()
		if minted { // by another Keyward
			key, err := keyformat.Mint("kw", w.Keys.Random)
			Expect(err).NotTo(HaveOccurred())
			shared = key.Reveal()
		}
		w.CreateKey(ctx, first(ctx, shared))
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.CreateKey(ctx, second(ctx, shared), named("second"))
		key := w.ReconcileUntil(ctx, "second", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
		Expect(ready(key)).To(ContainSubstring("is the key of ApiKey web already"))
	},
		Entry("hash and hash", byHash, byHash, false),
		Entry("hash and text", byHash, byText, false),
		Entry("text and hash", byText, byHash, false),
		Entry("a minted text and its hash", byText, byHash, true),
		Entry("the hash of a minted text, and that text", byHash, byText, true),
	)

	It("is not named where another namespace has it", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		other.CreateGroup(ctx)
		other.CreateKey(ctx, testenv.ImportingHash(text()), named("neighbour"))
		other.ReconcileUntil(ctx, "neighbour", testenv.Ready)
		w.CreateKey(ctx, testenv.ImportingHash(text()))
		key := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
		Expect(ready(key) + w.Events()).To(And(ContainSubstring("another ApiKey"), Not(ContainSubstring("neighbour")),
			Not(ContainSubstring(other.Namespace))))
	})

	It("is not imported twice, even if the cache lags", func(ctx SpecContext) {
		w.Connect("slow") // so that the first stays pending
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				for _, option := range options {
					if fields, ok := option.(client.MatchingFields); ok && fields[cache.ByDigest] != "" {
						return nil // nobody has it, for all that is known
					}
				}
				return c.List(ctx, list, options...)
			},
		})
		w.CreateKey(ctx, testenv.ImportingHash(text()))
		w.ReconcileUntil(ctx, "web", versions(v1alpha1.VersionPending))
		legacy(ctx, w, text())
		w.CreateKey(ctx, testenv.Importing("legacy", "token"), named("second"))
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "second")
			g.Expect(err).NotTo(HaveOccurred())
			second := &v1alpha1.ApiKey{}
			g.Expect(testenv.Admin.Get(ctx, w.Request("second").NamespacedName, second)).To(Succeed())
			g.Expect(second.Status.Versions).To(BeEmpty())
		}, "500ms").Should(Succeed())
	})

	It("survives the loss of the manager's secret, because its hash is declared", func(ctx SpecContext) {
		w.CreateKey(ctx, testenv.ImportingHash(text()), func(k *v1alpha1.ApiKey) { k.Spec.ImportFrom.Preview = "legacy-…" })
		before := w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Restart()
		w.Keys.Seals.Namespace = w.Namespace // a manager whose secret is another
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).NotTo(Equal(before.Status.Versions[0].Digest))
			g.Expect(k.Status.Versions[0].Preview).To(Equal("legacy-…"))
		})
	})

	DescribeTable("is declared by one of its forms:", func(ctx SpecContext, change func(*v1alpha1.ImportSource), refused string) {
		err := testenv.Admin.Create(ctx, w.NewKey(testenv.ImportingHash(text()), func(k *v1alpha1.ApiKey) { change(k.Spec.ImportFrom) }))
		if refused == "" {
			Expect(err).NotTo(HaveOccurred())
			return
		}
		Expect(err).To(MatchError(ContainSubstring(refused)))
	},
		Entry("base64", func(s *v1alpha1.ImportSource) {
			sum := sha256.Sum256([]byte("x"))
			s.SHA256 = base64.StdEncoding.EncodeToString(sum[:])
		}, ""),
		Entry("both", func(s *v1alpha1.ImportSource) { s.SecretKeyRef = v1alpha1.SecretKeyReference{Name: "a", Key: "b"} },
			"set secretKeyRef or sha256, and not both"),
		Entry("neither", func(s *v1alpha1.ImportSource) { s.SHA256 = "" }, "set secretKeyRef or sha256, and not both"),
		Entry("another hash", func(s *v1alpha1.ImportSource) { s.SHA256 += s.SHA256 }, "spec.importFrom.sha256"),
		Entry("a preview of a text in a Secret", func(s *v1alpha1.ImportSource) {
			*s = v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "a", Key: "b"}, Preview: "x"}
		}, "a preview is for a key that is imported by its hash"),
		Entry("a preview with spaces", func(s *v1alpha1.ImportSource) { s.Preview = "a b" }, "spec.importFrom.preview"),
	)

	It("keeps its hash, which may be removed", func(ctx SpecContext) {
		key := w.CreateKey(ctx, testenv.ImportingHash(text()))
		edited := key.DeepCopy()
		edited.Spec.ImportFrom.Preview = "other"
		Expect(testenv.Admin.Update(ctx, edited)).To(MatchError(ContainSubstring("a key is imported once")))
		key.Spec.ImportFrom = nil
		Expect(testenv.Admin.Update(ctx, key)).To(Succeed())
	})

	It("is not shown whole", func(ctx SpecContext) {
		const short = "0123456789-abcdefghij"
		err := testenv.Admin.Create(ctx, w.NewKey(testenv.ImportingHash(short), func(k *v1alpha1.ApiKey) { k.Spec.ImportFrom.Preview = short }))
		Expect(err).To(MatchError(And(ContainSubstring("spec.importFrom.preview: "), ContainSubstring("this is the whole key"),
			Not(ContainSubstring(short)))))
	})
})

func byHash(_ context.Context, text string) func(*v1alpha1.ApiKey) {
	return testenv.ImportingHash(text)
}

// byText imports the text from a Secret that is created beside the ApiKey.
func byText(ctx context.Context, text string) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) {
		GinkgoHelper()
		Expect(client.IgnoreAlreadyExists(testenv.Admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte(text)},
		}))).To(Succeed())
		testenv.Importing("legacy", "token")(k)
	}
}

// legacy creates the Secret of another platform.
func legacy(ctx context.Context, w *testenv.World, text string) {
	GinkgoHelper()
	Expect(testenv.Admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte(text)},
	})).To(Succeed())
}
