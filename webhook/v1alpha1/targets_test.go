package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Objects that an ApiKey has the manager patch", func() {
	It("are those that its author may patch, in the API group that they have", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		c := pipeline(ctx, w, "targets")
		create := func() error {
			return c.Create(ctx, w.NewKey(func(k *v1alpha1.ApiKey) {
				k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: v1alpha1.WorkloadRollout, Name: "shop"}}
				k.Spec.Secret.Notify = []v1alpha1.Notified{{Kind: v1alpha1.NotifiedPushSecret, Name: "vault"}}
			}), client.DryRunAll)
		}
		may := func(name string, rule rbacv1.PolicyRule) {
			meta := metav1.ObjectMeta{Namespace: w.Namespace, Name: name}
			rule.Verbs = []string{"patch"}
			Expect(testenv.Admin.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{rule}})).To(Succeed())
			Expect(testenv.Admin.Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
				Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:authenticated"}},
			})).To(Succeed())
		}
		Expect(create()).To(MatchError(And(ContainSubstring("spec.secret.restart[0]"), ContainSubstring("spec.secret.notify[0]"))))
		may("rollouts", rbacv1.PolicyRule{APIGroups: []string{"argoproj.io"}, Resources: []string{"rollouts"}})
		Eventually(create).Should(MatchError(And(Not(ContainSubstring("spec.secret.restart[0]")), ContainSubstring("spec.secret.notify[0]"))))
		may("pushsecrets", rbacv1.PolicyRule{APIGroups: []string{"external-secrets.io"}, Resources: []string{"pushsecrets"}})
		Eventually(create).Should(Succeed())
	})
})
