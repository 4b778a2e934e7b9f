package controllers_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

var _ = Describe("Messages", func() {
	var w, other *world
	BeforeEach(func(ctx SpecContext) { w, other = newWorld(ctx), newWorld(ctx) })

	// imports makes an ApiKey that imports the text, and returns why it cannot.
	imports := func(ctx context.Context, w *world, name, text string) string {
		GinkgoHelper()
		Expect(client.IgnoreAlreadyExists(admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "legacy"}, StringData: map[string]string{"token": text},
		}))).To(Succeed())
		w.key(ctx, func(k *v1alpha1.ApiKey) {
			k.Name = name
			k.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "legacy", Key: "token"}}
		})
		message := ""
		w.settle(ctx, name, func(g Gomega, key *v1alpha1.ApiKey) {
			for _, c := range key.Status.Conditions {
				if c.Type == v1alpha1.ConditionReady {
					message = c.Message
				}
			}
			g.Expect(message).To(Or(ContainSubstring("already"), ContainSubstring("accepted")))
		})
		return message
	}

	It("name an ApiKey with the same text in the own namespace only", func(ctx SpecContext) {
		w.group(ctx)
		other.group(ctx)
		imports(ctx, other, "secret-project", "legacy-platform/"+w.namespace)
		Eventually(func(g Gomega) {
			var keys v1alpha1.ApiKeyList
			g.Expect(manager.GetClient().List(ctx, &keys, client.InNamespace(other.namespace))).To(Succeed())
			g.Expect(keys.Items[0].Status.Versions).NotTo(BeEmpty())
		}).Should(Succeed())
		message := imports(ctx, w, "mine", "legacy-platform/"+w.namespace)
		Expect(message).To(ContainSubstring("another ApiKey"))
		Expect(message + w.events()).NotTo(Or(ContainSubstring(other.namespace), ContainSubstring("secret-project")))

		imports(ctx, other, "neighbour", "legacy-platform/"+w.namespace)
		Expect(other.events()).To(ContainSubstring("ApiKey secret-project"))
	})

	It("name stranded keys of the Group's own namespace only", func(ctx SpecContext) {
		group := other.group(ctx, func(g *v1alpha1.Group) { g.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromAll })
		Eventually(func() error {
			return client.IgnoreAlreadyExists(admin.Create(ctx, w.newKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = other.namespace })))
		}).Should(Succeed())
		user, heard := as("jane")
		group.Spec.AllowedNamespaces.From = v1alpha1.NamespacesFromSame
		Eventually(func(g Gomega) { // the webhook's cache may lag
			heard.texts = nil
			g.Expect(user.Update(ctx, group.DeepCopy(), client.DryRunAll)).To(Succeed())
			g.Expect(heard.texts).To(ConsistOf("1 ApiKeys are no longer accepted"))
		}).Should(Succeed())
	})

	It("warn of a selector that admits everybody", func(ctx SpecContext) {
		user, heard := as("jane")
		open := v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromSelector, Selector: &metav1.LabelSelector{}}
		group := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "acme"}}
		group.Spec.AllowedNamespaces = open
		Expect(user.Create(ctx, group)).To(Succeed())
		Expect(heard.texts).To(ConsistOf(And(ContainSubstring("spec.allowedNamespaces.selector"), ContainSubstring("every namespace"))))
		heard.texts = nil
		group.Spec.AllowlistsFrom = open
		Expect(user.Update(ctx, group)).To(Succeed())
		Expect(heard.texts).To(ConsistOf(ContainSubstring("spec.allowedNamespaces.selector"), ContainSubstring("spec.allowlistsFrom.selector")))
		heard.texts = nil
		group.Spec.AllowedNamespaces.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		group.Spec.AllowlistsFrom = v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}
		Expect(user.Update(ctx, group)).To(Succeed())
		Expect(heard.texts).To(BeEmpty())
	})

	It("say whose claim an earlier creator is", func(ctx SpecContext) {
		w.group(ctx)
		jane, _ := as("jane")
		stamped := func(name string, annotations map[string]string) map[string]string {
			GinkgoHelper()
			key := w.newKey(func(k *v1alpha1.ApiKey) { k.Name, k.Annotations = name, annotations })
			Expect(jane.Create(ctx, key)).To(Succeed())
			return key.Annotations
		}
		const restored, created = v1alpha1.AnnotationRestored, v1alpha1.AnnotationCreatedBy
		Expect(stamped("copy", map[string]string{created: "ada"})).To(And(HaveKeyWithValue(restored, "ada"), HaveKeyWithValue(created, "jane")))
		Expect(stamped("both", map[string]string{created: "ada", restored: "root"})).To(HaveKeyWithValue(restored, "ada"))
		Expect(stamped("made-up", map[string]string{restored: "root"})).NotTo(HaveKey(restored))
		for name, text := range map[string]string{"lines": "ada\nroot: all is well", "escapes": "\x1b[2J", "turned": "\u202eada", "long": strings.Repeat("a", 10_000), "none": ""} {
			Expect(stamped(name, map[string]string{created: text})).NotTo(HaveKey(restored), name)
		}

		key := &v1alpha1.ApiKey{}
		Expect(jane.Get(ctx, w.request("made-up").NamespacedName, key)).To(Succeed())
		key.Annotations[restored] = "root"
		Expect(jane.Update(ctx, key)).To(Succeed())
		Expect(key.Annotations).NotTo(HaveKey(restored), "it is for admission to say")
		Expect(jane.Get(ctx, w.request("copy").NamespacedName, key)).To(Succeed())
		key.Annotations[restored] = "root"
		Expect(jane.Update(ctx, key)).To(Succeed())
		Expect(key.Annotations).To(HaveKeyWithValue(restored, "ada"))

		w.settle(ctx, "copy", ready)
		Expect(w.events()).To(ContainSubstring(`its creator claims that "ada" created it then`))
	})
})
