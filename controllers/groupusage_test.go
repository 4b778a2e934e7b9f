package controllers_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("A GroupUsage", func() {
	var (
		w     *testenv.World
		group *v1alpha1.Group
		usage *v1alpha1.GroupUsage
	)
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		group = w.CreateGroup(ctx)
		usage = &v1alpha1.GroupUsage{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: group.Name}}
		Expect(testenv.Admin.Create(ctx, usage)).To(Succeed())
		Eventually(func() error { // admission asks the cache whether there is a Group
			return testenv.Manager.GetClient().Get(ctx, client.ObjectKeyFromObject(group), &v1alpha1.Group{})
		}).Should(Succeed())
	})
	// writer may write all of Keyward's objects in the namespace, but not manage Groups.
	writer := func(ctx SpecContext) client.Client {
		GinkgoHelper()
		user := w.Namespace + ":writer"
		bindRule(ctx, w, user, rbacv1.PolicyRule{APIGroups: []string{"keyward.dev"}, Resources: []string{"groupusages"}, Verbs: groupVerbs})
		c, _ := testenv.AsUser(user)
		Eventually(func() error { return c.Get(ctx, client.ObjectKeyFromObject(usage), &v1alpha1.GroupUsage{}) }).Should(Succeed())
		return c
	}
	by := func(group *v1alpha1.Group) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Group", Name: group.Name, UID: group.UID}}
	}

	It("is not deleted while its Group exists, except by the platform", func(ctx SpecContext) {
		c := writer(ctx)
		Expect(c.Delete(ctx, usage)).To(MatchError(And(ContainSubstring("the deletion would remove what was used"),
			ContainSubstring("keyward-platform"))))
		Expect(c.DeleteAllOf(ctx, usage, client.InNamespace(w.Namespace))).To(MatchError(ContainSubstring("keyward-platform")))
		Expect(testenv.Admin.Delete(ctx, usage)).To(Succeed())
	})

	It("is given no other owner, with which it would be deleted", func(ctx SpecContext) {
		c := writer(ctx)
		gone := usage.DeepCopy()
		gone.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "u"}}
		Expect(c.Update(ctx, gone)).To(MatchError(ContainSubstring("keyward-platform")))
		stale := usage.DeepCopy()
		stale.OwnerReferences = by(group)
		stale.OwnerReferences[0].UID = "of-a-group-before"
		Expect(c.Update(ctx, stale)).To(MatchError(ContainSubstring("keyward-platform")))
		owned := usage.DeepCopy()
		owned.OwnerReferences = by(group)
		Expect(c.Update(ctx, owned)).To(Succeed(), "as the manager does")
	})

	It("is deleted by whoever may, after its Group", func(ctx SpecContext) {
		c := writer(ctx)
		Expect(testenv.Admin.Delete(ctx, group)).To(Succeed())
		Eventually(func() error { return c.Delete(ctx, usage) }).Should(Succeed())
	})

	It("has a status that nobody writes who may write the rest", func(ctx SpecContext) {
		c := writer(ctx)
		usage.Status.GroupUID = "forged"
		Expect(c.Status().Update(ctx, usage)).To(MatchError(ContainSubstring("forbidden")))
		Expect(c.Update(ctx, usage)).To(Succeed())
		Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(usage), usage)).To(Succeed())
		Expect(usage.Status.GroupUID).To(BeEmpty())
	})
})
