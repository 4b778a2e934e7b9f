package testenv

import (
	"context"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
)

// expectKnownConditions requires that the table of conditions has each condition of the world's objects, with its
// reason.
func (w *World) expectKnownConditions(ctx context.Context) {
	GinkgoHelper()
	expect := func(kind, name string, generation int64, all []metav1.Condition) {
		GinkgoHelper()
		for _, c := range all {
			known := slices.ContainsFunc(conditions.Types(), func(t conditions.Type) bool {
				return t.Name == c.Type && slices.Contains(t.Kinds, kind) && (!t.OnlyWhileTrue || c.Status == metav1.ConditionTrue) &&
					slices.ContainsFunc(t.Reasons, func(r conditions.Reason) bool { return r.Name == c.Reason })
			})
			Expect(known).To(BeTrue(), "the table of conditions does not have, for %s %s: %+v", kind, name, c)
			Expect(c.ObservedGeneration).To(BeNumerically("<=", generation))
		}
	}
	var keys v1alpha1.ApiKeyList
	Expect(Admin.List(ctx, &keys, client.InNamespace(w.Namespace))).To(Succeed())
	for i := range keys.Items {
		expect(conditions.ApiKey, keys.Items[i].Name, keys.Items[i].Generation, keys.Items[i].Status.Conditions)
	}
	var groups v1alpha1.GroupList
	Expect(Admin.List(ctx, &groups, client.InNamespace(w.Namespace))).To(Succeed())
	for i := range groups.Items {
		expect(conditions.Group, groups.Items[i].Name, groups.Items[i].Generation, groups.Items[i].Status.Conditions)
	}
	var lists v1alpha1.DomainAllowlistList
	Expect(Admin.List(ctx, &lists, client.InNamespace(w.Namespace))).To(Succeed())
	for i := range lists.Items {
		expect(conditions.DomainAllowlist, lists.Items[i].Name, lists.Items[i].Generation, lists.Items[i].Status.Conditions)
	}
	var requests v1alpha1.KeyRequestList
	Expect(Admin.List(ctx, &requests, client.InNamespace(w.Namespace))).To(Succeed())
	for i := range requests.Items {
		expect(conditions.KeyRequest, requests.Items[i].Name, requests.Items[i].Generation, requests.Items[i].Status.Conditions)
	}
}
