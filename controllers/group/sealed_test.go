package group_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/group"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/pkg/sealedcontext"
)

var _ = Describe("A sealed context", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	const credential = "sk_live_0123456789abcdefghij"
	ringOf := func(primary string) *sealedcontext.Ring {
		GinkgoHelper()
		ring, err := sealedcontext.NewRing(map[string][]byte{"2026": bytes.Repeat([]byte{1}, 32), "2027": bytes.Repeat([]byte{2}, 32)}, primary)
		Expect(err).NotTo(HaveOccurred())
		return ring
	}
	seals := func(primary string) func() (*sealedcontext.Ring, error) {
		ring := ringOf(primary)
		return func() (*sealedcontext.Ring, error) { return ring, nil }
	}
	declares := func(names ...string) func(*v1alpha1.Group) {
		return func(g *v1alpha1.Group) {
			g.Spec.SealedContext = nil
			for _, name := range names {
				g.Spec.SealedContext = append(g.Spec.SealedContext, v1alpha1.SealedContext{
					Name: v1alpha1.ContextName(name), SecretKeyRef: v1alpha1.SecretKeyReference{Name: "credentials", Key: strings.ToLower(name)},
				})
			}
		}
	}
	putSecret := func(ctx context.Context, data map[string]string) *corev1.Secret {
		GinkgoHelper()
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "credentials"}, StringData: data}
		Expect(testenv.Admin.Create(ctx, secret)).To(Succeed())
		return secret
	}
	// reach reconciles the Group until its status meets the check, and returns what is sealed, by name.
	reach := func(ctx context.Context, check func(Gomega, *v1alpha1.Group)) map[string]string {
		GinkgoHelper()
		sealed := map[string]string{}
		Eventually(func(g Gomega) {
			g.Expect(w.ReconcileGroup(ctx, "acme")).To(Succeed())
			object := &v1alpha1.Group{}
			g.Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, object)).To(Succeed())
			g.Expect(object.Status.ObservedGeneration).To(Equal(object.Generation))
			check(g, object)
			clear(sealed)
			for _, value := range object.Status.SealedContext {
				sealed[string(value.Name)] = value.Sealed
			}
		}).Should(Succeed())
		return sealed
	}
	is := func(status metav1.ConditionStatus, reason string, mentions ...string) func(Gomega, *v1alpha1.Group) {
		return func(g Gomega, object *v1alpha1.Group) {
			found := meta.FindStatusCondition(object.Status.Conditions, v1alpha1.ConditionContextSealed)
			g.Expect(found).NotTo(BeNil())
			g.Expect(found.Status).To(Equal(status), found.Message)
			g.Expect(found.Reason).To(Equal(reason))
			for _, mention := range mentions {
				g.Expect(found.Message).To(ContainSubstring(mention))
			}
			g.Expect(found.Message).NotTo(ContainSubstring("sk_live"))
		}
	}
	opened := func(ctx context.Context, name, sealed string) string {
		GinkgoHelper()
		value, err := ringOf("").Open(w.Namespace+"/acme", name, sealed)
		Expect(err).NotTo(HaveOccurred())
		return string(value)
	}

	It("is sealed, published, and sealed again only when the value or the key changes", func(ctx SpecContext) {
		w.Ring = seals("2026")
		secret := putSecret(ctx, map[string]string{"paymentkey": credential, "mail": "m", "other": "not asked for"})
		object := w.CreateGroup(ctx, declares("paymentKey", "mail"))
		first := reach(ctx, is(metav1.ConditionTrue, v1alpha1.ReasonSealed))
		Expect(opened(ctx, "paymentKey", first["paymentKey"])).To(Equal(credential))
		Expect(opened(ctx, "mail", first["mail"])).To(Equal("m"))
		Expect(first).To(HaveLen(2))
		Expect(w.Events()).NotTo(ContainSubstring("sk_live"))

		v := testenv.Validator{Subscription: testenv.Hub.Subscribe(publish.Subscriber{Instance: "v", Incarnation: rand.Text(), Selection: w.Selection()})}
		DeferCleanup(func() { v.Close(true) })
		published := map[string]string{}
		follow := func() map[string]string {
			for {
				next, cancel := context.WithCancel(ctx)
				if v.CaughtUp() {
					cancel()
				}
				update, err := v.Next(next)
				cancel()
				if err != nil {
					return published
				}
				v.Ack(update.GetRevision())
				for _, record := range update.GetGroups() {
					published = record.GetSealedContext()
				}
			}
		}
		Eventually(follow).Should(Equal(first))

		By("nothing changes")
		before := &v1alpha1.Group{}
		Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, before)).To(Succeed())
		Expect(reach(ctx, is(metav1.ConditionTrue, v1alpha1.ReasonSealed))).To(Equal(first))

		By("a value changes")
		secret.StringData = map[string]string{"mail": "n"}
		Expect(testenv.Admin.Update(ctx, secret)).To(Succeed())
		second := reach(ctx, func(g Gomega, object *v1alpha1.Group) {
			g.Expect(object.Status.SealedContext).NotTo(Equal(before.Status.SealedContext))
		})
		Expect(second["paymentKey"]).To(Equal(first["paymentKey"]))
		Expect(opened(ctx, "mail", second["mail"])).To(Equal("n"))
		Eventually(follow).Should(Equal(second))

		By("the key changes")
		w.Ring = seals("2027")
		third := reach(ctx, func(g Gomega, object *v1alpha1.Group) {
			for _, value := range object.Status.SealedContext {
				g.Expect(value.Sealed).To(HavePrefix("v1.2027."))
			}
		})
		Expect(opened(ctx, "paymentKey", third["paymentKey"])).To(Equal(credential))

		By("a value is removed, which needs no reconciliation")
		Eventually(follow).Should(Equal(third))
		testenv.Edit(ctx, object, declares("mail"))
		Eventually(follow).Should(Equal(map[string]string{"mail": third["mail"]}))
		testenv.Edit(ctx, object, declares())
		Eventually(follow).Should(BeEmpty())
		Expect(reach(ctx, func(g Gomega, object *v1alpha1.Group) {
			g.Expect(meta.FindStatusCondition(object.Status.Conditions, v1alpha1.ConditionContextSealed)).To(BeNil())
		})).To(BeEmpty())
	})

	It("says what is missing, and sends the rest", func(ctx SpecContext) {
		w.Ring = seals("2026")
		object := w.CreateGroup(ctx, declares("paymentKey", "mail", "long", "empty"))
		Expect(reach(ctx, is(metav1.ConditionFalse, v1alpha1.ReasonSecretUnusable,
			"spec.sealedContext[paymentKey].secretKeyRef: there is no Secret", "create it"))).To(BeEmpty())
		Expect(w.Events()).To(ContainSubstring("Warning SecretUnusable"))
		secret := putSecret(ctx, map[string]string{"paymentkey": credential, "long": strings.Repeat("sk_live", 1024), "empty": ""})
		sealed := reach(ctx, is(metav1.ConditionFalse, v1alpha1.ReasonSecretUnusable,
			`has no entry "mail"`, `entry "long" of Secret "credentials" has 7168 bytes; write 1 to 1024`, `entry "empty"`))
		Expect(sealed).To(HaveLen(1))
		Expect(opened(ctx, "paymentKey", sealed["paymentKey"])).To(Equal(credential))
		testenv.Edit(ctx, object, declares("paymentKey"))
		reach(ctx, is(metav1.ConditionTrue, v1alpha1.ReasonSealed))

		By("the keys cannot be read for a moment")
		w.Ring = func() (*sealedcontext.Ring, error) { return nil, errors.New("no such directory") }
		Expect(reach(ctx, is(metav1.ConditionFalse, v1alpha1.ReasonNoSealingKey, "no such directory"))).To(Equal(sealed))

		By("and then none of two seals")
		w.Ring = seals("")
		Expect(reach(ctx, is(metav1.ConditionFalse, v1alpha1.ReasonNoSealingKey, "an entry named primary"))).To(Equal(sealed))

		By("the credential is withdrawn")
		w.Ring = seals("2026")
		Expect(testenv.Admin.Delete(ctx, secret)).To(Succeed())
		Expect(reach(ctx, is(metav1.ConditionFalse, v1alpha1.ReasonSecretUnusable))).To(BeEmpty())
	})

	It("keeps what was sealed, and the rest of the status up to date, while a Secret cannot be read", func(ctx SpecContext) {
		w.Ring = seals("2026")
		putSecret(ctx, map[string]string{"mail": "m"})
		object := w.CreateGroup(ctx, declares("mail"))
		sealed := reach(ctx, is(metav1.ConditionTrue, v1alpha1.ReasonSealed))

		var reads atomic.Int64
		r := &group.Reconciler{
			Client: testenv.Manager.GetClient(), Hub: testenv.Hub, Tiers: w.Tiers, Recorder: w.Recorder, Clock: w.Clock, Ring: w.Ring,
			APIReader: interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
					reads.Add(1)
					return apierrors.NewForbidden(corev1.Resource("secrets"), "credentials", errors.New("sk_live"))
				},
			}),
		}
		testenv.Edit(ctx, object, func(g *v1alpha1.Group) { declares("mail", "new")(g); g.Spec.Limits.RequestsPerMonth = new(int64(7)) })
		Eventually(func(g Gomega) {
			_, err := r.Reconcile(ctx, w.Request("acme"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, object)).To(Succeed())
			g.Expect(object.Status.ObservedGeneration).To(Equal(object.Generation))
			g.Expect(object.Status.Limits.RequestsPerMonth).To(HaveValue(BeEquivalentTo(7)))
			is(metav1.ConditionFalse, v1alpha1.ReasonSecretUnusable, `Secret "credentials" cannot be read now`)(g, object)
		}).Should(Succeed())
		Expect(object.Status.SealedContext).To(ConsistOf(v1alpha1.SealedValue{Name: "mail", Sealed: sealed["mail"]}))

		By("it is not read for every other reason to look at the Group")
		before := reads.Load()
		for range 5 {
			Expect(r.Reconcile(ctx, w.Request("acme"))).Error().NotTo(HaveOccurred())
		}
		Expect(reads.Load()).To(Equal(before))
		w.Clock.Step(time.Minute)
		Expect(r.Reconcile(ctx, w.Request("acme"))).Error().NotTo(HaveOccurred())
		Expect(reads.Load()).To(Equal(before + 1))
	})

	It("delays nothing else while the API server does not answer", func(ctx SpecContext) {
		w.Ring = seals("2026")
		putSecret(ctx, map[string]string{"mail": "m"})
		object := w.CreateGroup(ctx, declares("mail"))
		sealed := reach(ctx, is(metav1.ConditionTrue, v1alpha1.ReasonSealed))
		r := &group.Reconciler{
			Client: testenv.Manager.GetClient(), Hub: testenv.Hub, Tiers: w.Tiers, Recorder: w.Recorder, Clock: w.Clock, Ring: w.Ring,
			APIReader: interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
				Get: func(ctx context.Context, _ client.WithWatch, _ client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
					<-ctx.Done() // which the API server does not end
					return ctx.Err()
				},
			}),
		}
		testenv.Edit(ctx, object, func(g *v1alpha1.Group) { declares("mail", "new")(g); g.Spec.Limits.RequestsPerMonth = new(int64(7)) })
		Eventually(func(g Gomega) {
			_, err := r.Reconcile(ctx, w.Request("acme"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(testenv.Admin.Get(ctx, w.Request("acme").NamespacedName, object)).To(Succeed())
			g.Expect(object.Status.Limits).NotTo(BeNil())
			g.Expect(object.Status.Limits.RequestsPerMonth).To(HaveValue(BeEquivalentTo(7)))
			is(metav1.ConditionFalse, v1alpha1.ReasonSecretUnusable, `Secret "credentials" cannot be read now`)(g, object)
		}).WithTimeout(20 * time.Second).Should(Succeed())
		Expect(object.Status.SealedContext).To(ConsistOf(v1alpha1.SealedValue{Name: "mail", Sealed: sealed["mail"]}))
	})

	It("is looked at every minute, and needs a manager with keys", func(ctx SpecContext) {
		w.CreateGroup(ctx, declares("mail"))
		reach(ctx, is(metav1.ConditionFalse, v1alpha1.ReasonNoSealingKey, "--sealed-context-keys"))
		r := &group.Reconciler{
			Client: testenv.Manager.GetClient(), APIReader: testenv.Manager.GetAPIReader(), Hub: testenv.Hub, Tiers: w.Tiers, Recorder: w.Recorder,
			Clock: w.Clock, Ring: seals("2026"),
		}
		Eventually(func(g Gomega) {
			result, err := r.Reconcile(ctx, w.Request("acme"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", 60e9)))
		}).Should(Succeed())
	})
})
