package v1alpha1_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Admission", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("stamps who creates a key, permanently", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		jane, _ := testenv.As("jane@acme.example")
		key := w.NewKey(func(k *v1alpha1.ApiKey) {
			k.Annotations = map[string]string{v1alpha1.AnnotationCreatedBy: "somebody else"}
		})
		Expect(jane.Create(ctx, key)).To(Succeed())
		Expect(key.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, "jane@acme.example"))
		Expect(key.Finalizers).To(ContainElement(v1alpha1.FinalizerEnforcement))

		joe, _ := testenv.As("joe@acme.example")
		forged := key.DeepCopy()
		forged.Annotations[v1alpha1.AnnotationCreatedBy] = "joe@acme.example"
		Expect(joe.Update(ctx, forged)).To(Succeed())
		Expect(forged.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, "jane@acme.example"))
		key = forged

		replaced := key.DeepCopy()
		replaced.Annotations = nil
		replaced.Spec.Description = "put in place of it"
		Expect(joe.Update(ctx, replaced)).To(Succeed())
		Expect(replaced.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, "jane@acme.example"))

		key = w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(key.Status.CreatedBy).To(Equal("jane@acme.example"))
	})

	It("keeps stamp and finalizer when a manifest is applied again", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		manifest := func(description string) client.ObjectKey {
			GinkgoHelper()
			object := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": v1alpha1.GroupVersion.String(), "kind": "ApiKey",
				"metadata": map[string]any{"namespace": w.Namespace, "name": "web"},
				"spec": map[string]any{
					"groupRef": map[string]any{"name": "acme"}, "projects": []any{"marketing"}, "description": description,
				},
			}}
			apply := client.ApplyConfigurationFromUnstructured(object)
			Expect(testenv.Admin.Apply(ctx, apply, client.FieldOwner("argocd"))).To(Succeed())
			return client.ObjectKeyFromObject(object)
		}
		name := manifest("first")
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		manifest("second")
		key := &v1alpha1.ApiKey{}
		Expect(testenv.Admin.Get(ctx, name, key)).To(Succeed())
		Expect(key.Spec.Description).To(Equal("second"))
		Expect(key.Finalizers).To(ContainElement(v1alpha1.FinalizerEnforcement))
		Expect(key.Annotations).To(HaveKey(v1alpha1.AnnotationCreatedBy))
	})

	It("warns of a missing Group, because it may be created later", func(ctx SpecContext) {
		user, heard := testenv.As("jane")
		Expect(user.Create(ctx, w.NewKey())).To(Succeed())
		Expect(user.Create(ctx, w.NewAllowlist())).To(Succeed())
		Expect(heard.Texts).To(HaveLen(2))
		for _, text := range heard.Texts {
			Expect(text).To(And(ContainSubstring("spec.groupRef"), ContainSubstring("create it, or correct the reference")))
		}
	})

	It("warns of a tier that is not in the catalogue, because it may be added later", func(ctx SpecContext) {
		user, heard := testenv.As("jane")
		g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		g.Spec.Tier = "Gold"
		Expect(user.Create(ctx, g)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring(`spec.tier: the catalogue has no tier "Gold"; it has Free, Basic, Pro`)))
		heard.Texts = nil
		g.Spec.Tier = "Pro"
		Expect(user.Update(ctx, g)).To(Succeed())
		Expect(heard.Texts).To(BeEmpty())
		g.Spec.Tier = "Silver"
		Expect(user.Update(ctx, g)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring(`no tier "Silver"`)))
	})

	It("warns of a default key whose name an ApiKey has already", func(ctx SpecContext) {
		g := w.CreateGroup(ctx)
		w.CreateKey(ctx)
		user, heard := testenv.As("jane")
		Eventually(func(inner Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			inner.Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
			g.Spec.DefaultKey = v1alpha1.DefaultKey{Enabled: ptr.To(true), Name: "web"}
			inner.Expect(user.Update(ctx, g, client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ConsistOf(And(ContainSubstring("spec.defaultKey.name: ApiKey web exists already"),
				ContainSubstring("is its default key"))))
		}).Should(Succeed())
		heard.Texts = nil
		other := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "other"}, Spec: *g.Spec.DeepCopy()}
		Expect(user.Create(ctx, other, client.DryRunAll)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring("write another name if the Group is to have one")))
		heard.Texts = nil
		g.Spec.DefaultKey.Name = "free"
		Expect(user.Update(ctx, g, client.DryRunAll)).To(Succeed())
		Expect(heard.Texts).To(BeEmpty())
	})

	It("warns of a Secret that is another key's", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		user, heard := testenv.As("jane")
		second := func() *v1alpha1.ApiKey {
			return w.NewKey(func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Secret.Name = "second", "web" })
		}
		Eventually(func(g Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			g.Expect(user.Create(ctx, second(), client.DryRunAll)).To(Succeed())
			g.Expect(heard.Texts).To(ConsistOf(ContainSubstring(`Secret "web" is that of ApiKey "web"`)))
		}).Should(Succeed())

		neighbour := 0 // in the index, of the name that is taken
		for cache.Bucket(fmt.Sprint("s", neighbour)) != cache.Bucket("web") {
			neighbour++
		}
		heard.Texts = nil
		Expect(user.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) {
			k.Name, k.Spec.Secret.Name = "third", fmt.Sprint("s", neighbour)
		}), client.DryRunAll)).To(Succeed())
		Expect(heard.Texts).To(BeEmpty())
	})

	DescribeTable("warns of what a Group does not grant, because it may grant that later", func(ctx SpecContext, change func(*v1alpha1.ApiKey), mentions ...string) {
		g := w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.KeyPolicy.DefaultLifetime, g.Spec.KeyPolicy.MaxLifetime = "30d", "30d"
		})
		user, heard := testenv.As("jane")
		Eventually(func(inner Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			inner.Expect(user.Create(ctx, w.NewKey(change), client.DryRunAll)).To(Succeed())
			for _, mention := range append(mentions, g.Name) {
				inner.Expect(heard.Texts).To(ConsistOf(ContainSubstring(mention)))
			}
		}).Should(Succeed())
	},
		Entry("a project", func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "sales"} },
			"spec.projects[1]", `has no project "sales"; it has "marketing", "product"`),
		Entry("a capability", func(k *v1alpha1.ApiKey) { k.Spec.Permissions = []v1alpha1.PermissionName{"checkout"} },
			"spec.permissions[0]", `keys may have "read"`),
		Entry("a lifetime", func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "31d" }, "spec.expiresAfter", "raise keyPolicy.maxLifetime"),
		Entry("no expiry", func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAfter = "Never" }, "spec.expiresAfter", "set keyPolicy.allowNever"),
	)

	It("gives the same warning for a missing Group of another namespace and for one that does not allow this namespace", func(ctx SpecContext) {
		other := testenv.NewWorld(ctx)
		alice, heard := testenv.As("alice")
		ask := func() string {
			heard.Texts = nil
			key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.GroupRef.Namespace = other.Namespace })
			Expect(alice.Create(ctx, key, client.DryRunAll)).To(Succeed())
			return strings.Join(heard.Texts, " ")
		}
		missing := ask()
		Expect(missing).To(And(ContainSubstring("spec.groupRef"),
			ContainSubstring("let spec.allowedNamespaces of the Group admit this namespace")))
		other.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Limits.Keys = ptr.To[int32](0) })
		// The webhook's cache has the Group no later than what is created after it.
		own := w.CreateGroup(ctx)
		Eventually(func() []string {
			heard.Texts = nil
			key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"sales"} })
			Expect(alice.Create(ctx, key, client.DryRunAll)).To(Succeed())
			return heard.Texts
		}).Should(ConsistOf(ContainSubstring("Group " + own.Namespace + "/" + own.Name + " has no project")))
		Expect(ask()).To(Equal(missing))
	})

	It("refuses a template that cannot be rendered", func(ctx SpecContext) {
		Expect(testenv.Admin.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{".env": "{{ .Secret }}"}
		}))).To(MatchError(And(ContainSubstring("spec.secret.template.data[.env]"), ContainSubstring(".Secret is not a field"))))
	})

	It("never prevents the end of a key", func(ctx SpecContext) {
		g := w.CreateGroup(ctx)
		key := w.CreateKey(ctx)
		Expect(testenv.Admin.Delete(ctx, g)).To(Succeed())
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.Projects = nil })
		user, heard := testenv.As("jane")
		Eventually(func() []string {
			heard.Texts = nil
			Expect(user.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) { k.Name = "other" }), client.DryRunAll)).To(Succeed())
			return heard.Texts
		}).Should(ConsistOf(ContainSubstring("no project")))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Suspended = ptr.To(true) })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Labels = map[string]string{"a": "b"} })
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
	})

	It("warns of edits that end a key, or that have no effect any more", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.ExpiresAt = &metav1.Time{Time: w.Clock.Now().Add(time.Hour)} })
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		user, heard := testenv.As("jane")
		Expect(user.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
		key.Spec.ExpiresAt = &metav1.Time{Time: w.Clock.Now().Add(-time.Hour)}
		Expect(user.Update(ctx, key)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring("which is for good")))

		key = w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonExpired))
		heard.Texts = nil
		key.Spec.ExpiresAt = &metav1.Time{Time: w.Clock.Now().Add(time.Hour)}
		Expect(user.Update(ctx, key)).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring("expired for good")))
	})

	It("counts what it refuses by kind and reason", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		refused := func(kind, reason string) (n float64) {
			families, err := metrics.Registry.Gather()
			Expect(err).NotTo(HaveOccurred())
			for _, family := range families {
				for _, m := range family.GetMetric() {
					labels := map[string]string{}
					for _, label := range m.GetLabel() {
						labels[label.GetName()] = label.GetValue()
					}
					if family.GetName() == "keyward_admission_refusals_total" && labels["kind"] == kind && labels["reason"] == reason {
						n = m.GetCounter().GetValue()
					}
				}
			}
			return n
		}
		before := refused("ApiKey", v1alpha1.ReasonInvalidSpec)
		key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Every = "1s" })
		Expect(testenv.Admin.Create(ctx, key.DeepCopy(), client.DryRunAll)).NotTo(Succeed())
		Expect(refused("ApiKey", v1alpha1.ReasonInvalidSpec)).To(Equal(before), "a dry-run is counted")
		Expect(testenv.Admin.Create(ctx, key)).NotTo(Succeed())
		Expect(refused("ApiKey", v1alpha1.ReasonInvalidSpec)).To(Equal(before + 1))
		Expect(testenv.Admin.Create(ctx, w.NewKey())).To(Succeed())
		Expect(refused("ApiKey", v1alpha1.ReasonInvalidSpec)).To(Equal(before + 1))
	})

	It("warns of keys that go on with less after a change of their Group", func(ctx SpecContext) {
		g := w.CreateGroup(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "product"} })
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		user, heard := testenv.As("jane")
		Eventually(func(inner Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			inner.Expect(user.Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
			g.Spec.Projects = g.Spec.Projects[1:]
			inner.Expect(user.Update(ctx, g, client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ConsistOf(And(ContainSubstring("1 ApiKeys lose projects, permissions or context"), ContainSubstring("/web"),
				ContainSubstring(`goes on with what is granted: projects "product"`))))
		}).Should(Succeed())
	})

	It("warns again when the same keys lose more", func(ctx SpecContext) {
		g := w.CreateGroup(ctx, func(g *v1alpha1.Group) {
			g.Spec.Projects = append(g.Spec.Projects, v1alpha1.Project{Name: "third", Routes: g.Spec.Projects[0].Routes})
		})
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Spec.Projects = []v1alpha1.ProjectName{"marketing", "product", "third"} })
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		user, heard := testenv.As("jane")
		edit := func(dry bool, texts ...any) {
			GinkgoHelper()
			Eventually(func(inner Gomega) { // the webhook's cache may lag
				heard.Texts = nil
				inner.Expect(user.Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
				g.Spec.Projects = g.Spec.Projects[1:]
				inner.Expect(user.Update(ctx, g, client.DryRunAll)).To(Succeed())
				inner.Expect(heard.Texts).To(ConsistOf(texts...))
			}).Should(Succeed())
			if !dry {
				Expect(user.Update(ctx, g)).To(Succeed())
			}
		}
		edit(false, ContainSubstring("1 ApiKeys lose projects, permissions or context"))
		edit(true, And(ContainSubstring("1 ApiKeys lose projects, permissions or context"),
			ContainSubstring(`goes on with what is granted: projects "third"`)))
		By("editing something else")
		heard.Texts = nil
		Expect(user.Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
		g.Spec.DisplayName = "Edited"
		Expect(user.Update(ctx, g, client.DryRunAll)).To(Succeed())
		Expect(heard.Texts).To(BeEmpty())
		By("editing the key")
		Eventually(func(inner Gomega) {
			heard.Texts = nil
			key := w.NewKey()
			inner.Expect(user.Get(ctx, client.ObjectKeyFromObject(key), key)).To(Succeed())
			key.Spec.Description = "edited"
			inner.Expect(user.Update(ctx, key, client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ContainElement(ContainSubstring("until that is so, the key goes on with what is granted")))
		}).Should(Succeed())
	})

	It("warns of keys that a change of their Group blocks", func(ctx SpecContext) {
		g := w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name, k.Spec.Revoked = "ended", ptr.To(true) }) // it was not accepted before
		user, heard := testenv.As("jane")
		Eventually(func(inner Gomega) {
			heard.Texts = nil
			inner.Expect(user.Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
			g.Spec.Projects = g.Spec.Projects[1:]
			inner.Expect(user.Update(ctx, g, client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ConsistOf(And(ContainSubstring("1 ApiKeys are no longer accepted"), ContainSubstring("/web"))))
			heard.Texts = nil
			inner.Expect(user.Delete(ctx, g, client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ConsistOf(ContainSubstring("1 ApiKeys of the Group")))
		}).Should(Succeed())
	})
})
