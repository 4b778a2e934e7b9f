package controllers_test

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
	"github.com/keyward-dev/keyward/internal/keyformat"
)

var _ = Describe("A text that is over", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.group(ctx)
	})
	// copied is what somebody with edit keeps of the Secret, to plant it later.
	copied := func(ctx context.Context) *corev1.Secret {
		GinkgoHelper()
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: secret.Namespace, Name: secret.Name, Labels: maps.Clone(secret.Labels), Annotations: maps.Clone(secret.Annotations),
			},
			Type: secret.Type, Data: maps.Clone(secret.Data),
		}
	}
	remove := func(ctx context.Context, key *v1alpha1.ApiKey) {
		GinkgoHelper()
		Expect(admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.reconcileKey(ctx, key.Name)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key), &v1alpha1.ApiKey{}))).To(BeTrue())
			_, err = w.secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue())
		}).Should(Succeed())
	}
	refused := func(reason string) func(Gomega, *v1alpha1.ApiKey) {
		return func(g Gomega, k *v1alpha1.ApiKey) {
			because(v1alpha1.ConditionStalled, reason)(g, k)
			g.Expect(k.Status.Versions).To(BeEmpty(), "it was published")
		}
	}
	allow := func(ctx context.Context, until time.Time) {
		GinkgoHelper()
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
		edit(ctx, namespace, func(n *corev1.Namespace) {
			n.Annotations = map[string]string{v1alpha1.AnnotationRestoringUntil: until.UTC().Format(time.RFC3339)}
		})
	}

	It("stays revoked when its ApiKey is made again beside the planted Secret", func(ctx SpecContext) {
		key := w.key(ctx)
		w.settle(ctx, "web", ready)
		secret := copied(ctx)
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { versions(v1alpha1.VersionRevoked)(g, k) })
		remove(ctx, key)
		Expect(admin.Create(ctx, secret)).To(Succeed())
		w.restart()
		allow(ctx, w.clock.Now().Add(time.Hour)) // which is about what was deleted only
		w.key(ctx)
		again := w.settle(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
		Expect(meta.FindStatusCondition(again.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("delete the Secret, and a new key is minted"))
		Expect(admin.Delete(ctx, secret)).To(Succeed())
		w.settle(ctx, "web", ready)
		Expect(w.plaintext(ctx)).NotTo(Equal(string(secret.Data[v1alpha1.SecretKeyAPIKey])))
	})

	It("stays over when it was deleted, unless the platform allows a restore", func(ctx SpecContext) {
		key := w.key(ctx)
		w.settle(ctx, "web", ready)
		secret := copied(ctx)
		remove(ctx, key)
		Expect(admin.Create(ctx, secret)).To(Succeed())
		w.restart()
		w.key(ctx)
		w.settle(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
		allow(ctx, w.clock.Now().Add(-time.Second))
		w.settle(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
		allow(ctx, w.clock.Now().Add(time.Hour))
		w.settle(ctx, "web", ready)
		Expect(w.plaintext(ctx)).To(Equal(string(secret.Data[v1alpha1.SecretKeyAPIKey])))
		Expect(w.events()).To(ContainSubstring("its namespace allows that until"))
	})

	It("is not taken over where it was retired before its ApiKey was deleted", func(ctx SpecContext) {
		key := w.key(ctx)
		w.settle(ctx, "web", ready)
		secret := copied(ctx)
		edit(ctx, key, trigger("now", "0s"))
		w.settle(ctx, "web", versions(v1alpha1.VersionRetired, active))
		remove(ctx, key)
		Expect(admin.Create(ctx, secret)).To(Succeed())
		allow(ctx, w.clock.Now().Add(time.Hour))
		w.key(ctx)
		w.settle(ctx, "web", refused(v1alpha1.ReasonTextRevoked))
	})

	It("is not imported again", func(ctx SpecContext) {
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte("legacy-platform/0123456789+" + w.namespace)},
		})).To(Succeed())
		key := w.key(ctx, importing("legacy", "token"))
		w.settle(ctx, "web", ready)
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = new(true) })
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { versions(v1alpha1.VersionRevoked)(g, k) })
		w.restart()
		w.key(ctx, importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "second" })
		w.settle(ctx, "second", refused(v1alpha1.ReasonImportRefused)) // the first has it still
		remove(ctx, key)
		w.settle(ctx, "second", refused(v1alpha1.ReasonTextRevoked))
	})

	It("may come again when it would have expired", func(ctx SpecContext) {
		m := memory(w.clock)
		digest := keyformat.DigestOf(w.namespace)
		Eventually(func() (bool, error) {
			return m.Remember(ctx, revoked.Entry{Digest: digest, Cause: revoked.Ended, Until: w.clock.Now().Add(time.Hour)})
		}).Should(BeTrue())
		_, known, err := memory(w.clock).Recall(ctx, digest)
		Expect(known, err).To(BeTrue())
		w.clock.Step(2 * time.Hour)
		_, known, err = memory(w.clock).Recall(ctx, digest)
		Expect(known, err).To(BeFalse())
	})

	It("is remembered also where the finalizer was removed by hand", func(ctx SpecContext) {
		w.run(ctx)
		key := w.key(ctx)
		Eventually(func(g Gomega) {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
			ready(g, key)
		}).Should(Succeed())
		secret := copied(ctx)
		held := keyformat.DigestOf(string(secret.Data[v1alpha1.SecretKeyAPIKey]))
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Finalizers = []string{"example.com/other"} })
		Expect(admin.Delete(ctx, key)).To(Succeed())
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Finalizers = nil })
		Eventually(func() (bool, error) {
			_, known, err := memory(clock.RealClock{}).Recall(ctx, held)
			return known, err
		}).Should(BeTrue())
	})

	It("costs a mint and an idle key nothing", func(ctx SpecContext) {
		count := func() int {
			list := &corev1.SecretList{}
			Expect(admin.List(ctx, list, client.InNamespace(systemNamespace), client.MatchingLabels{revoked.Label: revoked.LabelValue})).To(Succeed())
			n := 0
			for i := range list.Items {
				n += len(list.Items[i].Data["entries"])
			}
			return n
		}
		before := count()
		w.key(ctx)
		key := w.settle(ctx, "web", ready)
		for range 3 {
			w.settle(ctx, "web", ready)
		}
		Expect(count()).To(Equal(before))
		after := &v1alpha1.ApiKey{}
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), after)).To(Succeed())
		Expect(after.ResourceVersion).To(Equal(key.ResourceVersion))
	})

	DescribeTable("is not taken over from a Secret that the manager has not sealed so,",
		func(ctx SpecContext, name string, change func(*corev1.Secret)) {
			key := w.key(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "90d" })
			w.settle(ctx, "web", ready)
			secret := copied(ctx)
			w.vanish(ctx, key)
			Expect(client.IgnoreNotFound(admin.Delete(ctx, secret.DeepCopy()))).To(Succeed())
			secret.Name = name
			change(secret)
			Expect(admin.Create(ctx, secret)).To(Succeed())
			w.key(ctx, func(k *v1alpha1.ApiKey) { k.Name = name })
			after := w.settle(ctx, name, refused(v1alpha1.ReasonRestoreRefused))
			Expect(meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("has no seal"))
			allow(ctx, w.clock.Now().Add(time.Hour))
			w.settle(ctx, name, ready)
			Expect(w.events()).To(ContainSubstring("has no seal of this manager; it is taken over because its namespace allows that"))
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

	It("does not name the ApiKey of another namespace whose key it is", func(ctx SpecContext) {
		other := newWorld(ctx)
		other.group(ctx)
		const text = "legacy-platform/shared-by-two+0123456789"
		for _, in := range []*world{other, w} {
			Expect(admin.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte(text)},
			})).To(Succeed())
		}
		other.key(ctx, importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "neighbour" })
		other.settle(ctx, "neighbour", ready)
		w.key(ctx, importing("legacy", "token"))
		key := w.settle(ctx, "web", refused(v1alpha1.ReasonImportRefused))
		message := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
		Expect(message + w.events()).To(And(ContainSubstring("another ApiKey"), Not(ContainSubstring("neighbour")), Not(ContainSubstring(other.namespace))))
	})
})

var _ = Describe("The manager's secret", func() {
	var w *world
	const text = "legacy-platform/0123456789+ABCDEF=="
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.group(ctx)
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte(text + w.namespace)},
		})).To(Succeed())
	})
	// lost is a manager whose secret is another.
	lost := func() { w.keys.Seals.Namespace = w.namespace }

	It("comes into what an earlier release has left, silently", func(ctx SpecContext) {
		w.key(ctx, importing("legacy", "token"))
		key := w.settle(ctx, "web", ready)
		before := key.DeepCopy()
		keyed := key.Status.Versions[0].Digest
		sum := sha256.Sum256([]byte(text + w.namespace))
		key.Status.Versions[0].Digest, key.Status.Versions[0].Preview = "sha256:"+hex.EncodeToString(sum[:]), "…EF=="
		Expect(admin.Status().Patch(ctx, key, client.MergeFrom(before))).To(Succeed())
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		edit(ctx, secret, func(s *corev1.Secret) { delete(s.Annotations, v1alpha1.AnnotationSeal) })
		w.events()
		w.restart()
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			ready(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).To(Equal(keyed))
			g.Expect(k.Status.Preview).To(Equal(keyformat.ForeignPreview))
			secret, err := w.secret(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(secret.Annotations).To(HaveKey(v1alpha1.AnnotationSeal))
			g.Expect(secret.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationPreview, keyformat.ForeignPreview))
		})
		Expect(w.events()).To(BeEmpty())
	})

	It("may be lost: imported keys then wait for somebody to decide", func(ctx SpecContext) {
		w.key(ctx, importing("legacy", "token"))
		before := w.settle(ctx, "web", ready)
		w.restart()
		lost()
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			because(v1alpha1.ConditionStalled, v1alpha1.ReasonRestoreRefused)(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).To(Equal(before.Status.Versions[0].Digest), "it is given up")
		})
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
		edit(ctx, namespace, func(n *corev1.Namespace) {
			n.Annotations = map[string]string{v1alpha1.AnnotationRestoringUntil: w.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
		})
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			ready(g, k)
			versions(active)(g, k)
			g.Expect(k.Status.Versions[0].Digest).NotTo(Equal(before.Status.Versions[0].Digest))
		})
		Expect(w.plaintext(ctx)).To(Equal(text + w.namespace))
		Expect(w.events()).To(ContainSubstring("is trusted to hold the key"))
	})

	It("is made once, is written again when it is deleted, and ends the manager when it is another", func(ctx SpecContext) {
		keeper, second := seals(), seals()
		keeper.Namespace, second.Namespace = w.namespace, w.namespace
		keys, err := keeper.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		same, err := second.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(same.Digests.ID()).To(Equal(keys.Digests.ID()))
		secret := &corev1.Secret{}
		name := client.ObjectKey{Namespace: w.namespace, Name: seal.SecretName}
		Expect(admin.Get(ctx, name, secret)).To(Succeed())
		Expect(*secret.Immutable).To(BeTrue())
		root := secret.Data
		Expect(admin.Delete(ctx, secret)).To(Succeed())
		Expect(keeper.Look(ctx)).To(Succeed())
		Expect(admin.Get(ctx, name, secret)).To(Succeed())
		Expect(secret.Data).To(Equal(root))
		Expect(admin.Delete(ctx, secret)).To(Succeed())
		third := seals()
		third.Namespace = w.namespace
		_, err = third.Keys(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(keeper.Look(ctx)).To(MatchError(seal.ErrReplaced))
	})
})
