package controllers_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// validator is a validation server of the world's Group that reads only when told to.
type validator struct{ *publish.Subscription }

func (w *world) connect(name string) validator {
	v := validator{hub.Subscribe(publish.Subscriber{Instance: name, Selects: w.selects})}
	DeferCleanup(func() { v.Close(true) })
	v.catchUp()
	return v
}

// catchUp takes and acknowledges everything that is there.
func (v validator) catchUp() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		if v.CaughtUp() {
			cancel()
		}
		update, err := v.Next(ctx)
		cancel()
		if err != nil {
			return
		}
		v.Ack(update.GetRevision())
	}
}

func ready(g Gomega, key *v1alpha1.ApiKey) {
	g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "%+v", key.Status)
	g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionAccepted)).To(BeTrue(), "%+v", key.Status)
	g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReconciling)).To(BeFalse())
}

func because(kind, reason string) func(Gomega, *v1alpha1.ApiKey) {
	return func(g Gomega, key *v1alpha1.ApiKey) {
		condition := meta.FindStatusCondition(key.Status.Conditions, kind)
		g.Expect(condition).NotTo(BeNil())
		g.Expect(condition.Reason).To(Equal(reason), condition.Message)
	}
}

func (w *world) secret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := admin.Get(ctx, w.request("web").NamespacedName, secret)
	return secret, err
}

func (w *world) plaintext(ctx context.Context) string {
	GinkgoHelper()
	secret, err := w.secret(ctx)
	Expect(err).NotTo(HaveOccurred())
	return string(secret.Data[v1alpha1.SecretKeyAPIKey])
}

var _ = Describe("ApiKey", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) { w = newWorld(ctx) })

	It("is published before it is delivered", func(ctx SpecContext) {
		w.group(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Prefix = "vctrl" })
		prompt, slow := w.connect("prompt"), w.connect("slow")
		w.key(ctx)

		w.settle(ctx, "web", because(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		Consistently(func(g Gomega) {
			prompt.catchUp()
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			_, err = w.secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "delivered before slow has it")
		}, "300ms").Should(Succeed())
		w.clock.Step(2 * time.Second)
		key := w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			g.Expect(key.Status.Enforcement.WaitingFor).To(Equal([]string{"slow"}))
		})
		Expect(*key.Status.Enforcement.Servers).To(BeEquivalentTo(2))

		slow.catchUp()
		key = w.settle(ctx, "web", ready)
		text := w.plaintext(ctx)
		parsed, err := keyformat.Parse(text)
		Expect(err).NotTo(HaveOccurred())
		Expect(parsed.Prefix()).To(Equal("vctrl"))
		Expect(key.Status.State).To(Equal(v1alpha1.KeyActive))
		Expect(key.Status.Versions).To(HaveLen(1))
		Expect(key.Status.Versions[0].Digest).To(Equal(parsed.Digest().String()))
		Expect(key.Status.Preview).To(Equal(parsed.Preview()))
		Expect(key.Status.SecretRef.Name).To(Equal("web"))
		Expect(*key.Status.Enforcement.Acknowledged).To(BeEquivalentTo(2))
		Expect(key.Status.ExpiresAt.Time).To(BeTemporally("==", key.Status.Versions[0].MintedAt.Add(90*24*time.Hour)))

		everything, err := json.Marshal(key)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(everything) + w.events()).NotTo(ContainSubstring(text))
	})

	It("takes three writes, and none when idle", func(ctx SpecContext) {
		w.group(ctx)
		v := w.connect("v")
		writes := 0
		count := func() { writes++ }
		w.keys.Client = interceptor.NewClient(clientWithWatch(), countWrites(count))
		w.key(ctx)
		key := &v1alpha1.ApiKey{}
		Eventually(func(g Gomega) {
			v.catchUp()
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(admin.Get(ctx, w.request("web").NamespacedName, key)).To(Succeed())
			ready(g, key)
		}).Should(Succeed())
		w.cached(ctx, key)
		Expect(writes).To(Equal(3), "status, Secret, status")
		for range 10 {
			_, err := w.reconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
		}
		w.restart()
		w.keys.Client = interceptor.NewClient(clientWithWatch(), countWrites(count))
		for range 10 {
			_, err := w.reconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(writes).To(Equal(3))
	})

	It("is minted again when the process died before the delivery", func(ctx SpecContext) {
		w.group(ctx)
		v := w.connect("v")
		w.key(ctx)
		w.settle(ctx, "web", because(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		w.restart()
		key := w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			v.catchUp()
			ready(g, key)
		})
		Expect(key.Status.Versions).To(HaveLen(1))
		Expect(key.Status.Versions[0].ID).To(BeEquivalentTo(2))
		Expect(keyformat.DigestOf(w.plaintext(ctx)).String()).To(Equal(key.Status.Versions[0].Digest))
		Expect(w.events()).To(ContainSubstring(v1alpha1.ReasonVersionDropped))
	})

	It("is adopted when the process died past the delivery", func(ctx SpecContext) {
		w.group(ctx)
		w.key(ctx)
		w.settle(ctx, "web", because(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		w.keys.Client = interceptor.NewClient(clientWithWatch(), interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				return errors.New("the process dies here")
			},
		})
		Eventually(func() error {
			_, _ = w.reconcileKey(ctx, "web")
			_, err := w.secret(ctx)
			return err
		}).Should(Succeed())
		delivered := w.plaintext(ctx)
		w.restart()
		key := w.settle(ctx, "web", ready)
		Expect(w.plaintext(ctx)).To(Equal(delivered))
		Expect(key.Status.Versions).To(HaveLen(1))
		Expect(key.Status.Versions[0].ID).To(BeEquivalentTo(1))
	})

	It("never touches a Secret of somebody else's", func(ctx SpecContext) {
		w.group(ctx)
		foreign := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"},
			Data:       map[string][]byte{"theirs": []byte("1")},
		}
		Expect(admin.Create(ctx, foreign)).To(Succeed())
		w.key(ctx)
		w.settle(ctx, "web", because(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict))
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.ResourceVersion).To(Equal(foreign.ResourceVersion))
		result, err := w.reconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically(">", 0))

		Expect(admin.Delete(ctx, foreign)).To(Succeed())
		w.settle(ctx, "web", ready)
		Expect(w.plaintext(ctx)).To(HavePrefix("kw_"))
	})

	It("leaves a Secret alone that appears at the last moment", func(ctx SpecContext) {
		w.group(ctx)
		v := w.connect("v")
		w.key(ctx)
		w.settle(ctx, "web", because(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "web"}}
		Expect(admin.Create(ctx, foreign)).To(Succeed())
		w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			v.catchUp()
			because(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict)(g, key)
			g.Expect(key.Status.Versions).To(BeEmpty())
		})
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.Data).To(BeEmpty())
	})

	It("expires at its instant, for good", func(ctx SpecContext) {
		w.group(ctx)
		w.key(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "1h" })
		key := w.settle(ctx, "web", ready)
		w.clock.Step(30 * time.Minute)
		w.settle(ctx, "web", because(v1alpha1.ConditionExpiringSoon, v1alpha1.ReasonExpiresAt))
		Expect(w.events()).To(ContainSubstring("does not rotate automatically"))
		left := key.Status.ExpiresAt.Sub(w.clock.Now())
		Eventually(func(g Gomega) {
			result, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(Equal(left), "the exact instant")
		}).Should(Succeed())

		w.clock.Step(left - 1)
		_, err := w.reconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		Expect(key.Status.State).To(Equal(v1alpha1.KeyActive))

		w.clock.Step(1)
		w.settle(ctx, "web", because(v1alpha1.ConditionAccepted, v1alpha1.ReasonExpired))
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "10h" })
		key = w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionReady).ObservedGeneration).To(Equal(k.Generation))
		})
		Expect(key.Status.State).To(Equal(v1alpha1.KeyExpired))
	})

	DescribeTable("is not accepted, and says why,",
		func(ctx SpecContext, reason string, state v1alpha1.KeyState, change func(*v1alpha1.Group, *v1alpha1.ApiKey)) {
			g := w.group(ctx)
			key := w.key(ctx)
			w.settle(ctx, "web", ready)
			w.events()
			edit(ctx, g, func(g *v1alpha1.Group) { change(g, w.newKey()) })
			edit(ctx, key, func(k *v1alpha1.ApiKey) { change(g.DeepCopy(), k) })
			key = w.settle(ctx, "web", because(v1alpha1.ConditionReady, reason))
			because(v1alpha1.ConditionAccepted, reason)(Default, key)
			Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionAccepted)).To(BeFalse())
			Expect(key.Status.State).To(Equal(state))
			Expect(w.events()).To(ContainSubstring(reason))
			Expect(key.Status.Versions).To(HaveLen(1), "the version is kept for when it is accepted again")
		},
		Entry("while its Group is frozen", v1alpha1.ReasonGroupFrozen, v1alpha1.KeySuspended,
			func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.State = v1alpha1.GroupFrozen }),
		Entry("while its Group is suspended", v1alpha1.ReasonGroupSuspended, v1alpha1.KeySuspended,
			func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.State = v1alpha1.GroupSuspended }),
		Entry("while it is suspended", v1alpha1.ReasonSuspended, v1alpha1.KeySuspended,
			func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) }),
		Entry("when its project is gone", v1alpha1.ReasonProjectNotFound, v1alpha1.KeyBlocked,
			func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.Projects = g.Spec.Projects[1:] }),
		Entry("when it is revoked", v1alpha1.ReasonRevoked, v1alpha1.KeyRevoked,
			func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) }),
	)

	It("says that its Group is missing, and is minted when it comes", func(ctx SpecContext) {
		w.key(ctx)
		w.settle(ctx, "web", because(v1alpha1.ConditionStalled, v1alpha1.ReasonGroupNotFound))
		_, err := w.secret(ctx)
		Expect(apierrors.IsNotFound(err)).To(BeTrue())
		w.group(ctx)
		w.settle(ctx, "web", ready)
	})

	It("says that its Group does not admit its namespace", func(ctx SpecContext) {
		other := newWorld(ctx)
		other.group(ctx, admitting(w))
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
		edit(ctx, namespace, func(n *corev1.Namespace) { n.Labels["admitted"] = w.namespace })
		key := w.newKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = other.namespace })
		Eventually(func() error { return admin.Create(ctx, key.DeepCopy()) }).Should(Succeed()) // the webhook's cache may lag
		w.settle(ctx, "web", ready)
		edit(ctx, namespace, func(n *corev1.Namespace) { delete(n.Labels, "admitted") })
		w.settle(ctx, "web", because(v1alpha1.ConditionStalled, v1alpha1.ReasonNamespaceNotAllowed))
	})

	It("is deleted when every server refuses it", func(ctx SpecContext) {
		w.group(ctx)
		v := w.connect("v")
		key := w.key(ctx)
		w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.catchUp(); ready(g, key) })
		Expect(admin.Delete(ctx, key)).To(Succeed())
		Consistently(func(g Gomega) {
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed(), "gone before it is refused")
		}, "300ms").Should(Succeed())
		conflicts := 1
		w.keys.Client = interceptor.NewClient(clientWithWatch(), interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
				if conflicts > 0 && len(object.GetFinalizers()) == 0 {
					conflicts--
					return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), "web", nil)
				}
				return c.Patch(ctx, object, patch, options...)
			},
		})
		Eventually(func(g Gomega) {
			v.catchUp()
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(key), key))).To(BeTrue())
		}).Should(Succeed())
		Expect(conflicts).To(BeZero())
		Expect(strings.Count(w.events(), "refused by every validation server")).To(Equal(1), "said twice")
	})

	It("is deleted after a while although a server does not answer, which is named", func(ctx SpecContext) {
		w.group(ctx)
		v := w.connect("stuck-validator")
		key := w.key(ctx)
		w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.catchUp(); ready(g, key) })
		Expect(admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			w.clock.Step(10 * time.Second)
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(key), key))).To(BeTrue())
		}).Should(Succeed())
		Expect(w.events()).To(ContainSubstring("stuck-validator will refuse it only when connected again"))
	})

	It("keeps its Secret in the declared shape, and what others added", func(ctx SpecContext) {
		w.group(ctx)
		key := w.key(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template = v1alpha1.SecretTemplate{
				Labels: map[string]v1alpha1.LabelValue{"team": "web", "old": "1"},
				Data:   map[string]v1alpha1.EntryTemplate{".env": "ACME_KEY={{ .Key }}", "old": "x"},
			}
		})
		w.settle(ctx, "web", ready)
		text := w.plaintext(ctx)
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(secret.Data[".env"])).To(Equal("ACME_KEY=" + text))

		edit(ctx, secret, func(s *corev1.Secret) {
			s.Labels["theirs"] = "kept"
			s.Data["theirs"] = []byte("kept")
			s.Data[".env"] = []byte("tampered")
			delete(s.Labels, v1alpha1.LabelManagedBy)
		})
		edit(ctx, key, func(k *v1alpha1.ApiKey) {
			delete(k.Spec.Secret.Template.Labels, "old")
			delete(k.Spec.Secret.Template.Data, "old")
			k.Spec.Secret.Template.Labels["team"] = "shop"
		})
		Eventually(func(g Gomega) {
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			secret, err = w.secret(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(secret.Labels).To(And(HaveKeyWithValue("team", "shop"), HaveKeyWithValue("theirs", "kept"),
				HaveKeyWithValue(v1alpha1.LabelManagedBy, v1alpha1.ManagedBy), Not(HaveKey("old"))))
			g.Expect(secret.Data).To(And(HaveKeyWithValue(".env", []byte("ACME_KEY="+text)),
				HaveKeyWithValue("theirs", []byte("kept")), Not(HaveKey("old"))))
		}).Should(Succeed())
		Expect(w.plaintext(ctx)).To(Equal(text))
		before := secret.ResourceVersion
		w.settle(ctx, "web", ready)
		secret, err = w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.ResourceVersion).To(Equal(before), "it is in shape, and still written")
	})

	It("takes the place of a key whose Secret was deleted", func(ctx SpecContext) {
		w.group(ctx)
		w.key(ctx)
		w.settle(ctx, "web", ready)
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(admin.Delete(ctx, secret)).To(Succeed())
		key := w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			g.Expect(key.Status.Versions).To(HaveLen(2))
			ready(g, key)
		})
		Expect(keyformat.DigestOf(w.plaintext(ctx)).String()).To(Equal(key.Status.Versions[1].Digest))
		Expect(w.events()).To(ContainSubstring("no longer holds version 1"))
		Expect(key.Status.Versions[0].State).To(Equal(v1alpha1.VersionRevoked), "whoever removed it may have had a reason")
	})

	It("says why the API server refuses its Secret, without its text, and tries again", func(ctx SpecContext) {
		w.group(ctx)
		refuse := true
		w.keys.Client = interceptor.NewClient(clientWithWatch(), interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if secret, ok := object.(*corev1.Secret); ok && refuse {
					return apierrors.NewForbidden(corev1.Resource("secrets"), "web",
						errors.New("policy none does not like "+string(secret.Data[v1alpha1.SecretKeyAPIKey])))
				}
				return c.Create(ctx, object, options...)
			},
		})
		w.key(ctx)
		key := &v1alpha1.ApiKey{}
		Eventually(func(g Gomega) {
			_, _ = w.reconcileKey(ctx, "web")
			g.Expect(admin.Get(ctx, w.request("web").NamespacedName, key)).To(Succeed())
			because(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretRefused)(g, key)
		}).Should(Succeed())
		Expect(key.Status.State).To(Equal(v1alpha1.KeyBlocked))
		said := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message + w.events()
		Expect(said).To(ContainSubstring(`policy none does not like …`))
		refuse = false
		w.settle(ctx, "web", ready)
		Expect(said).NotTo(ContainSubstring(w.plaintext(ctx)))
	})
})
