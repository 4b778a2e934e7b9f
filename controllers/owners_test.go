package controllers_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("An owner that a Group has", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) { w = testenv.NewWorld(ctx) })

	It("cannot be changed, because a change can make the garbage collector delete the Group", func(ctx SpecContext) {
		user := w.Namespace + ":writer"
		bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{"keyward.dev"}, Resources: []string{"groups"}, Verbs: groupVerbs})
		writer, _ := testenv.AsUser(user)
		owner := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "tenant", UID: "u"}
		other := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "another", UID: "v"}
		group := w.CreateGroup(ctx, frozen, func(g *v1alpha1.Group) { g.OwnerReferences = []metav1.OwnerReference{owner, other} })
		refused := MatchError(ContainSubstring("metadata.ownerReferences: Forbidden"))
		for name, change := range map[string]func(*metav1.OwnerReference){
			"name":               func(r *metav1.OwnerReference) { r.Name = "gone" },
			"kind":               func(r *metav1.OwnerReference) { r.Kind = "Secret" },
			"apiVersion":         func(r *metav1.OwnerReference) { r.APIVersion = "v2" },
			"uid":                func(r *metav1.OwnerReference) { r.UID = "w" },
			"controller":         func(r *metav1.OwnerReference) { r.Controller = ptr.To(true) },
			"blockOwnerDeletion": func(r *metav1.OwnerReference) { r.BlockOwnerDeletion = ptr.To(true) },
		} {
			changed := group.DeepCopy()
			change(&changed.OwnerReferences[0])
			Eventually(func() error { return writer.Update(ctx, changed, client.DryRunAll) }).Should(refused, name)
		}
		swapped := group.DeepCopy()
		swapped.OwnerReferences[0].Name, swapped.OwnerReferences[1].Name = other.Name, owner.Name
		Expect(writer.Update(ctx, swapped, client.DryRunAll)).To(refused)

		By("being let go, or listed in another order, which changes nothing")
		reordered := group.DeepCopy()
		reordered.OwnerReferences = []metav1.OwnerReference{other, owner}
		Expect(writer.Update(ctx, reordered, client.DryRunAll)).To(Succeed())
		fewer := group.DeepCopy()
		fewer.OwnerReferences = []metav1.OwnerReference{other}
		Expect(writer.Update(ctx, fewer, client.DryRunAll)).To(Succeed())

		By("being changed by the garbage collector, which resolves circles of owners so, and by who may manage")
		unblocked := group.DeepCopy()
		unblocked.OwnerReferences[0].BlockOwnerDeletion = ptr.To(false)
		collector, _ := testenv.AsUser("system:serviceaccount:kube-system:generic-garbage-collector")
		Expect(collector.Update(ctx, unblocked, client.DryRunAll)).To(Succeed())
		Expect(testenv.Admin.Update(ctx, unblocked, client.DryRunAll)).To(Succeed())
	})
})
