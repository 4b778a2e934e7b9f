package apikey_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

var _ = Describe("Messages", func() {
	var w, other *testenv.World
	BeforeEach(func(ctx SpecContext) { w, other = testenv.NewWorld(ctx), testenv.NewWorld(ctx) })

	// imports makes an ApiKey that imports the text, and returns why it cannot.
	imports := func(ctx context.Context, w *testenv.World, name, text string) string {
		GinkgoHelper()
		Expect(client.IgnoreAlreadyExists(testenv.Admin.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "legacy"}, StringData: map[string]string{"token": text},
		}))).To(Succeed())
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Name = name
			k.Spec.ImportFrom = &v1alpha1.ImportSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "legacy", Key: "token"}}
		})
		message := ""
		w.ReconcileUntil(ctx, name, func(g Gomega, key *v1alpha1.ApiKey) {
			for _, c := range key.Status.Conditions {
				if c.Type == v1alpha1.ConditionReady {
					message = c.Message
				}
			}
			g.Expect(message).To(Or(ContainSubstring("already"), ContainSubstring("accepted")))
		})
		return message
	}

	It("name an ApiKey with the same text only in the same namespace", func(ctx SpecContext) {
		w.CreateGroup(ctx)
		other.CreateGroup(ctx)
		imports(ctx, other, "secret-project", "legacy-platform/"+w.Namespace)
		Eventually(func(g Gomega) {
			var keys v1alpha1.ApiKeyList
			g.Expect(testenv.Manager.GetClient().List(ctx, &keys, client.InNamespace(other.Namespace))).To(Succeed())
			g.Expect(keys.Items[0].Status.Versions).NotTo(BeEmpty())
		}).Should(Succeed())
		message := imports(ctx, w, "mine", "legacy-platform/"+w.Namespace)
		Expect(message).To(ContainSubstring("another ApiKey"))
		Expect(message + w.Events()).NotTo(Or(ContainSubstring(other.Namespace), ContainSubstring("secret-project")))

		imports(ctx, other, "neighbour", "legacy-platform/"+w.Namespace)
		Expect(other.Events()).To(ContainSubstring("ApiKey secret-project"))
	})
})
