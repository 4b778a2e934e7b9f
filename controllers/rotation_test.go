package controllers_test

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
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
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

// use reports that the versions, by their place, let requests through now.
func (w *world) use(key *v1alpha1.ApiKey, at ...int) *syncv1.Uses {
	GinkgoHelper()
	now := w.clock.Now().UnixMilli()
	uses := &syncv1.Uses{ThroughMs: now}
	for _, i := range at {
		digest, err := keyformat.ParseDigest(key.Status.Versions[i].Digest)
		Expect(err).NotTo(HaveOccurred())
		uses.Versions = append(uses.Versions, &syncv1.VersionUse{Digest: digest[:], LastMs: now, Clients: []uint64{1, 2}})
	}
	return uses
}

var _ = Describe("Rotation", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.group(ctx)
	})

	It("publishes the new version before it is delivered, and keeps the old one for the overlap", func(ctx SpecContext) {
		v := w.connect("validator")
		key := w.key(ctx, trigger("", "1h"))
		settle := func(check func(Gomega, *v1alpha1.ApiKey)) *v1alpha1.ApiKey {
			return w.settle(ctx, "web", func(g Gomega, key *v1alpha1.ApiKey) {
				v.catchUp()
				check(g, key)
			})
		}
		settle(ready)
		old := w.plaintext(ctx)
		edit(ctx, key, trigger("2026-11-21", "1h"))
		w.settle(ctx, "web", versions(active, v1alpha1.VersionPending))
		Consistently(func(g Gomega) {
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(w.plaintext(ctx)).To(Equal(old), "delivered before the validator has it")
		}, "300ms").Should(Succeed())

		key = settle(versions(retiring, active))
		Expect(w.plaintext(ctx)).NotTo(Equal(old))
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationVersion, "2"))
		retires := key.Status.Versions[0].RetiresAt.Time
		Expect(retires.Sub(key.Status.Versions[1].DeliveredAt.Time)).To(Equal(time.Hour + time.Second))
		Expect(w.events()).To(ContainSubstring("replaces version 1"))

		w.clock.SetTime(retires.Add(-1))
		settle(versions(retiring, active))
		w.clock.SetTime(retires)
		key = settle(versions(retired, active))
		ready(Default, key)
	})

	It("goes on after a replacement was given up, because the Secret was back", func(ctx SpecContext) {
		key := w.key(ctx)
		w.settle(ctx, "web", ready)
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		v := w.connect("slow")
		Expect(admin.Delete(ctx, secret.DeepCopy())).To(Succeed())
		w.settle(ctx, "web", versions(active, v1alpha1.VersionPending))
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels, Annotations: secret.Annotations}
		Expect(admin.Create(ctx, secret)).To(Succeed())
		w.settle(ctx, "web", versions(active))
		edit(ctx, key, trigger("now", "1h"))
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			v.catchUp()
			versions(retiring, active)(g, k)
		})
	})

	It("regenerates without overlap: the old version stops at once", func(ctx SpecContext) {
		key := w.key(ctx)
		w.settle(ctx, "web", ready)
		edit(ctx, key, trigger("leak", "0s"))
		w.settle(ctx, "web", versions(retired, active))
	})

	It("goes through a year of rotations, and leaves nothing behind", func(ctx SpecContext) {
		w.key(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Rotation.Every, k.Spec.ExpiresAfter = "60d", "90d"
			k.Spec.Secret.Name = "web"
		})
		key := w.settle(ctx, "web", ready)
		first := w.plaintext(ctx)
		texts := map[string]bool{first: true}
		const years = 3
		for i := range int64(6 * years) {
			w.clock.SetTime(key.Status.NextRotationAt.Time)
			key = w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(lifecycle.Current(k.Status.Versions).ID).To(Equal(i + 2))
				ready(g, k)
			})
			Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionExpiringSoon)).To(BeNil())
			texts[w.plaintext(ctx)] = true
			w.clock.Step(25 * time.Hour)
			key = w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(k.Status.Versions[len(k.Status.Versions)-2].State).To(Equal(retired))
			})
		}
		Expect(texts).To(HaveLen(6*years + 1))
		Expect(key.Status.Versions).To(HaveLen(lifecycle.MaxEnded + 1))
		status, err := json.Marshal(key.Status)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(status)).To(BeNumerically("<", 8<<10), "%s", status)
		var secrets corev1.SecretList
		Expect(admin.List(ctx, &secrets, client.InNamespace(w.namespace))).To(Succeed())
		Expect(secrets.Items).To(HaveLen(1))
	})

	It("ends an overlap early when everybody has cut over, and warns while somebody has not", func(ctx SpecContext) {
		server := w.usage.Connect(w.peer("validator"))
		w.key(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Rotation = v1alpha1.Rotation{Overlap: "8h", RetireWhenUnusedFor: "1h"}
		})
		key := w.settle(ctx, "web", ready)
		server.Report(w.use(key, 0))
		key = w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.LastUsedAt).NotTo(BeNil()) })
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
		w.settle(ctx, "web", versions(retiring, active))
		w.clock.Step(7 * time.Hour)
		server.Report(w.use(key, 0))
		key = w.settle(ctx, "web", because(v1alpha1.ConditionCutoverPending, v1alpha1.ReasonStillUsed))
		Expect(w.events()).To(ContainSubstring("still used, by 2 client addresses"))

		server.Close(false)
		w.clock.Step(30 * time.Minute)
		server = w.usage.Connect(w.peer("another"))
		server.Report(w.use(key, 1))
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Overlap = "20h" })
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions[0].RetiresAt.Sub(k.Status.Versions[1].DeliveredAt.Time)).To(Equal(20*time.Hour + time.Second))
		})
		w.clock.Step(45 * time.Minute)
		server.Report(w.use(key))
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { versions(retiring, active)(g, k) })
		back := w.usage.Connect(w.peer("validator"))
		back.Report(w.use(key))
		key = w.settle(ctx, "web", versions(retired, active))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionCutoverPending)).To(BeNil())
		Expect(w.events()).To(ContainSubstring("its overlap ends early"))
	})

	It("rolls the workloads that are named, and says which it cannot", func(ctx SpecContext) {
		key := w.key(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "shop"}, {Kind: "StatefulSet", Name: "absent"}}
		})
		pod := corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "shop"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: "shop"}}},
		}
		shop := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"},
			Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
		}
		Expect(admin.Create(ctx, shop)).To(Succeed())
		w.settle(ctx, "web", ready)
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(shop), shop)).To(Succeed())
		Expect(shop.Spec.Template.Annotations).To(BeEmpty(), "there was nothing to roll for")

		edit(ctx, key, trigger("now", "1h"))
		key = w.settle(ctx, "web", because(v1alpha1.ConditionReconciling, v1alpha1.ReasonRestartRefused))
		Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
		Expect(w.events()).To(ContainSubstring("StatefulSet absent"))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(shop), shop)).To(Succeed())
		annotation := v1alpha1.AnnotationRestartPrefix + key.Status.KeyID
		Expect(shop.Spec.Template.Annotations).To(HaveKeyWithValue(annotation, "2"))
		generation := shop.Generation

		Expect(admin.Create(ctx, &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "absent"},
			Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
		})).To(Succeed())
		conflicts := 1
		w.keys.Client = interceptor.NewClient(clientWithWatch(), interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, subresource string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
				if k, ok := object.(*v1alpha1.ApiKey); ok && k.Status.Versions[1].RestartedAt != nil && conflicts > 0 {
					conflicts--
					return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), "web", nil)
				}
				return c.SubResource(subresource).Patch(ctx, object, patch, options...)
			},
		})
		key = w.settle(ctx, "web", ready)
		Expect(key.Status.Versions[1].RestartedAt).NotTo(BeNil())
		Expect(conflicts).To(BeZero())
		Expect(strings.Count(w.events(), "rolled for version 2")).To(Equal(1), "said twice")
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(shop), shop)).To(Succeed())
		Expect(shop.Generation).To(Equal(generation), "rolled twice")
	})

	It("refuses what cannot be", func(ctx SpecContext) {
		for field, change := range map[string]func(*v1alpha1.ApiKey){
			"spec.rotation.overlap":             func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Every = "12h" },
			"spec.rotation.every":               func(k *v1alpha1.ApiKey) { once(k); k.Spec.Rotation.Every = "60d" },
			"spec.rotation.retireWhenUnusedFor": func(k *v1alpha1.ApiKey) { k.Spec.Rotation.RetireWhenUnusedFor = "1s" },
			"spec.importFrom.secretKeyRef.name": importing("web", "token"),
			"spec.secret.reveal":                func(k *v1alpha1.ApiKey) { k.Spec.Secret.Reveal = "Twice" },
			"spec.secret.restart[0].kind":       func(k *v1alpha1.ApiKey) { k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Job", Name: "x"}} },
		} {
			err := admin.Create(ctx, w.newKey(change))
			Expect(err).To(MatchError(ContainSubstring(field)), field)
		}
	})
})

var _ = Describe("A key that is revealed once", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.group(ctx)
	})
	gone := func(ctx context.Context) func(Gomega, *v1alpha1.ApiKey) {
		return func(g Gomega, key *v1alpha1.ApiKey) {
			_, err := w.secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue())
			ready(g, key)
			g.Expect(key.Status.SecretRef).To(BeNil())
		}
	}
	claim := func(ctx context.Context) {
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		edit(ctx, secret, func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationClaimed] = "true" })
	}

	It("disappears when it is claimed, and stays away over a restart", func(ctx SpecContext) {
		w.key(ctx, once)
		key := w.settle(ctx, "web", ready)
		Expect(key.Status.SecretRef).NotTo(BeNil())
		claim(ctx)
		w.settle(ctx, "web", gone(ctx))
		w.restart()
		for range 5 {
			key = w.settle(ctx, "web", gone(ctx))
		}
		versions(active)(Default, key)
		Expect(w.events()).To(ContainSubstring("was claimed"))
	})

	It("disappears after an hour", func(ctx SpecContext) {
		w.key(ctx, once)
		w.settle(ctx, "web", ready)
		w.clock.Step(time.Hour)
		w.settle(ctx, "web", gone(ctx))
		Expect(w.events()).To(ContainSubstring("was not claimed within 1h"))
	})

	It("waits with its overlap until the next version is claimed", func(ctx SpecContext) {
		key := w.key(ctx, once)
		w.settle(ctx, "web", ready)
		claim(ctx)
		w.settle(ctx, "web", gone(ctx))
		edit(ctx, key, trigger("a", "1h"))
		w.settle(ctx, "web", versions(active, active))
		w.clock.Step(time.Hour)
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			versions(active, v1alpha1.VersionRevoked)(g, k)
			gone(ctx)(g, k)
		})
		edit(ctx, key, trigger("b", "1h"))
		w.settle(ctx, "web", versions(active, v1alpha1.VersionRevoked, active))
		claim(ctx)
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			versions(retiring, v1alpha1.VersionRevoked, active)(g, k)
			gone(ctx)(g, k)
		})
	})
})

func importing(name, entry string) func(*v1alpha1.ApiKey) {
	return func(k *v1alpha1.ApiKey) {
		k.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: name, Key: entry}}
	}
}

var _ = Describe("A key with a past", func() {
	var w *world
	BeforeEach(func(ctx SpecContext) {
		w = newWorld(ctx)
		w.group(ctx)
	})
	legacy := func(ctx context.Context, text string) *corev1.Secret {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "legacy"}, Data: map[string][]byte{"token": []byte(text)}}
		Expect(admin.Create(ctx, secret)).To(Succeed())
		return secret
	}

	It("is imported, and minted from the first rotation on", func(ctx SpecContext) {
		const text = "legacy-platform/0123456789+ABCDEF=="
		legacy(ctx, text+"\n")
		w.key(ctx, importing("legacy", "token"))
		w.settle(ctx, "web", versions(v1alpha1.VersionPending))
		w.restart() // its text is still where it came from
		key := w.settle(ctx, "web", ready)
		Expect(w.plaintext(ctx)).To(Equal(text))
		versions(active)(Default, key)
		Expect(key.Status.Versions[0]).To(And(
			HaveField("ID", BeEquivalentTo(1)), HaveField("Cause", v1alpha1.CauseImported), HaveField("Preview", keyformat.ForeignPreview),
			HaveField("Digest", HavePrefix("hmac-sha256:"))))
		sum := sha256.Sum256([]byte(text))
		Expect(key.Status.Versions[0].Digest).NotTo(ContainSubstring(hex.EncodeToString(sum[:])), "whoever views it could test a text")
		edit(ctx, key, trigger("mint", "1h"))
		w.settle(ctx, "web", versions(retiring, active))
		Expect(keyformat.WellFormed(w.plaintext(ctx))).To(BeTrue())
		Expect(w.events()).NotTo(ContainSubstring(text))
	})

	DescribeTable("is not imported, and says why,",
		func(ctx SpecContext, entry, text, why string) {
			if text != "" {
				legacy(ctx, text)
			}
			w.key(ctx, importing("legacy", entry))
			key := w.settle(ctx, "web", because(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
			message := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
			Expect(message).To(And(HavePrefix("spec.importFrom.secretKeyRef: "), ContainSubstring(why)))
			if text != "" {
				Expect(message + w.events()).NotTo(ContainSubstring(text))
			}
			result, err := w.reconcileKey(ctx, "web")
			Expect(err).NotTo(HaveOccurred())
			Expect(result.RequeueAfter).To(BeNumerically(">", 0), "it is looked at again")
		},
		Entry("if its Secret is missing", "token", "", `there is no Secret "legacy"`),
		Entry("if its entry is missing", "absent", "0123456789abcdefghij", `has no entry "absent"`),
		Entry("if it is short", "token", "0123456789abcdefghi", "20 to 512 characters"),
		Entry("if it is easily guessed", "token", strings.Repeat("abc", 20), "8 different characters"),
	)

	It("is not that of another ApiKey", func(ctx SpecContext) {
		legacy(ctx, "legacy-platform/0123456789")
		w.key(ctx, importing("legacy", "token"))
		w.settle(ctx, "web", ready)
		w.key(ctx, importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "second" })
		w.settle(ctx, "second", because(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
	})

	// lose is a disaster: the key and its Secret are gone, and what a backup has of them is returned.
	lose := func(ctx context.Context) (*v1alpha1.ApiKey, *corev1.Secret) {
		GinkgoHelper()
		key := &v1alpha1.ApiKey{}
		Expect(admin.Get(ctx, w.request("web").NamespacedName, key)).To(Succeed())
		secret, err := w.secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.vanish(ctx, key)
		Expect(client.IgnoreNotFound(admin.Delete(ctx, secret))).To(Succeed())
		return key, secret
	}

	It("works on after a restore of ApiKey and Secret", func(ctx SpecContext) {
		w.key(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Every = "60d" })
		before := w.settle(ctx, "web", ready)
		text := w.plaintext(ctx)
		key, secret := lose(ctx)
		w.clock.Step(24 * time.Hour)
		w.restore(ctx, key, secret)
		after := w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			ready(g, k)
			g.Expect(k.Status.Versions).To(HaveLen(1))
		})
		Expect(w.plaintext(ctx)).To(Equal(text))
		Expect(after.Status.Versions[0].Cause).To(Equal(v1alpha1.CauseRestored))
		Expect(after.Status.ExpiresAt.Equal(before.Status.ExpiresAt)).To(BeTrue(), "a restore does not prolong a key")
		Expect(after.Status.NextRotationAt.Equal(before.Status.NextRotationAt)).To(BeTrue())
		w.settle(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			secret, err := w.secret(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(metav1.IsControlledBy(secret, k)).To(BeTrue())
		})
		Expect(w.events()).To(ContainSubstring("is taken over from Secret web"))
	})

	It("is minted anew after a restore of the ApiKey alone, and says so", func(ctx SpecContext) {
		w.key(ctx)
		w.settle(ctx, "web", ready)
		text := w.plaintext(ctx)
		key, _ := lose(ctx)
		w.restore(ctx, key, nil)
		w.settle(ctx, "web", ready)
		Expect(w.plaintext(ctx)).NotTo(Equal(text))
		Expect(w.events()).To(ContainSubstring("holders of an earlier one are refused"))
	})

	It("takes its Secret along when it is deleted, and so revoked", func(ctx SpecContext) {
		w.key(ctx)
		key := w.settle(ctx, "web", ready)
		Expect(admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.reconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(key), &v1alpha1.ApiKey{}))).To(BeTrue())
			_, err = w.secret(ctx)
			g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "a later ApiKey of the name could take it over")
		}).Should(Succeed())
	})

	It("does not take over the Secret of an ApiKey that was deleted", func(ctx SpecContext) {
		text := w.other(ctx)
		Expect(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: w.namespace, Name: "again",
				Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
				Annotations: map[string]string{v1alpha1.AnnotationAPIKey: "again"},
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: "ApiKey", Name: "again", UID: "gone", Controller: ptr.To(true),
				}},
			},
			Data: map[string][]byte{v1alpha1.SecretKeyAPIKey: []byte(text)},
		})).To(Succeed())
		w.key(ctx, func(k *v1alpha1.ApiKey) { k.Name = "again" })
		w.settle(ctx, "again", because(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretConflict))
	})

	It("is not imported twice, even if the cache does not know yet", func(ctx SpecContext) {
		w.connect("slow") // so that the first stays on its way
		legacy(ctx, "legacy-platform/wanted+0123456789")
		w.keys.Client = interceptor.NewClient(clientWithWatch(), interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				for _, option := range options {
					if fields, ok := option.(client.MatchingFields); ok && fields[cache.ByDigest] != "" {
						return nil // nobody has it, for all that is known
					}
				}
				return c.List(ctx, list, options...)
			},
		})
		w.key(ctx, importing("legacy", "token"))
		w.settle(ctx, "web", versions(v1alpha1.VersionPending))
		w.key(ctx, importing("legacy", "token"), func(k *v1alpha1.ApiKey) { k.Name = "second" })
		Consistently(func(g Gomega) {
			_, err := w.reconcileKey(ctx, "second")
			g.Expect(err).NotTo(HaveOccurred())
			second := &v1alpha1.ApiKey{}
			g.Expect(admin.Get(ctx, w.request("second").NamespacedName, second)).To(Succeed())
			g.Expect(second.Status.Versions).To(BeEmpty())
		}, "500ms").Should(Succeed())
	})

	It("does not take over what is no key, or another's", func(ctx SpecContext) {
		for i, text := range []string{"short", w.other(ctx)} {
			name := fmt.Sprintf("left%d", i)
			Expect(admin.Create(ctx, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: w.namespace, Name: name,
					Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
					Annotations: map[string]string{v1alpha1.AnnotationAPIKey: name},
				},
				Data: map[string][]byte{v1alpha1.SecretKeyAPIKey: []byte(text)},
			})).To(Succeed())
			w.key(ctx, func(k *v1alpha1.ApiKey) { k.Name = name })
			key := w.settle(ctx, name, because(v1alpha1.ConditionStalled, v1alpha1.ReasonRestoreRefused))
			Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message + w.events()).NotTo(ContainSubstring(text))
		}
	})
})

// other is the text of another key.
func (w *world) other(ctx context.Context) string {
	GinkgoHelper()
	w.key(ctx)
	w.settle(ctx, "web", ready)
	return w.plaintext(ctx)
}

var _ = Describe("The default key of a Group", func() {
	It("comes with it, comes again, and stays as it was edited", func(ctx SpecContext) {
		w := newWorld(ctx)
		w.group(ctx, func(g *v1alpha1.Group) { g.Spec.DefaultKey.Enabled = ptr.To(true) })
		key := &v1alpha1.ApiKey{}
		comes := func(g Gomega) {
			g.Expect(w.reconcileGroup(ctx, "acme")).To(Succeed())
			g.Expect(admin.Get(ctx, w.request("acme-default").NamespacedName, key)).To(Succeed())
			g.Expect(key.DeletionTimestamp).To(BeNil())
		}
		Eventually(comes).Should(Succeed())
		Expect(key.Spec.Projects).To(ConsistOf(v1alpha1.ProjectName("marketing"), v1alpha1.ProjectName("product")))
		w.settle(ctx, "acme-default", ready)
		edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"product"} })
		Eventually(comes).Should(Succeed())
		Expect(key.Spec.Projects).To(HaveLen(1))
		Expect(admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			_, err := w.reconcileKey(ctx, "acme-default")
			g.Expect(err).NotTo(HaveOccurred())
			uid := key.UID
			comes(g)
			g.Expect(key.UID).NotTo(Equal(uid))
		}).Should(Succeed())
	})
})

// vanish takes an object away as a disaster does: no finalizer is waited for, and no controller hears of it.
func (w *world) vanish(ctx context.Context, key *v1alpha1.ApiKey) {
	GinkgoHelper()
	gone := key.DeepCopy()
	edit(ctx, gone, func(k *v1alpha1.ApiKey) { k.Finalizers = nil })
	Expect(admin.Delete(ctx, gone)).To(Succeed())
	Eventually(func(g Gomega) { // the cache, too, so that the next of the name is new to everybody
		g.Expect(apierrors.IsNotFound(manager.GetClient().Get(ctx, client.ObjectKeyFromObject(key), &v1alpha1.ApiKey{}))).To(BeTrue())
	}).Should(Succeed())
}

// restore is what tools for backups do: without status, owners and identity.
func (w *world) restore(ctx context.Context, key *v1alpha1.ApiKey, secret *corev1.Secret) {
	GinkgoHelper()
	key = key.DeepCopy()
	key.ObjectMeta = metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Annotations: key.Annotations}
	key.Status = v1alpha1.ApiKeyStatus{}
	if secret != nil {
		secret = secret.DeepCopy()
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels, Annotations: secret.Annotations}
		Expect(admin.Create(ctx, secret)).To(Succeed())
	}
	Expect(admin.Create(ctx, key)).To(Succeed())
}
