package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

var _ = Describe("A text that was revoked or retired", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	// copied is what somebody with edit keeps of the Secret, to plant it later.
	copied := func(ctx context.Context) *corev1.Secret {
		GinkgoHelper()
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: secret.Namespace, Name: secret.Name, Labels: maps.Clone(secret.Labels),
				Annotations: maps.Clone(secret.Annotations),
			},
			Type: secret.Type, Data: maps.Clone(secret.Data),
		}
	}
	remove := func(ctx context.Context, key *v1alpha1.ApiKey) {
		GinkgoHelper()
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, key.Name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key),
				&v1alpha1.ApiKey{}))).To(BeTrue())
			_, err = w.Secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue())
		}).Should(Succeed())
	}
	refused := func(reason string) func(Gomega, *v1alpha1.ApiKey) {
		return func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.HasReason(v1alpha1.ConditionStalled, reason)(g, k)
			g.Expect(k.Status.Versions).To(BeEmpty(), "it was published")
		}
	}
	allow := func(ctx context.Context, until time.Time) {
		GinkgoHelper()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
		testenv.Edit(ctx, namespace, func(n *corev1.Namespace) {
			n.Annotations = map[string]string{v1alpha1.AnnotationRestoringUntil: until.UTC().Format(time.RFC3339)}
		})
	}

	It("stays revoked when its ApiKey is made again beside the planted Secret", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret := copied(ctx)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { versions(v1alpha1.VersionRevoked)(g, k) })
		remove(ctx, key)
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		w.Restart()
		allow(ctx, w.Clock.Now().Add(time.Hour)) // which is about what was deleted only
		w.CreateKey(ctx)
		again := w.ReconcileUntil(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
		condition := meta.FindStatusCondition(again.Status.Conditions, v1alpha1.ConditionReady)
		Expect(condition.Message).To(ContainSubstring("delete the Secret, and a new key is minted"))
		Expect(testenv.Admin.Delete(ctx, secret)).To(Succeed())
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(w.Plaintext(ctx)).NotTo(Equal(string(secret.Data[v1alpha1.SecretKeyAPIKey])))
	})

	It("stays revoked when it was deleted, unless the platform allows a restore", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret := copied(ctx)
		remove(ctx, key)
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		w.Restart()
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
		allow(ctx, w.Clock.Now().Add(-time.Second))
		w.ReconcileUntil(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
		allow(ctx, w.Clock.Now().Add(time.Hour))
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(w.Plaintext(ctx)).To(Equal(string(secret.Data[v1alpha1.SecretKeyAPIKey])))
		Expect(w.Events()).To(ContainSubstring("its namespace allows that until"))
	})

	It("is not taken over where it was retired before its ApiKey was deleted", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret := copied(ctx)
		testenv.Edit(ctx, key, trigger("now", "0s"))
		w.ReconcileUntil(ctx, "web", versions(v1alpha1.VersionRetired, active))
		remove(ctx, key)
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		allow(ctx, w.Clock.Now().Add(time.Hour))
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
	})

	It("is not imported again", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "legacy"},
			Data:       map[string][]byte{"token": []byte("legacy-platform/0123456789+" + w.Namespace)},
		})).To(Succeed())
		key := w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { versions(v1alpha1.VersionRevoked)(g, k) })
		w.Restart()
		w.CreateKey(ctx, testenv.Importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "second" })
		w.ReconcileUntil(ctx, "second", refused(v1alpha1.ReasonImportRefused)) // the first has it still
		remove(ctx, key)
		w.ReconcileUntil(ctx, "second", refused(v1alpha1.ReasonTextRevoked))
	})

	It("may be used again when it would have expired", func(ctx SpecContext) {
		m := testenv.Memory(w.Clock)
		digest := keyformat.DigestOf(w.Namespace)
		Eventually(func() (bool, error) {
			return m.Remember(ctx, revoked.Entry{Digest: digest, Cause: revoked.Ended, Until: w.Clock.Now().Add(time.Hour)})
		}).Should(BeTrue())
		_, known, err := testenv.Memory(w.Clock).Recall(ctx, digest)
		Expect(known, err).To(BeTrue())
		w.Clock.Step(2 * time.Hour)
		_, known, err = testenv.Memory(w.Clock).Recall(ctx, digest)
		Expect(known, err).To(BeFalse())
	})

	It("is remembered also where the finalizer was removed by hand", func(ctx SpecContext) {
		runControllers(ctx, w)
		key := w.CreateKey(ctx)
		Eventually(func(g Gomega) {
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
			testenv.Ready(g, key)
		}).Should(Succeed())
		secret := copied(ctx)
		held := keyformat.DigestOf(string(secret.Data[v1alpha1.SecretKeyAPIKey]))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Finalizers = []string{"example.com/other"} })
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Finalizers = nil })
		Eventually(func() (bool, error) {
			_, known, err := testenv.Memory(clock.RealClock{}).Recall(ctx, held)
			return known, err
		}).Should(BeTrue())
	})

	It("costs nothing for a mint and for an idle key", func(ctx SpecContext) {
		count := func() int {
			list := &corev1.SecretList{}
			Expect(testenv.Admin.List(ctx, list, client.InNamespace(testenv.SystemNamespace),
				client.MatchingLabels{revoked.Label: revoked.LabelValue})).To(Succeed())
			n := 0
			for i := range list.Items {
				n += len(list.Items[i].Data["entries"])
			}
			return n
		}
		before := count()
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		for range 3 {
			w.ReconcileUntil(ctx, "web", testenv.Ready)
		}
		Expect(count()).To(Equal(before))
		after := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), after)).To(Succeed())
		Expect(after.ResourceVersion).To(Equal(key.ResourceVersion))
	})

	DescribeTable("is not taken over from a Secret without a valid seal,",
		func(ctx SpecContext, name string, change func(*corev1.Secret)) {
			key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "90d" })
			w.ReconcileUntil(ctx, "web", testenv.Ready)
			secret := copied(ctx)
			vanish(ctx, w, key)
			Expect(client.IgnoreNotFound(testenv.Admin.Delete(ctx, secret.DeepCopy()))).To(Succeed())
			secret.Name = name
			change(secret)
			Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
			w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = name })
			after := w.ReconcileUntil(ctx, name, refused(v1alpha1.ReasonRestoreRefused))
			Expect(meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("has no seal"))
			allow(ctx, w.Clock.Now().Add(time.Hour))
			w.ReconcileUntil(ctx, name, testenv.Ready)
			Expect(w.Events()).To(ContainSubstring("has no seal of this manager; it is taken over because its namespace allows that"))
		},
		Entry("where there is no seal", "web", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationSeal) }),
		Entry("where the text is another", "web", func(s *corev1.Secret) {
			s.Data[v1alpha1.SecretKeyAPIKey] = []byte("planted-by-somebody/0123456789")
		}),
		Entry("where its end was put off", "web", func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationExpiresAt) }),
		Entry("where its age was changed", "web", func(s *corev1.Secret) {
			s.Annotations[v1alpha1.AnnotationMintedAt] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		}),
		Entry("where its version was changed", "web", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationVersion] = "7" }),
		Entry("where it was made for another ApiKey", "shop", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationAPIKey] = "shop" }),
	)

	It("does not name an ApiKey of another namespace that has it", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		other.CreateGroup(ctx)
		const text = "legacy-platform/shared-by-two+0123456789"
		for _, in := range []*testenv.World{other, w} {
			Expect(testenv.Admin.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: in.Namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte(text)},
			})).To(Succeed())
		}
		other.CreateKey(ctx, testenv.Importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "neighbour" })
		other.ReconcileUntil(ctx, "neighbour", testenv.Ready)
		w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		key := w.ReconcileUntil(ctx, "web", refused(v1alpha1.ReasonImportRefused))
		message := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
		Expect(message + w.Events()).To(And(ContainSubstring("another ApiKey"), Not(ContainSubstring("neighbour")),
			Not(ContainSubstring(other.Namespace))))
	})
})

var _ = Describe("The manager's secret", func() {
	var w *testenv.World
	const text = "legacy-platform/0123456789+ABCDEF=="
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		Expect(testenv.Admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "legacy"},
			Data:       map[string][]byte{"token": []byte(text + w.Namespace)},
		})).To(Succeed())
	})
	// lost is a manager whose secret is another.
	lost := func() { w.Keys.Seals.Namespace = w.Namespace }

	It("is applied silently to objects of an earlier release", func(ctx SpecContext) {
		w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		before := key.DeepCopy()
		keyed := key.Status.Versions[0].Digest
		sum := sha256.Sum256([]byte(text + w.Namespace))
		key.Status.Versions[0].Digest, key.Status.Versions[0].Preview = "sha256:"+hex.EncodeToString(sum[:]), "…EF=="
		Expect(testenv.Admin.Status().Patch(ctx, key, client.MergeFrom(before))).To(Succeed())
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		testenv.Edit(ctx, secret, func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationSeal) })
		w.Events()
		w.Restart()
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).To(Equal(keyed))
			g.Expect(k.Status.Preview).To(Equal(keyformat.ForeignPreview))
			secret, err := w.Secret(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(secret.Annotations).To(HaveKey(v1alpha1.AnnotationSeal))
			g.Expect(secret.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationPreview, keyformat.ForeignPreview))
		})
		Expect(w.Events()).To(BeEmpty())
	})

	It("may be lost: imported keys then wait for a decision", func(ctx SpecContext) {
		w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		before := w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Restart()
		lost()
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonRestoreRefused)(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).To(Equal(before.Status.Versions[0].Digest), "it is given up")
		})
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
		testenv.Edit(ctx, namespace, func(n *corev1.Namespace) {
			n.Annotations = map[string]string{v1alpha1.AnnotationRestoringUntil: w.Clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
		})
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).NotTo(Equal(before.Status.Versions[0].Digest))
		})
		Expect(w.Plaintext(ctx)).To(Equal(text + w.Namespace))
		Expect(w.Events()).To(ContainSubstring("is trusted to hold the key"))
	})

	It("is created once, is written again when it is deleted, and ends the manager when it was replaced", func(ctx SpecContext) {
		keeper, second := testenv.Seals(), testenv.Seals()
		keeper.Namespace, second.Namespace = w.Namespace, w.Namespace
		keys, err := keeper.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		same, err := second.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(same.Digests.ID()).To(Equal(keys.Digests.ID()))
		secret := &corev1.Secret{}
		name := client.ObjectKey{Namespace: w.Namespace, Name: seal.SecretName}
		Expect(testenv.Admin.Get(ctx, name, secret)).To(Succeed())
		Expect(*secret.Immutable).To(BeTrue())
		root := secret.Data
		Expect(testenv.Admin.Delete(ctx, secret)).To(Succeed())
		Expect(keeper.Check(ctx)).To(Succeed())
		Expect(testenv.Admin.Get(ctx, name, secret)).To(Succeed())
		Expect(secret.Data).To(Equal(root))
		Expect(testenv.Admin.Delete(ctx, secret)).To(Succeed())
		third := testenv.Seals()
		third.Namespace = w.Namespace
		_, err = third.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(keeper.Check(ctx)).To(MatchError(seal.ErrReplaced))
	})
})
