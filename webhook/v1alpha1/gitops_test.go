package v1alpha1_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// object is the manifest of an object with a spec.
func (m manifests) object(kind string, annotations, spec map[string]any) *unstructured.Unstructured {
	metadata := map[string]any{"namespace": m.namespace, "name": "web"}
	if annotations != nil {
		metadata["annotations"] = annotations
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind, "metadata": metadata, "spec": spec,
	}}
}

type manifests struct{ namespace string }

// key is the manifest of an ApiKey, with what is added to its spec.
func (m manifests) key(more map[string]any) *unstructured.Unstructured {
	spec := map[string]any{"groupRef": map[string]any{"name": "acme"}, "projects": []any{"marketing"}}
	for name, value := range more {
		spec[name] = value
	}
	return m.object("ApiKey", nil, spec)
}

// apply applies a manifest as Flux and Argo CD do, and returns the object as it is then.
func apply(ctx context.Context, c client.Client, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
}

func live[T client.Object](ctx context.Context, w *testenv.World, object T) T {
	GinkgoHelper()
	Expect(testenv.Admin.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: "web"}, object)).To(Succeed())
	return object
}

var _ = Describe("A directory that is applied again and again", func() {
	var w *testenv.World
	var m manifests
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		m = manifests{w.Namespace}
		w.CreateGroup(ctx)
	})

	It("does not revive a key that was revoked, and is not stopped by it", func(ctx SpecContext) {
		Expect(apply(ctx, testenv.Admin, m.key(map[string]any{"revoked": false}))).To(Succeed())
		testenv.Edit(ctx, w.NewKey(), func(k *v1alpha1.ApiKey) { k.Spec.Revoked = ptr.To(true) })
		flux, heard := testenv.As("flux")
		for name, more := range map[string]map[string]any{
			"written out": {"revoked": false}, "taken out": {}, "never there": {}, "null": {"description": "edited"},
		} {
			By(name)
			heard.Texts = nil
			Expect(apply(ctx, flux, m.key(more))).To(Succeed())
			Expect(live(ctx, w, &v1alpha1.ApiKey{}).Spec.Revoked).To(HaveValue(BeTrue()))
			if more["revoked"] == false {
				Expect(heard.Texts).To(ConsistOf(ContainSubstring("spec.revoked: the key is revoked for good")))
			}
		}
		for _, patch := range []string{`{"spec":{"revoked":false}}`, `{"spec":{"revoked":null}}`} {
			heard.Texts = nil
			key := w.NewKey()
			Expect(flux.Patch(ctx, key, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
			Expect(key.Spec.Revoked).To(HaveValue(BeTrue()))
			Expect(heard.Texts).To(ConsistOf(ContainSubstring("create a new ApiKey where a key is needed")))
		}
		Expect(apply(ctx, flux, m.key(map[string]any{"description": "edited", "revoked": false}))).To(Succeed())
		generation := live(ctx, w, &v1alpha1.ApiKey{}).Generation
		Expect(apply(ctx, flux, m.key(map[string]any{"description": "edited", "revoked": false}))).To(Succeed())
		Expect(live(ctx, w, &v1alpha1.ApiKey{}).Generation).To(Equal(generation), "it differs from itself each time")
	})

	It("keeps the true stamps, whatever stamps it has", func(ctx SpecContext) {
		alice, heard := testenv.As("alice")
		exported := m.key(nil)
		exported.SetAnnotations(map[string]string{
			v1alpha1.AnnotationCreatedBy: "admin", v1alpha1.AnnotationChangedBy: "admin", v1alpha1.AnnotationRestored: "nobody",
		})
		stamps := func(created, changed, restored string) {
			GinkgoHelper()
			annotations := live(ctx, w, &v1alpha1.ApiKey{}).Annotations
			Expect(annotations).To(HaveKeyWithValue(v1alpha1.AnnotationCreatedBy, created))
			Expect(annotations).To(HaveKeyWithValue(v1alpha1.AnnotationChangedBy, changed))
			Expect(annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRestored, restored))
		}
		Expect(apply(ctx, alice, exported.DeepCopy())).To(Succeed())
		stamps("alice", "alice", "admin")

		flux, told := testenv.As("flux")
		By("server-side, twice, and in a dry-run")
		for range 2 {
			told.Texts = nil
			Expect(apply(ctx, flux, exported.DeepCopy())).To(Succeed())
			stamps("alice", "alice", "admin")
			Expect(told.Texts).To(ContainElement(ContainSubstring("metadata.annotations[keyward.dev/created-by]: only admission sets it")))
		}
		Expect(apply(ctx, flux, exported.DeepCopy(), client.DryRunAll)).To(Succeed())
		By("as Velero updates what exists, and as kubectl replaces it")
		merge := `{"metadata":{"annotations":{"keyward.dev/created-by":"admin","keyward.dev/changed-by":"admin","keyward.dev/restored-from":null}}}`
		Expect(flux.Patch(ctx, w.NewKey(), client.RawPatch(types.MergePatchType, []byte(merge)))).To(Succeed())
		stamps("alice", "alice", "admin")
		replaced := live(ctx, w, &v1alpha1.ApiKey{})
		replaced.Annotations = map[string]string{v1alpha1.AnnotationChangedBy: "nobody"}
		replaced.Spec.Description = "put in place of it"
		Expect(flux.Update(ctx, replaced)).To(Succeed())
		stamps("alice", "flux", "admin")
		By("with the client's own last configuration")
		heard.Texts = nil
		replaced.Annotations["kubectl.kubernetes.io/last-applied-configuration"] = `{"metadata":{"annotations":{"keyward.dev/created-by":"admin"}}}`
		replaced.Annotations[v1alpha1.AnnotationCreatedBy] = "admin"
		Expect(alice.Update(ctx, replaced)).To(Succeed())
		stamps("alice", "flux", "admin")
		Expect(heard.Texts).To(HaveLen(1))
	})

	DescribeTable("stamps who changes the spec", func(ctx SpecContext, kind string, object client.Object) {
		spec := map[string]any{"groupRef": map[string]any{"name": "acme"}, "projects": []any{"marketing"}}
		if kind == "Group" {
			spec = map[string]any{"displayName": "Web"}
		}
		alice, _ := testenv.As("alice")
		joe, _ := testenv.As("joe")
		changedBy := func(user string) {
			GinkgoHelper()
			object.SetAnnotations(nil)
			Expect(live(ctx, w, object).GetAnnotations()).To(HaveKeyWithValue(v1alpha1.AnnotationChangedBy, user))
		}
		Expect(alice.Create(ctx, m.object(kind, map[string]any{v1alpha1.AnnotationChangedBy: "the king"}, spec))).To(Succeed())
		changedBy("alice")
		patch := func(c client.Client, text string) {
			GinkgoHelper()
			Expect(c.Patch(ctx, m.object(kind, nil, spec), client.RawPatch(types.MergePatchType, []byte(text)))).To(Succeed())
		}
		patch(joe, `{"metadata":{"labels":{"a":"b"},"annotations":{"keyward.dev/changed-by":"alice's boss"}}}`)
		changedBy("alice")
		patch(joe, `{"metadata":{"annotations":{"keyward.dev/changed-by":null}}}`)
		changedBy("alice")
		change := `{"spec":{"description":"changed"},"metadata":{"annotations":{"keyward.dev/changed-by":"alice"}}}`
		switch kind {
		case "Group":
			change = `{"spec":{"displayName":"changed"},"metadata":{"annotations":{"keyward.dev/changed-by":"alice"}}}`
		case "DomainAllowlist":
			change = `{"spec":{"domains":["acme.example"]},"metadata":{"annotations":{"keyward.dev/changed-by":"alice"}}}`
		}
		patch(joe, change)
		changedBy("joe")
	},
		Entry("of an ApiKey", "ApiKey", &v1alpha1.ApiKey{}),
		Entry("of a Group", "Group", &v1alpha1.Group{}),
		Entry("of a DomainAllowlist", "DomainAllowlist", &v1alpha1.DomainAllowlist{}),
	)

	It("takes back a widening by hand, and shows it as a difference", func(ctx SpecContext) {
		list := m.object("DomainAllowlist", nil, map[string]any{
			"groupRef": map[string]any{"name": "acme"}, "projects": []any{"marketing"}, "domains": []any{"good.example"},
		})
		key := m.key(map[string]any{"permissions": []any{"read"}})
		Expect(apply(ctx, testenv.Admin, key.DeepCopy())).To(Succeed())
		Expect(apply(ctx, testenv.Admin, list.DeepCopy())).To(Succeed())
		widen := func(object client.Object, patch string) {
			GinkgoHelper()
			Expect(testenv.Admin.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		}
		widen(w.NewKey(), `{"spec":{"projects":["marketing","product"]}}`)
		widen(w.NewAllowlist(), `{"spec":{"projects":["marketing","product"],"domains":["good.example","evil.example"]}}`)

		dry := key.DeepCopy()
		Expect(apply(ctx, testenv.Admin, dry, client.DryRunAll)).To(Succeed())
		projects, _, _ := unstructured.NestedStringSlice(dry.Object, "spec", "projects")
		Expect(projects).To(Equal([]string{"marketing"}), "no difference is seen")
		Expect(apply(ctx, testenv.Admin, key)).To(Succeed())
		Expect(apply(ctx, testenv.Admin, list)).To(Succeed())
		Expect(live(ctx, w, &v1alpha1.ApiKey{}).Spec.Projects).To(Equal([]v1alpha1.ProjectName{"marketing"}))
		after := live(ctx, w, &v1alpha1.DomainAllowlist{})
		Expect(after.Spec.Projects).To(Equal([]v1alpha1.ProjectName{"marketing"}))
		Expect(after.Spec.Domains).To(Equal([]string{"good.example"}))
	})
})
