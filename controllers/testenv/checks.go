package testenv

import (
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Ready checks that the key is ready, and that nothing is left to do for it.
func Ready(g Gomega, key *v1alpha1.ApiKey) {
	g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "%+v", key.Status)
	g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionAccepted)).To(BeTrue(), "%+v", key.Status)
	g.Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReconciling)).To(BeFalse())
}

// HasReason is a check for the reason of one of a key's conditions.
func HasReason(kind, reason string) func(Gomega, *v1alpha1.ApiKey) {
	return func(g Gomega, key *v1alpha1.ApiKey) {
		condition := meta.FindStatusCondition(key.Status.Conditions, kind)
		g.Expect(condition).NotTo(BeNil())
		g.Expect(condition.Reason).To(Equal(reason), condition.Message)
	}
}
