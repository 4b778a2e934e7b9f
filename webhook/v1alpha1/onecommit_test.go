package v1alpha1_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("One commit", func() {
	var w *testenv.World
	var m manifests
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		m = manifests{w.Namespace}
	})

	It("applies in any order, and is tried out before", func(ctx SpecContext) {
		w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.MaxLifetime, g.Spec.Limits.Keys = "30d", ptr.To[int32](0) })
		key := m.key(map[string]any{
			"projects": []any{"marketing", "sales"}, "permissions": []any{"read", "order"}, "expiresAfter": "90d",
			"rotation": map[string]any{"every": "60d"}, "context": map[string]any{"plan": "trial"},
		})
		list := m.object("DomainAllowlist", nil, map[string]any{
			"groupRef": map[string]any{"name": "acme"}, "projects": []any{"sales"}, "domains": []any{"acme.example"},
		})
		group := m.object("Group", nil, map[string]any{
			"projects":     []any{map[string]any{"name": "marketing"}, map[string]any{"name": "sales"}},
			"capabilities": []any{map[string]any{"name": "order", "routes": []any{map[string]any{"methods": []any{"POST"}}}}},
			"keyPolicy":    map[string]any{"maxLifetime": "90d", "keysMaySet": []any{"plan"}}, "limits": map[string]any{"keys": int64(5)},
		})
		group.SetName("acme")
		flux, heard := testenv.As("flux")
		for _, object := range []*unstructured.Unstructured{key, list, group} {
			Expect(apply(ctx, flux, object.DeepCopy(), client.DryRunAll)).To(Succeed())
		}
		Expect(heard.Texts).To(ContainElement(ContainSubstring(`has no project "sales"; it has "marketing", "product": add it there`)))
		Expect(heard.Texts).To(ContainElement(And(HavePrefix("spec.context[plan]: "), ContainSubstring("spec.keyPolicy.keysMaySet of the Group"))))
		Expect(apply(ctx, flux, key.DeepCopy())).To(Succeed())
		Expect(apply(ctx, flux, list.DeepCopy())).To(Succeed())

		By("until the Group has all of it, no key is minted")
		w.Clock.Step(2 * conditions.ReferenceGrace)
		blocked := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonProjectNotFound))
		Expect(blocked.Status.State).To(Equal(v1alpha1.KeyBlocked))
		Expect(blocked.Status.Versions).To(BeEmpty())
		_, err := w.Secret(ctx)
		Expect(err).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
		Expect(apply(ctx, flux, group)).To(Succeed())
		ready := w.ReconcileUntil(ctx, "web", testenv.Ready)
		Expect(ready.Status.ExpiresAt.Sub(ready.Status.Versions[0].MintedAt.Time)).To(Equal(90 * 24 * time.Hour))
		Expect(w.ReconcileAllowlist(ctx, "web")).To(Succeed())
	})

	It("is refused for what no other object could end", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		for name, more := range map[string]map[string]any{
			"a rotation": {"rotation": map[string]any{"every": "1h", "overlap": "2h"}},
			"a template": {"secret": map[string]any{"template": map[string]any{"data": map[string]any{"a": "{{"}}}},
			"an import":  {"importFrom": map[string]any{"secretKeyRef": map[string]any{"name": "web", "key": "a"}}},
			"no time":    {"expiresAfter": "0s"},
		} {
			Expect(apply(ctx, testenv.Admin, m.key(more), client.DryRunAll)).To(MatchError(apierrors.IsInvalid, "IsInvalid"), name)
		}
	})

	It("may still have a key that is over", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		flux, heard := testenv.As("flux")
		old := m.key(map[string]any{"expiresAt": w.Clock.Now().Add(-time.Hour).UTC().Format(time.RFC3339)})
		Expect(apply(ctx, flux, old.DeepCopy())).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(And(ContainSubstring("spec.expiresAt: "), ContainSubstring("Expired from the start"))))
		key := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonExpired))
		Expect(key.Status.State).To(Equal(v1alpha1.KeyExpired))
		Expect(key.Status.Versions).To(BeEmpty())
		Expect(apply(ctx, flux, old)).To(Succeed())
	})

	It("may write defaults out, and leave them out again", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		ref := func(namespace string) map[string]any { return map[string]any{"name": "acme", "namespace": namespace} }
		plain, written := m.key(nil), m.key(map[string]any{"secret": map[string]any{"name": "web"}, "groupRef": ref(w.Namespace)})
		Expect(apply(ctx, testenv.Admin, plain.DeepCopy())).To(Succeed())
		first := w.ReconcileUntil(ctx, "web", testenv.Ready)
		for _, object := range []*unstructured.Unstructured{written, plain, written} {
			Expect(apply(ctx, testenv.Admin, object.DeepCopy())).To(Succeed())
			key := w.ReconcileUntil(ctx, "web", testenv.Ready)
			Expect(key.Status.Versions).To(HaveLen(1))
			Expect(key.Status.Versions[0].Digest).To(Equal(first.Status.Versions[0].Digest))
		}
		Expect(apply(ctx, testenv.Admin, m.key(map[string]any{"groupRef": ref("elsewhere")}))).To(
			MatchError(ContainSubstring("a key stays with its Group")))
		Expect(apply(ctx, testenv.Admin, plain.DeepCopy())).To(Succeed())
		Expect(apply(ctx, testenv.Admin, m.key(map[string]any{"groupRef": ref("elsewhere")}))).To(
			MatchError(ContainSubstring("it stays with Group " + w.Namespace + "/acme")))
		list := func(ref map[string]any) *unstructured.Unstructured {
			return m.object("DomainAllowlist", nil, map[string]any{"groupRef": ref, "projects": []any{"marketing"}})
		}
		Expect(apply(ctx, testenv.Admin, list(map[string]any{"name": "acme"}))).To(Succeed())
		Expect(apply(ctx, testenv.Admin, list(ref("elsewhere")))).To(MatchError(ContainSubstring("it stays with Group")))
		Expect(apply(ctx, testenv.Admin, list(ref(w.Namespace)))).To(Succeed())
	})

	It("says that an import comes too late", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		user, heard := testenv.As("jane")
		patch := `{"spec":{"importFrom":{"secretKeyRef":{"name":"legacy","key":"token"}}}}`
		Expect(user.Patch(ctx, w.NewKey(), client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		Expect(heard.Texts).To(ConsistOf(ContainSubstring("spec.importFrom: the key has a version already")))
	})

	It("warns of a maxLifetime below what keys declare, and leaves them usable", func(ctx SpecContext) {
		g := w.CreateGroup(ctx, func(g *v1alpha1.Group) { g.Spec.KeyPolicy.MaxLifetime = "90d" })
		for _, name := range []string{"web", "app"} {
			w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
				k.Name, k.Spec.ExpiresAfter, k.Spec.Rotation.Every = name, "90d", "60d"
			})
			w.ReconcileUntil(ctx, name, testenv.Ready)
		}
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) { k.Name = "undeclared" })
		platform, heard := testenv.As("platform")
		lower := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"keyPolicy":{"maxLifetime":"30d"}}}`))
		Eventually(func(inner Gomega) { // the webhook's cache may lag
			heard.Texts = nil
			inner.Expect(platform.Patch(ctx, g.DeepCopy(), lower, client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ConsistOf(And(
				ContainSubstring("2 ApiKeys declare a longer lifetime"), ContainSubstring("they keep the expiry"))))
		}).Should(Succeed())
		Expect(platform.Patch(ctx, g, lower)).To(Succeed())
		By("lowering it again, which hurts them more")
		policy := func(lifetime string) client.Patch {
			return client.RawPatch(types.MergePatchType, []byte(`{"spec":{"keyPolicy":{"maxLifetime":"`+lifetime+`","defaultLifetime":"`+lifetime+`"}}}`))
		}
		warned := func(lifetime string, of ...any) {
			GinkgoHelper()
			Eventually(func(inner Gomega) {
				heard.Texts = nil
				inner.Expect(platform.Patch(ctx, g.DeepCopy(), policy(lifetime), client.DryRunAll)).To(Succeed())
				inner.Expect(heard.Texts).To(ConsistOf(of...))
			}).Should(Succeed())
		}
		longer := ContainSubstring("2 ApiKeys declare a longer lifetime")
		warned("20d", longer)
		warned("40d")
		By("lowering it to minutes, where months were meant")
		warned("2m", longer, ContainSubstring("2 ApiKeys rotate more often than they declare"))

		heard.Texts = nil
		edit := `{"spec":{"description":"just a text"},"metadata":{"annotations":{"keyward.dev/rotate-requested-at":"leaked;overlap=0s"}}}`
		Eventually(func(inner Gomega) {
			heard.Texts = nil
			inner.Expect(platform.Patch(ctx, w.NewKey(), client.RawPatch(types.MergePatchType, []byte(edit)), client.DryRunAll)).To(Succeed())
			inner.Expect(heard.Texts).To(ConsistOf(ContainSubstring("the next ones live as long as is allowed")))
		}).Should(Succeed())
		Expect(platform.Patch(ctx, w.NewKey(), client.RawPatch(types.MergePatchType, []byte(edit)))).To(Succeed())
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.LastHandledRotateRequest).To(Equal("leaked;overlap=0s"))
			testenv.Ready(g, k)
		})
		Expect(key.Status.Versions).To(HaveLen(2))
		Expect(key.Status.Versions[0].State).To(Equal(v1alpha1.VersionRetired))
		Expect(key.Status.ExpiresAt.Sub(key.Status.Versions[1].MintedAt.Time)).To(Equal(30 * 24 * time.Hour))
		Expect(w.Events()).To(ContainSubstring("Warning LifetimeNotAllowed the new version lives until"))
	})

	It("is refused with the length of a default key's name that does not fit", func(ctx SpecContext) {
		g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: strings.Repeat("g", 250)}}
		g.Spec.DefaultKey.Enabled = ptr.To(true)
		Expect(testenv.Admin.Create(ctx, g.DeepCopy())).To(MatchError(And(ContainSubstring("spec.defaultKey.name"),
			ContainSubstring("258 characters"), ContainSubstring("at most 253"))))
		g.Spec.DefaultKey.Name = "fits"
		Expect(testenv.Admin.Create(ctx, g)).To(Succeed())
	})
})

var _ = Describe("A request to rotate", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	request := func(ctx SpecContext, c client.Client, text string) error {
		patch := `{"metadata":{"annotations":{"keyward.dev/rotate-requested-at":"` + text + `"}}}`
		return c.Patch(ctx, w.NewKey(), client.RawPatch(types.MergePatchType, []byte(patch)))
	}

	It("takes the right to edit the key, and says who asked", func(ctx SpecContext) {
		w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		other := testenv.NewWorld(ctx)
		neighbour := pipeline(ctx, other, "neighbour")
		Expect(request(ctx, neighbour, "now")).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		reader, _ := testenv.AsUser("reader")
		meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: "reader"}
		Expect(testenv.Admin.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			rule("get", "keyward.dev", "apikeys"), rule("patch", "keyward.dev", "apikeys/status"),
		}})).To(Succeed())
		Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "reader"}},
		})).To(Succeed())
		Eventually(func() error { // RBAC is cached
			return reader.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "web"}, &v1alpha1.ApiKey{})
		}).Should(Succeed())
		Expect(request(ctx, reader, "now")).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"keyward.dev/rotate-requested-at":"now"}}}`))
		Expect(reader.Status().Patch(ctx, w.NewKey(), patch)).To(Succeed())
		Expect(live(ctx, w, &v1alpha1.ApiKey{}).Annotations).NotTo(HaveKey(v1alpha1.AnnotationRotateRequestedAt))

		joe, _ := testenv.As("joe")
		Expect(request(ctx, joe, "now")).To(Succeed())
		key := w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.LastHandledRotateRequest).To(Equal("now"))
			testenv.Ready(g, k)
		})
		Expect(key.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationChangedBy, "joe"))
		Expect(key.Status.Versions).To(HaveLen(2))
		Expect(key.Status.Versions[1].Cause).To(Equal(v1alpha1.CauseRequested))
	})

	It("is refused if it is not understood", func(ctx SpecContext) {
		w.CreateKey(ctx)
		for _, text := range []string{"a;overlap=soon", strings.Repeat("a", 257), `a\nb`} {
			Expect(request(ctx, testenv.Admin, text)).To(MatchError(
				ContainSubstring("metadata.annotations[keyward.dev/rotate-requested-at]")), text)
		}
		Expect(request(ctx, testenv.Admin, "")).To(Succeed())
	})
})

var _ = Describe("A guarded object", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	DescribeTable("is not deleted", func(ctx SpecContext, kind string, of func() client.Object) {
		object := of()
		guard := func(value string) {
			object.SetAnnotations(map[string]string{v1alpha1.AnnotationPreventDeletion: value})
		}
		owner := []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Group", Name: "gone", UID: "1-2-3"}}
		for _, odd := range []string{"yes", "1", "", " true", "no"} {
			guard(odd)
			Expect(testenv.Admin.Create(ctx, object, client.DryRunAll)).To(
				MatchError(ContainSubstring("metadata.annotations[keyward.dev/prevent-deletion]")), "%q", odd)
		}
		guard("True")
		object.SetOwnerReferences(owner)
		Expect(testenv.Admin.Create(ctx, object, client.DryRunAll)).To(MatchError(ContainSubstring("metadata.ownerReferences")))
		object.SetOwnerReferences(nil)
		Expect(testenv.Admin.Create(ctx, object)).To(Succeed())
		user, _ := testenv.As("jane")
		set := func(patch string) error {
			return user.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"metadata":`+patch+`}`)), client.DryRunAll)
		}
		Expect(set(`{"annotations":{"keyward.dev/prevent-deletion":"yes"}}`)).To(
			MatchError(ContainSubstring("metadata.annotations[keyward.dev/prevent-deletion]")))
		Expect(set(`{"ownerReferences":[{"apiVersion":"keyward.dev/v1alpha1","kind":"Group","name":"gone","uid":"1-2-3"}]}`)).To(
			MatchError(ContainSubstring("metadata.ownerReferences")))
		object.SetAnnotations(nil)
		Expect(user.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
		for _, options := range [][]client.DeleteOption{nil, {client.DryRunAll}, {client.PropagationPolicy(metav1.DeletePropagationForeground)}} {
			Expect(user.Delete(ctx, object, options...)).To(And(MatchError(apierrors.IsForbidden, "IsForbidden"),
				MatchError(ContainSubstring("kubectl -n "+w.Namespace+" annotate "+kind+" "+object.GetName()+" keyward.dev/prevent-deletion-"))))
		}
		Expect(user.DeleteAllOf(ctx, object, client.InNamespace(w.Namespace))).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		namespaces, _ := testenv.As("system:serviceaccount:kube-system:namespace-controller")
		Expect(namespaces.Delete(ctx, object, client.DryRunAll)).To(Succeed(), "a namespace that is deleted would never end")
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"keyward.dev/prevent-deletion":"false"}}}`))
		Expect(user.Patch(ctx, object, patch)).To(Succeed())
		Expect(object.GetAnnotations()).To(HaveKeyWithValue(v1alpha1.AnnotationChangedBy, "jane"))
		Expect(user.Delete(ctx, object)).To(Succeed())
	},
		Entry("as an ApiKey", "apikey.keyward.dev", func() client.Object { return w.NewKey() }),
		Entry("as a DomainAllowlist", "domainallowlist.keyward.dev", func() client.Object { return w.NewAllowlist() }),
		Entry("as a Group", "group.keyward.dev", func() client.Object {
			return &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "acme"}}
		}),
	)
})
