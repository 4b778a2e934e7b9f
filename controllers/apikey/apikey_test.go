package apikey_test

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
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

var _ = Describe("ApiKey", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("is published before it is delivered", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.Prefix = "vctrl" })
		prompt, slow := w.Connect("prompt"), w.Connect("slow")
		w.CreateKey(ctx)

		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		Consistently(func(g Gomega) {
			prompt.CatchUp()
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			_, err = w.Secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "delivered before slow has it")
		}, "300ms").Should(Succeed())
		w.Clock.Step(2 * time.Second)
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			g.Expect(key.Status.Enforcement).NotTo(BeNil())
			g.Expect(key.Status.Enforcement.WaitingFor).To(Equal([]string{"slow"}))
		})
		Expect(*key.Status.Enforcement.Servers).To(BeEquivalentTo(2))

		slow.CatchUp()
		key = w.ReconcileUntil(ctx, "web", testenv.Ready)
		text := w.Plaintext(ctx)
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
		Expect(string(everything) + w.Events()).NotTo(ContainSubstring(text))
	})

	It("takes three writes, and none when idle", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		writes := 0
		count := func() { writes++ }
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(count))
		w.CreateKey(ctx)
		key := &v1alpha1.ApiKey{}
		Eventually(func(g Gomega) {
			v.CatchUp()
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
			testenv.Ready(g, key)
		}).Should(Succeed())
		w.WaitForCache(ctx, key)
		Expect(writes).To(Equal(3), "status, Secret, status")
		for range 10 {
			_, err := w.ReconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
		}
		w.Restart()
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), testenv.CountWrites(count))
		for range 10 {
			_, err := w.ReconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(writes).To(Equal(3))
	})

	It("is minted again when the process died before the delivery", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		w.Restart()
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			v.CatchUp()
			testenv.Ready(g, key)
		})
		Expect(key.Status.Versions).To(HaveLen(1))
		Expect(key.Status.Versions[0].ID).To(BeEquivalentTo(2))
		Expect(keyformat.DigestOf(w.Plaintext(ctx)).String()).To(Equal(key.Status.Versions[0].Digest))
		Expect(w.Events()).To(ContainSubstring(v1alpha1.ReasonVersionDropped))
	})

	It("is adopted when the process died after the delivery", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch,
				...client.SubResourcePatchOption) error {
				return errors.New("the process dies here")
			},
		})
		Eventually(func() error {
			_, _ = w.ReconcileKey(ctx, "web")
			_, err := w.Secret(ctx)
			return err
		}).Should(Succeed())
		delivered := w.Plaintext(ctx)
		w.Restart()
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(w.Plaintext(ctx)).To(Equal(delivered))
		Expect(key.Status.Versions).To(HaveLen(1))
		Expect(key.Status.Versions[0].ID).To(BeEquivalentTo(1))
	})

	It("never touches a Secret that it does not own", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		foreign := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"},
			Data:       map[string][]byte{"theirs": []byte("1")},
		}
		Expect(testenv.Admin.Create(ctx, foreign)).To(Succeed())
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict))
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.ResourceVersion).To(Equal(foreign.ResourceVersion))
		result, err := w.ReconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeNumerically(">", 0))

		Expect(testenv.Admin.Delete(ctx, foreign)).To(Succeed())
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(w.Plaintext(ctx)).To(HavePrefix("kw_"))
	})

	It("says whose key is in a Secret that is another ApiKey's", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Secret.Name = "second", "web" })
		key := w.ReconcileUntil(ctx, "second", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionStalled).Message).To(And(
			ContainSubstring(`is that of ApiKey "web"`), ContainSubstring("another secret.name"), Not(ContainSubstring("Remove"))))
	})

	It("does not touch a Secret that is created just before the delivery", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonPublishing))
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "web"}}
		Expect(testenv.Admin.Create(ctx, foreign)).To(Succeed())
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			v.CatchUp()
			testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict)(g, key)
			g.Expect(key.Status.Versions).To(BeEmpty())
		})
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.Data).To(BeEmpty())
	})

	It("expires exactly at its expiry, permanently", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "1h" })
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Clock.Step(30 * time.Minute)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionExpiringSoon, v1alpha1.ReasonExpiresAt))
		Expect(w.Events()).To(ContainSubstring("does not rotate automatically"))
		left := key.Status.ExpiresAt.Sub(w.Clock.Now())
		Eventually(func(g Gomega) {
			result, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(Equal(left), "the exact instant")
		}).Should(Succeed())

		w.Clock.Step(left - 1)
		_, err := w.ReconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		Expect(key.Status.State).To(Equal(v1alpha1.KeyActive))

		w.Clock.Step(1)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionAccepted, v1alpha1.ReasonExpired))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "10h" })
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(meta.FindStatusCondition(k.Status.Conditions, v1alpha1.ConditionReady).ObservedGeneration).To(Equal(k.Generation))
		})
		Expect(key.Status.State).To(Equal(v1alpha1.KeyExpired))
	})

	DescribeTable("is not accepted, and says why,",
		func(ctx SpecContext, reason string, state v1alpha1.KeyState, change func(*v1alpha1.Group, *v1alpha1.ApiKey)) {
			g := w.CreateGroup(ctx)
			key := w.CreateKey(ctx)
			w.ReconcileUntil(ctx, "web", testenv.Ready)
			w.Events()
			testenv.Edit(ctx, g, func(g *v1alpha1.Group) { change(g, w.NewKey()) })
			testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { change(g.DeepCopy(), k) })
			key = w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, reason))
			testenv.HasReason(v1alpha1.ConditionAccepted, reason)(Default, key)
			Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionAccepted)).To(BeFalse())
			Expect(key.Status.State).To(Equal(state))
			Expect(w.Events()).To(ContainSubstring(reason))
			Expect(key.Status.Versions).To(HaveLen(1), "the version is kept for when it is accepted again")
		},
		Entry("while its Group is frozen", v1alpha1.ReasonGroupFrozen, v1alpha1.KeySuspended,
			func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.State = v1alpha1.GroupFrozen }),
		Entry("while its Group is suspended", v1alpha1.ReasonGroupSuspended, v1alpha1.KeySuspended,
			func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.State = v1alpha1.GroupSuspended }),
		Entry("while it is suspended", v1alpha1.ReasonSuspended, v1alpha1.KeySuspended,
			func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) }),
		Entry("when its only project is gone", v1alpha1.ReasonProjectNotFound, v1alpha1.KeyBlocked,
			func(g *v1alpha1.Group, _ *v1alpha1.ApiKey) { g.Spec.Projects = g.Spec.Projects[1:] }),
		Entry("when it is revoked", v1alpha1.ReasonRevoked, v1alpha1.KeyRevoked,
			func(_ *v1alpha1.Group, k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) }),
	)

	It("says that its Group is missing, and is minted when the Group is created", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.Clock.Step(max(0, key.CreationTimestamp.Sub(w.Clock.Now())))
		for range 3 { // its Group may be on its way
			result, err := w.ReconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
			Expect(result.RequeueAfter).To(BeNumerically("<=", conditions.ReferenceGrace))
		}
		Expect(w.Events()).To(BeEmpty())
		w.Clock.Step(2 * conditions.ReferenceGrace)
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonGroupNotFound))
		_, err := w.Secret(ctx)
		Expect(apierrors.IsNotFound(err)).To(BeTrue())
		w.CreateGroup(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
	})

	It("says that its Group does not admit its namespace", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		other.CreateGroup(ctx, testenv.Admitting(w))
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}}
		testenv.Edit(ctx, namespace, func(n *corev1.Namespace) { n.Labels["admitted"] = w.Namespace })
		key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = other.Namespace })
		Eventually(func() error { return testenv.Admin.Create(ctx, key.DeepCopy()) }).Should(Succeed()) // the webhook's cache may lag
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		testenv.Edit(ctx, namespace, func(n *corev1.Namespace) { delete(n.Labels, "admitted") })
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonNamespaceNotAllowed))
	})

	It("is deleted when every server refuses it", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("v")
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.CatchUp(); testenv.Ready(g, key) })
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed(), "gone before it is refused")
		}, "300ms").Should(Succeed())
		conflicts := 1
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch,
				options ...client.PatchOption) error {
				if conflicts > 0 && len(object.GetFinalizers()) == 0 {
					conflicts--
					return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), "web", nil)
				}
				return c.Patch(ctx, object, patch, options...)
			},
		})
		Eventually(func(g Gomega) {
			v.CatchUp()
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key))).To(BeTrue())
		}).Should(Succeed())
		Expect(conflicts).To(BeZero())
		Expect(strings.Count(w.Events(), "refused by every validation server")).To(Equal(1), "said twice")
	})

	It("is deleted when every server refuses it, also if its Group has refused it before", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		v := w.Connect("v")
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.CatchUp(); testenv.Ready(g, key) })
		testenv.Edit(ctx, group, func(g *v1alpha1.Group) { g.Spec.Projects = g.Spec.Projects[1:] })
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionAccepted, v1alpha1.ReasonProjectNotFound))
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed(), "gone before it is refused")
		}, "300ms").Should(Succeed())
		Eventually(func(g Gomega) {
			v.CatchUp()
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key))).To(BeTrue())
		}).Should(Succeed())
		Expect(w.Events()).To(ContainSubstring("refused by every validation server"))
	})

	It("is deleted after a while even if a server does not answer, and names the server", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		v := w.Connect("stuck-validator")
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) { v.CatchUp(); testenv.Ready(g, key) })
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			w.Clock.Step(10 * time.Second)
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), key))).To(BeTrue())
		}).Should(Succeed())
		Expect(w.Events()).To(ContainSubstring("stuck-validator will refuse it only when connected again"))
	})

	It("keeps its Secret in the declared shape, and what others added", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template = v1alpha1.SecretTemplate{
				Labels: map[string]v1alpha1.LabelValue{"team": "web", "old": "1"},
				Data:   map[string]v1alpha1.EntryTemplate{".env": "ACME_KEY={{ .Key }}", "old": "x"},
			}
		})
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		text := w.Plaintext(ctx)
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(secret.Data[".env"])).To(Equal("ACME_KEY=" + text))

		testenv.Edit(ctx, secret, func(s *corev1.Secret) {
			s.Labels["theirs"] = "kept"
			s.Data["theirs"] = []byte("kept")
			s.Data[".env"] = []byte("tampered")
			delete(s.Labels, v1alpha1.LabelManagedBy)
		})
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			delete(k.Spec.Secret.Template.Labels, "old")
			delete(k.Spec.Secret.Template.Data, "old")
			k.Spec.Secret.Template.Labels["team"] = "shop"
		})
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			secret, err = w.Secret(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(secret.Labels).To(And(HaveKeyWithValue("team", "shop"), HaveKeyWithValue("theirs", "kept"),
				HaveKeyWithValue(v1alpha1.LabelManagedBy, v1alpha1.ManagedBy), Not(HaveKey("old"))))
			g.Expect(secret.Data).To(And(HaveKeyWithValue(".env", []byte("ACME_KEY="+text)),
				HaveKeyWithValue("theirs", []byte("kept")), Not(HaveKey("old"))))
		}).Should(Succeed())
		Expect(w.Plaintext(ctx)).To(Equal(text))
		before := secret.ResourceVersion
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret, err = w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.ResourceVersion).To(Equal(before), "it is in shape, and still written")
	})

	It("replaces a key whose Secret was deleted", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(testenv.Admin.Delete(ctx, secret)).To(Succeed())
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			g.Expect(key.Status.Versions).To(HaveLen(2))
			testenv.Ready(g, key)
		})
		Expect(keyformat.DigestOf(w.Plaintext(ctx)).String()).To(Equal(key.Status.Versions[1].Digest))
		Expect(w.Events()).To(ContainSubstring("no longer holds version 1"))
		Expect(key.Status.Versions[0].State).To(Equal(v1alpha1.VersionRevoked), "whoever removed it may have had a reason")
	})

	It("says why the API server refuses its Secret, without its text, and tries again", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		refuse := true
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if secret, ok := object.(*corev1.Secret); ok && refuse {
					return apierrors.NewForbidden(corev1.Resource("secrets"), "web",
						errors.New("policy none does not like "+string(secret.Data[v1alpha1.SecretKeyAPIKey])))
				}
				return c.Create(ctx, object, options...)
			},
		})
		w.CreateKey(ctx)
		key := &v1alpha1.ApiKey{}
		Eventually(func(g Gomega) {
			_, _ = w.ReconcileKey(ctx, "web")
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
			testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretRefused)(g, key)
		}).Should(Succeed())
		Expect(key.Status.State).To(Equal(v1alpha1.KeyBlocked))
		said := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message + w.Events()
		Expect(said).To(ContainSubstring(`policy none does not like …`))
		refuse = false
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(said).NotTo(ContainSubstring(w.Plaintext(ctx)))
	})
})
