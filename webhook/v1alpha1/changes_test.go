package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/specchange"
)

var _ = Describe("The changes of an object", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })
	changes := func(ctx SpecContext, object client.Object) []specchange.Change {
		GinkgoHelper()
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
		return specchange.Of(object.GetAnnotations())
	}

	It("are stamped with who made them, how, and what they were", func(ctx SpecContext) {
		jane, warned := testenv.Impersonate("jane", "platform", "system:masters")
		group := &v1alpha1.Group{}
		group.Namespace, group.Name, group.Spec.Tier = w.Namespace, "acme", "Pro"
		group.Annotations = map[string]string{v1alpha1.AnnotationChanges: `[{"generation":1,"spec":true,"user":"nobody","via":"kubectl"}]`}
		Expect(jane.Create(ctx, group, client.FieldOwner("kubectl-create"))).To(Succeed())
		Expect(warned.Texts).To(BeEmpty())
		created := changes(ctx, group)
		Expect(created).To(HaveLen(1))
		Expect(created[0]).To(And(HaveField("User", "jane"), HaveField("Via", "kubectl"), HaveField("Generation", group.Generation),
			HaveField("Groups", ContainElement("platform")), HaveField("Spec", true)))
		Expect(created[0].Fields).To(ContainElement(specchange.Field{Path: "spec.tier", After: "Pro"}))

		joe, _ := testenv.As("joe")
		group.Spec.Tier, group.Spec.Limits.RequestsPerMonth = "Business", ptr.To[int64](1_000_000)
		Expect(joe.Update(ctx, group)).To(Succeed())
		edited := changes(ctx, group)
		Expect(edited).To(HaveLen(2))
		Expect(edited[1]).To(And(HaveField("User", "joe"), HaveField("Via", "other"), HaveField("Generation", group.Generation)))
		Expect(edited[1].Fields).To(ConsistOf(specchange.Field{Path: "spec.tier", Before: "Pro", After: "Business"},
			specchange.Field{Path: "spec.limits.requestsPerMonth", After: "1000000"}))
	})

	It("cannot be forged, and are not changed by what changes nothing", func(ctx SpecContext) {
		group := w.CreateGroup(ctx)
		before := changes(ctx, group)
		joe, _ := testenv.As("joe")
		for _, patch := range []string{
			`{"metadata":{"annotations":{"keyward.dev/changes":null}}}`,
			`{"metadata":{"annotations":{"keyward.dev/changes":"[]"},"labels":{"a":"b"}}}`,
			`{"metadata":{"annotations":{"keyward.dev/changes":"[{\"generation\":1,\"user\":\"nobody\"}]"}}}`,
		} {
			Expect(joe.Patch(ctx, group, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
			Expect(changes(ctx, group)).To(Equal(before))
		}
	})

	It("have requests of rotations", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		key := w.CreateKey(ctx)
		joe, _ := testenv.As("joe")
		patch := `{"metadata":{"annotations":{"keyward.dev/rotate-requested-at":"2026-11-27T08:00:00Z"}}}`
		Expect(joe.Patch(ctx, key, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		all := changes(ctx, key)
		Expect(all).To(HaveLen(2))
		Expect(all[1]).To(And(HaveField("User", "joe"), HaveField("Spec", false), HaveField("Generation", key.Generation)))
		Expect(all[1].Fields).To(ConsistOf(specchange.Field{Path: specchange.FieldRequest, After: "2026-11-27T08:00:00Z"}))
	})

	It("have who deletes the object, and nobody else writes that", func(ctx SpecContext) {
		joe, warned := testenv.Impersonate("joe", "dev", "system:masters")
		w.CreateGroup(ctx)
		list := w.NewAllowlist(func(l *v1alpha1.DomainAllowlist) { l.Finalizers = []string{"keyward.dev/spec"} })
		Expect(testenv.Admin.Create(ctx, list)).To(Succeed())
		key := w.CreateKey(ctx)
		for _, object := range []client.Object{list, key} {
			forged := `{"metadata":{"annotations":{"keyward.dev/deleted-by":"{\"user\":\"nobody\"}"}}}`
			Expect(joe.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(forged)))).To(Succeed())
			Expect(object.GetAnnotations()).NotTo(HaveKey(v1alpha1.AnnotationDeletedBy))
			Expect(joe.Delete(ctx, object, client.DryRunAll)).To(Succeed())
			Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			Expect(object.GetAnnotations()).NotTo(HaveKey(v1alpha1.AnnotationDeletedBy))

			Expect(joe.Delete(ctx, object)).To(Succeed())
			Expect(warned.Texts).To(BeEmpty())
			Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			Expect(object.GetDeletionTimestamp()).NotTo(BeNil())
			Expect(specchange.Deletion(object.GetAnnotations())).To(HaveValue(And(HaveField("User", "joe"), HaveField("Groups", ContainElement("dev")))))
			jane, _ := testenv.As("jane")
			Expect(jane.Delete(ctx, object)).To(Succeed())
			Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			Expect(specchange.Deletion(object.GetAnnotations()).User).To(Equal("joe"), "it is deleted already")
		}
		Expect(testenv.Admin.Patch(ctx, list, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
	})
})
