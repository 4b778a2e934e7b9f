package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("A sealed context", func() {
	It("is written by who may manage the Group and read its Secrets", func(ctx SpecContext) {
		w := testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
		groups := rbacv1.PolicyRule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"groups"}, Verbs: []string{"get", "update", "manage"},
		}
		without := pipeline(ctx, w, "without", groups, rule("get", "", "secrets", "mail"))
		with := pipeline(ctx, w, "with", groups, rule("get", "", "secrets", "mail", "payments"))
		owner := pipeline(ctx, w, "owner", rbacv1.PolicyRule{APIGroups: groups.APIGroups, Resources: groups.Resources, Verbs: []string{"get", "update"}},
			rule("get", "", "secrets", "mail", "payments"))
		declare := func(as client.Client, secrets ...string) error {
			group := &v1alpha1.Group{}
			if err := as.Get(ctx, w.Request("acme").NamespacedName, group); err != nil {
				return err
			}
			group.Spec.DisplayName, group.Spec.SealedContext = "Acme with "+secrets[0], nil
			for _, name := range secrets {
				group.Spec.SealedContext = append(group.Spec.SealedContext, v1alpha1.SealedContext{
					Name: v1alpha1.ContextName(name), SecretKeyRef: v1alpha1.SecretKeyReference{Name: name, Key: "token"},
				})
			}
			return as.Update(ctx, group)
		}
		err := declare(without, "mail", "payments")
		Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
		Expect(err).To(MatchError(And(ContainSubstring("spec.sealedContext[1].secretKeyRef.name: Forbidden"), ContainSubstring(`may not get Secret "payments"`),
			Not(ContainSubstring("sealedContext[0]")))))
		Expect(declare(owner, "mail")).To(MatchError(And(ContainSubstring("spec.sealedContext: Forbidden"), ContainSubstring("the verb manage"))))
		Expect(declare(without, "mail")).To(Succeed())
		Expect(declare(with, "mail", "payments")).To(Succeed())
		Expect(declare(without, "payments", "mail")).To(Succeed(), "what is there already is not asked for again")
		Expect(declare(without, "mail")).To(Succeed())
		Expect(declare(without, "payments")).NotTo(Succeed(), "and is once it was removed")
	})
})
