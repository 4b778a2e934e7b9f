package apikey_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("The refusal of a Secret", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})
	message := func(key *v1alpha1.ApiKey) string {
		return meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message
	}

	It("by a policy is shown as it is, without advice that ends the key", func(ctx SpecContext) {
		name := "labels-" + w.Namespace
		policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		policy.Spec.MatchConstraints = &admissionregistrationv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.Namespace}},
			ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
			}}},
		}
		policy.Spec.Validations = []admissionregistrationv1.Validation{{
			Expression: "has(object.metadata.labels) && 'team' in object.metadata.labels", Message: "Secrets need the label team, which is immutable",
		}}
		binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}}
		binding.Spec.PolicyName = name
		binding.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}
		for _, object := range []client.Object{policy, binding} {
			Expect(testenv.Admin.Create(ctx, object)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) { Expect(testenv.Admin.Delete(ctx, object)).To(Succeed()) })
		}
		Eventually(func() error { // the policy is in force later than it is created
			probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "probe"}}
			return testenv.Admin.Create(ctx, probe, client.DryRunAll)
		}).ShouldNot(Succeed())
		w.CreateKey(ctx)
		var refused *v1alpha1.ApiKey
		Eventually(func(g Gomega) {
			_, _ = w.ReconcileKey(ctx, "web")
			refused = &v1alpha1.ApiKey{}
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, refused)).To(Succeed())
			testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonSecretRefused)(g, refused)
		}).Should(Succeed())
		Expect(message(refused)).To(And(ContainSubstring("Secrets need the label team"), Not(ContainSubstring("delete it"))))
		testenv.Edit(ctx, refused, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Template.Labels = map[string]v1alpha1.LabelValue{"team": "web"}
		})
		w.ReconcileUntil(ctx, "web", testenv.Ready)
	})

	It("that is immutable says how to replace it", func(ctx SpecContext) {
		key := w.CreateKey(ctx)
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		testenv.Edit(ctx, secret, func(s *corev1.Secret) { s.Immutable = ptr.To(true) })
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
		Eventually(func(g Gomega) {
			_, _ = w.ReconcileKey(ctx, "web")
			g.Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed())
			testenv.HasReason(v1alpha1.ConditionReady, v1alpha1.ReasonSecretRefused)(g, key)
			g.Expect(message(key)).To(ContainSubstring("if the Secret is immutable, undo the change of spec.secret"))
		}).Should(Succeed())
	})
})
