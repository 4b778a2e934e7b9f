package apikey_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// versions is a check for the states of a key's versions.
func versions(want ...v1alpha1.VersionState) func(Gomega, *v1alpha1.ApiKey) {
	return func(g Gomega, key *v1alpha1.ApiKey) {
		var got []v1alpha1.VersionState
		for i := range key.Status.Versions {
			got = append(got, key.Status.Versions[i].State)
		}
		g.Expect(got).To(Equal(want))
	}
}

func trigger(text, overlap string) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) {
		k.Spec.Rotation.Trigger, k.Spec.Rotation.Overlap = text, v1alpha1.Duration(overlap)
	}
}

func once(k *v1alpha1.ApiKey) { k.Spec.Secret.Reveal = v1alpha1.RevealOnce }

const (
	active   = v1alpha1.VersionActive
	retiring = v1alpha1.VersionRetiring
	retired  = v1alpha1.VersionRetired
)

var _ = Describe("Rotation", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})

	It("publishes the new version before it is delivered, and keeps the old one for the overlap", func(ctx SpecContext) {
		v := w.Connect("validator")
		key := w.CreateKey(ctx, trigger("", "1h"))
		reconcileUntil := func(check func(Gomega, *v1alpha1.ApiKey)) *v1alpha1.ApiKey {
			return w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
				v.CatchUp()
				check(g, key)
			})
		}
		reconcileUntil(testenv.Ready)
		old := w.Plaintext(ctx)
		testenv.Edit(ctx, key, trigger("2026-11-21", "1h"))
		w.ReconcileUntil(ctx, "web", versions(active, v1alpha1.VersionPending))
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(w.Plaintext(ctx)).To(Equal(old), "delivered before the validator has it")
		}, "300ms").Should(Succeed())

		key = reconcileUntil(versions(retiring, active))
		Expect(w.Plaintext(ctx)).NotTo(Equal(old))
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationVersion, "2"))
		retires := key.Status.Versions[0].RetiresAt.Time
		Expect(retires.Sub(key.Status.Versions[1].DeliveredAt.Time)).To(Equal(time.Hour + time.Second))
		Expect(w.Events()).To(ContainSubstring("replaces version 1"))

		w.Clock.SetTime(retires.Add(-1))
		reconcileUntil(versions(retiring, active))
		w.Clock.SetTime(retires)
		key = reconcileUntil(versions(retired, active))
		testenv.Ready(Default, key)
	})

	It("goes on after a replacement was abandoned because the Secret was restored", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		v := w.Connect("slow")
		Expect(testenv.Admin.Delete(ctx, secret.DeepCopy())).To(Succeed())
		w.ReconcileUntil(ctx, "web", versions(active, v1alpha1.VersionPending))
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels,
			Annotations: secret.Annotations}
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		w.ReconcileUntil(ctx, "web", versions(active))
		testenv.Edit(ctx, key, trigger("now", "1h"))
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			v.CatchUp()
			versions(retiring, active)(g, k)
		})
	})

	It("regenerates without overlap: the old version stops at once", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		testenv.Edit(ctx, key, trigger("leak", "0s"))
		w.ReconcileUntil(ctx, "web", versions(retired, active))
	})

	It("goes through a year of rotations, and leaves nothing behind", func(ctx SpecContext) {
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Rotation.Every, k.Spec.ExpiresAfter = "60d", "90d"
			k.Spec.Secret.Name = "web"
		})
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		first := w.Plaintext(ctx)
		texts := map[string]bool{first: true}
		const years = 3
		for i := range int64(6 * years) {
			w.Clock.SetTime(key.Status.NextRotationAt.Time)
			key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(lifecycle.Current(k.Status.Versions).ID).To(Equal(i + 2))
				testenv.Ready(g, k)
			})
			Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionExpiringSoon)).To(BeNil())
			texts[w.Plaintext(ctx)] = true
			w.Clock.Step(25 * time.Hour)
			key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(k.Status.Versions[len(k.Status.Versions)-2].State).To(Equal(retired))
			})
		}
		Expect(texts).To(HaveLen(6*years + 1))
		Expect(key.Status.Versions).To(HaveLen(lifecycle.MaxEnded + 1))
		status, err := json.Marshal(key.Status)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(status)).To(BeNumerically("<", 8<<10), "%s", status)
		var secrets corev1.SecretList
		Expect(testenv.Admin.List(ctx, &secrets, client.InNamespace(w.Namespace))).To(Succeed())
		Expect(secrets.Items).To(HaveLen(1))
	})

	It("ends an overlap early when all clients have cut over, and warns while some have not", func(ctx SpecContext) {
		server := w.Usage.Connect(w.Usage.Sessions.Connect(w.Server("validator")), testenv.Hub.GroupOf)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Rotation = v1alpha1.Rotation{Overlap: "8h", RetireWhenUnusedFor: "1h"}
		})
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		server.Report(w.VersionUses(key, 0))
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.LastUsedAt).NotTo(BeNil()) })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
		w.ReconcileUntil(ctx, "web", versions(retiring, active))
		w.Clock.Step(7 * time.Hour)
		server.Report(w.VersionUses(key, 0))
		key = w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionCutoverPending, v1alpha1.ReasonStillUsed))
		Expect(w.Events()).To(ContainSubstring("still used, by 2 client addresses"))

		server.Disconnect(session.EveryGroup())
		w.Clock.Step(30 * time.Minute)
		server = w.Usage.Connect(w.Usage.Sessions.Connect(w.Server("another")), testenv.Hub.GroupOf)
		server.Report(w.VersionUses(key, 1))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Overlap = "20h" })
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions[0].RetiresAt.Sub(k.Status.Versions[1].DeliveredAt.Time)).To(Equal(20*time.Hour + time.Second))
		})
		w.Clock.Step(45 * time.Minute)
		server.Report(w.VersionUses(key))
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { versions(retiring, active)(g, k) })
		back := w.Usage.Connect(w.Usage.Sessions.Connect(w.Server("validator")), testenv.Hub.GroupOf)
		back.Report(w.VersionUses(key))
		key = w.ReconcileUntil(ctx, "web", versions(retired, active))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionCutoverPending)).To(BeNil())
		Expect(w.Events()).To(ContainSubstring("its overlap ends early"))
	})

	It("restarts the named workloads, and says which it cannot restart", func(ctx SpecContext) {
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "shop"}, {Kind: "StatefulSet", Name: "absent"}}
		})
		pod := corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shop"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: "shop"}}},
		}
		shop := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "shop"},
			Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
		}
		Expect(testenv.Admin.Create(ctx, shop)).To(Succeed())
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(shop), shop)).To(Succeed())
		Expect(shop.Spec.Template.Annotations).To(BeEmpty(), "there was nothing to roll for")

		testenv.Edit(ctx, key, trigger("now", "1h"))
		key = w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionFollowUpPending, v1alpha1.ReasonRestartRefused))
		Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
		Expect(w.Events()).To(ContainSubstring("StatefulSet absent"))
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(shop), shop)).To(Succeed())
		annotation := v1alpha1.AnnotationRestartPrefix + key.Status.KeyID
		Expect(shop.Spec.Template.Annotations).To(HaveKeyWithValue(annotation, "2"))
		generation := shop.Generation

		Expect(testenv.Admin.Create(ctx, &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "absent"},
			Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
		})).To(Succeed())
		conflicts := 1
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, subresource string, object client.Object,
				patch client.Patch, options ...client.SubResourcePatchOption) error {
				if k, ok := object.(*v1alpha1.ApiKey); ok && k.Status.Versions[1].RestartedAt != nil && conflicts > 0 {
					conflicts--
					return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), "web", nil)
				}
				return c.SubResource(subresource).Patch(ctx, object, patch, options...)
			},
		})
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.Versions[1].RestartedAt).NotTo(BeNil()) })
		Expect(conflicts).To(BeZero())
		Expect(strings.Count(w.Events(), "rolled for version 2")).To(Equal(1), "said twice")
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(shop), shop)).To(Succeed())
		Expect(shop.Generation).To(Equal(generation), "rolled twice")
	})

	It("refuses contradictory settings", func(ctx SpecContext) {
		for field, change := range map[string]func(*v1alpha1.ApiKey){
			"spec.rotation.overlap":             func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Every = "12h" },
			"spec.rotation.every":               func(k *v1alpha1.ApiKey) { once(k); k.Spec.Rotation.Every = "60d" },
			"spec.rotation.retireWhenUnusedFor": func(k *v1alpha1.ApiKey) { k.Spec.Rotation.RetireWhenUnusedFor = "1s" },
			"spec.importFrom.secretKeyRef.name": testenv.Importing("web", "token"),
			"spec.secret.reveal":                func(k *v1alpha1.ApiKey) { k.Spec.Secret.Reveal = "Twice" },
			"spec.secret.restart[0].kind": func(k *v1alpha1.ApiKey) {
				k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Job", Name: "x"}}
			},
		} {
			err := testenv.Admin.Create(ctx, w.NewKey(change))
			Expect(err).To(MatchError(ContainSubstring(field)), field)
		}
	})
})

var _ = Describe("A key that is revealed once", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	gone := func(ctx context.Context) func(Gomega, *v1alpha1.ApiKey) {
		return func(g Gomega, key *v1alpha1.ApiKey) {
			_, err := w.Secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue())
			testenv.Ready(g, key)
			g.Expect(key.Status.SecretRef).To(BeNil())
		}
	}
	claim := func(ctx context.Context) {
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		testenv.Edit(ctx, secret, func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationClaimed] = "true" })
	}

	It("disappears when it is claimed, and does not reappear after a restart", func(ctx SpecContext) {
		w.CreateKey(ctx, once)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(key.Status.SecretRef).NotTo(BeNil())
		claim(ctx)
		w.ReconcileUntil(ctx, "web", gone(ctx))
		w.Restart()
		for range 5 {
			key = w.ReconcileUntil(ctx, "web", gone(ctx))
		}
		versions(active)(Default, key)
		Expect(w.Events()).To(ContainSubstring("was claimed"))
	})

	It("disappears when the ApiKey names its version as claimed, and the next version does not", func(ctx SpecContext) {
		w.CreateKey(ctx, once)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) {
			k.Annotations[v1alpha1.AnnotationClaimedVersion] = "1" // of which key?
		})
		for range 3 {
			key = w.ReconcileUntil(ctx, "web", testenv.Ready)
		}
		Expect(key.Status.SecretRef).NotTo(BeNil())
		claim := func(version string) error {
			patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%s-%s"}}}`, v1alpha1.AnnotationClaimedVersion, key.Status.KeyID, version)
			return testenv.Admin.Patch(ctx, key.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
		}
		Expect(claim("2")).To(MatchError(ContainSubstring("no version 2 was delivered")))
		Expect(claim("1")).To(Succeed())
		key = w.ReconcileUntil(ctx, "web", gone(ctx))
		Expect(w.Events()).To(ContainSubstring("was claimed"))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "again" })
		w.ReconcileUntil(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
			testenv.Ready(g, key)
			g.Expect(key.Status.SecretRef).NotTo(BeNil())
		})
	})

	It("disappears after an hour", func(ctx SpecContext) {
		w.CreateKey(ctx, once)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Clock.Step(time.Hour)
		w.ReconcileUntil(ctx, "web", gone(ctx))
		Expect(w.Events()).To(ContainSubstring("was not claimed within 1h"))
	})

	It("waits with its overlap until the next version is claimed", func(ctx SpecContext) {
		key := w.CreateKey(ctx, once)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		claim(ctx)
		w.ReconcileUntil(ctx, "web", gone(ctx))
		testenv.Edit(ctx, key, trigger("a", "1h"))
		w.ReconcileUntil(ctx, "web", versions(active, active))
		w.Clock.Step(time.Hour)
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			versions(active, v1alpha1.VersionRevoked)(g, k)
			gone(ctx)(g, k)
		})
		testenv.Edit(ctx, key, trigger("b", "1h"))
		w.ReconcileUntil(ctx, "web", versions(active, v1alpha1.VersionRevoked, active))
		claim(ctx)
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			versions(retiring, v1alpha1.VersionRevoked, active)(g, k)
			gone(ctx)(g, k)
		})
	})
})

var _ = Describe("A key with a past", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	legacy := func(ctx context.Context, text string) *corev1.Secret {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "legacy"},
			Data: map[string][]byte{"token": []byte(text)}}
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		return secret
	}

	It("is imported, and minted from the first rotation on", func(ctx SpecContext) {
		const text = "legacy-platform/0123456789+ABCDEF=="
		legacy(ctx, text+"\n")
		w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		w.ReconcileUntil(ctx, "web", versions(v1alpha1.VersionPending))
		w.Restart() // its text is still where it came from
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(w.Plaintext(ctx)).To(Equal(text))
		versions(active)(Default, key)
		Expect(key.Status.Versions[0]).To(And(
			HaveField("ID", BeEquivalentTo(1)), HaveField("Cause", v1alpha1.CauseImported), HaveField("Preview", keyformat.ForeignPreview),
			HaveField("Digest", HavePrefix("hmac-sha256:"))))
		sum := sha256.Sum256([]byte(text))
		Expect(key.Status.Versions[0].Digest).NotTo(ContainSubstring(hex.EncodeToString(sum[:])), "whoever views it could test a text")
		testenv.Edit(ctx, key, trigger("mint", "1h"))
		w.ReconcileUntil(ctx, "web", versions(retiring, active))
		Expect(keyformat.WellFormed(w.Plaintext(ctx))).To(BeTrue())
		Expect(w.Events()).NotTo(ContainSubstring(text))
	})

	DescribeTable("is not imported, and says why,",
		func(ctx SpecContext, entry, text, why string) {
			if text != "" {
				legacy(ctx, text)
			}
			w.CreateKey(ctx, testenv.Importing("legacy", entry))
			key := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
			message := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
			Expect(message).To(And(HavePrefix("spec.importFrom.secretKeyRef: "), ContainSubstring(why)))
			if text != "" {
				Expect(message + w.Events()).NotTo(ContainSubstring(text))
			}
			result, err := w.ReconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
			Expect(result.RequeueAfter).To(BeNumerically(">", 0), "it is looked at again")
		},
		Entry("if its Secret is missing", "token", "", `there is no Secret "legacy"`),
		Entry("if its entry is missing", "absent", "0123456789abcdefghij", `has no entry "absent"`),
		Entry("if it is short", "token", "0123456789abcdefghi", "20 to 512 characters"),
		Entry("if it is easily guessed", "token", strings.Repeat("abc", 20), "8 different characters"),
	)

	It("is not imported if another ApiKey has it", func(ctx SpecContext) {
		legacy(ctx, "legacy-platform/0123456789")
		w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.CreateKey(ctx, testenv.Importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "second" })
		w.ReconcileUntil(ctx, "second", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
	})

	// lose is a disaster: the key and its Secret are gone, and what a backup has of them is returned.
	lose := func(ctx context.Context) (*v1alpha1.ApiKey, *corev1.Secret) {
		GinkgoHelper()
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		vanish(ctx, w, key)
		Expect(client.IgnoreNotFound(testenv.Admin.Delete(ctx, secret))).To(Succeed())
		return key, secret
	}

	It("keeps working after a restore of ApiKey and Secret", func(ctx SpecContext) {
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Every = "60d" })
		before := w.ReconcileUntil(ctx, "web", testenv.Ready)
		text := w.Plaintext(ctx)
		key, secret := lose(ctx)
		w.Clock.Step(24 * time.Hour)
		restore(ctx, w, key, secret)
		after := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			testenv.Ready(g, k)
			g.Expect(k.Status.Versions).To(HaveLen(1))
		})
		Expect(w.Plaintext(ctx)).To(Equal(text))
		Expect(after.Status.Versions[0].Cause).To(Equal(v1alpha1.CauseRestored))
		Expect(after.Status.ExpiresAt.Equal(before.Status.ExpiresAt)).To(BeTrue(), "a restore does not prolong a key")
		Expect(after.Status.NextRotationAt.Equal(before.Status.NextRotationAt)).To(BeTrue())
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			secret, err := w.Secret(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(metav1.IsControlledBy(secret, k)).To(BeTrue())
		})
		Expect(w.Events()).To(ContainSubstring("is taken over from Secret web"))
	})

	It("is minted again after a restore of the ApiKey alone, and says so", func(ctx SpecContext) {
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		text := w.Plaintext(ctx)
		key, _ := lose(ctx)
		restore(ctx, w, key, nil)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(w.Plaintext(ctx)).NotTo(Equal(text))
		Expect(w.Events()).To(ContainSubstring("holders of an earlier one are refused"))
	})

	It("is deleted with its Secret, and so revoked", func(ctx SpecContext) {
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(key), &v1alpha1.ApiKey{}))).To(BeTrue())
			_, err = w.Secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "a later ApiKey of the name could take it over")
		}).Should(Succeed())
	})

	It("does not take over the Secret of an ApiKey that was deleted", func(ctx SpecContext) {
		text := textOfAnother(ctx, w)
		Expect(testenv.Admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: w.Namespace, Name: "again",
				Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
				Annotations: map[string]string{v1alpha1.AnnotationAPIKey: "again"},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: "ApiKey", Name: "again", UID: "gone", Controller: ptr.To(true),
				}},
			},
			Data: map[string][]byte{v1alpha1.SecretKeyAPIKey: []byte(text)},
		})).To(Succeed())
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "again" })
		w.ReconcileUntil(ctx, "again", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict))
	})

	It("is not imported twice, even if the cache lags", func(ctx SpecContext) {
		w.Connect("slow") // so that the first stays on its way
		legacy(ctx, "legacy-platform/wanted+0123456789")
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
		w.CreateKey(ctx, testenv.Importing("legacy", "token"))
		w.ReconcileUntil(ctx, "web", versions(v1alpha1.VersionPending))
		w.CreateKey(ctx, testenv.Importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "second" })
		Consistently(func(g Gomega) {
			_, err := w.ReconcileKey(ctx, "second")
			g.Expect(err).NotTo(HaveOccurred())
			second := &v1alpha1.ApiKey{}
			g.Expect(testenv.Admin.Get(ctx, w.Request("second").NamespacedName, second)).To(Succeed())
			g.Expect(second.Status.Versions).To(BeEmpty())
		}, "500ms").Should(Succeed())
	})

	It("does not take over a text that is not a key, or is another key's", func(ctx SpecContext) {
		for i, text := range []string{"short", textOfAnother(ctx, w)} {
			name := fmt.Sprintf("left%d", i)
			Expect(testenv.Admin.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: w.Namespace, Name: name,
					Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
					Annotations: map[string]string{v1alpha1.AnnotationAPIKey: name},
				},
				Data: map[string][]byte{v1alpha1.SecretKeyAPIKey: []byte(text)},
			})).To(Succeed())
			w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = name })
			key := w.ReconcileUntil(ctx, name, testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonRestoreRefused))
			message := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
			Expect(message + w.Events()).NotTo(ContainSubstring(text))
		}
	})
})

// textOfAnother is the text of another key.
func textOfAnother(ctx context.Context, w *testenv.World) string {
	GinkgoHelper()
	w.CreateKey(ctx)
	w.ReconcileUntil(ctx, "web", testenv.Ready)
	return w.Plaintext(ctx)
}

// vanish takes an object away as a disaster does: no finalizer is waited for, and no controller is notified.
func vanish(ctx context.Context, w *testenv.World, key *v1alpha1.ApiKey) {
	GinkgoHelper()
	gone := key.DeepCopy()
	testenv.Edit(ctx, gone, func(k *v1alpha1.ApiKey) { k.Finalizers = nil })
	Expect(testenv.Admin.Delete(ctx, gone)).To(Succeed())
	Eventually(func(g Gomega) { // the cache, too, so that the next of the name is new to everybody
		g.Expect(apierrors.IsNotFound(testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key),
			&v1alpha1.ApiKey{}))).To(BeTrue())
	}).Should(Succeed())
}

// restore is what tools for backups do: without status, owners and identity.
func restore(ctx context.Context, w *testenv.World, key *v1alpha1.ApiKey, secret *corev1.Secret) {
	GinkgoHelper()
	key = key.DeepCopy()
	key.ObjectMeta = metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Annotations: key.Annotations}
	key.Status = v1alpha1.ApiKeyStatus{}
	if secret != nil {
		secret = secret.DeepCopy()
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels,
			Annotations: secret.Annotations}
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
	}
	Expect(testenv.Admin.Create(ctx, key)).To(Succeed())
}
