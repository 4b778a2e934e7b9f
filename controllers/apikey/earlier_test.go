package apikey_test

import (
	"context"
	"errors"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

const labelEarlier = "stored-by-an-earlier-version"

// earlier marks an ApiKey that today's admission does not look at.
func earlier(k *v1alpha1.ApiKey) { k.Labels = map[string]string{labelEarlier: "true"} }

// relaxed stores what today's schema and webhooks would refuse, as an earlier version of Keyward may
// have; those of today are back when it returns.
func relaxed(ctx context.Context, store func() error) {
	GinkgoHelper()
	hooks := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	Expect(testenv.Admin.Get(ctx, client.ObjectKey{Name: "keyward-validating"}, hooks)).To(Succeed())
	for i := range hooks.Webhooks {
		hooks.Webhooks[i].ObjectSelector = &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: labelEarlier, Operator: metav1.LabelSelectorOpDoesNotExist}},
		}
	}
	Expect(testenv.Admin.Update(ctx, hooks)).To(Succeed()) // and stays so: nothing else has the label

	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	Expect(testenv.Admin.Get(ctx, client.ObjectKey{Name: "apikeys.keyward.dev"}, crd)).To(Succeed())
	today := crd.DeepCopy()
	replace := func(by func(*unstructured.Unstructured)) {
		GinkgoHelper()
		Eventually(func() error {
			if err := testenv.Admin.Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
				return err
			}
			by(crd)
			return testenv.Admin.Update(ctx, crd)
		}).Should(Succeed())
	}
	replace(func(crd *unstructured.Unstructured) {
		versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
		Expect(err).NotTo(HaveOccurred())
		schema := versions[0].(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
		delete(schema, "x-kubernetes-validations") // they name fields of spec
		delete(versions[0].(map[string]any), "selectableFields")
		schema["properties"].(map[string]any)["spec"] = map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
		Expect(unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions")).To(Succeed())
	})
	defer func() {
		replace(func(crd *unstructured.Unstructured) { crd.Object["spec"] = today.Object["spec"] })
		Eventually(func() error {
			return testenv.Admin.Create(ctx, &v1alpha1.ApiKey{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "probe", Labels: map[string]string{labelEarlier: "true"}},
			}, client.DryRunAll)
		}).Should(MatchError(apierrors.IsInvalid, "IsInvalid"))
	}()
	Eventually(store).Should(Succeed())
}

// waitUntilGone reconciles the key until it is gone.
func waitUntilGone(ctx context.Context, w *testenv.World, name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		_, err := w.ReconcileKey(ctx, name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(testenv.Admin.Get(ctx, w.Request(name).NamespacedName, &v1alpha1.ApiKey{})).To(MatchError(apierrors.IsNotFound,
			"IsNotFound"))
	}).Should(Succeed())
}

var _ = Describe("A key that was stored by an earlier schema", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})

	It("with an invalid name of a Secret says so, and can be deleted", func(ctx SpecContext) {
		relaxed(ctx, func() error {
			return testenv.Admin.Create(ctx, w.NewKey(earlier, testenv.Importing("../../kube-system/x", "a")))
		})
		key := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonImportRefused))
		Expect(key.Status.Conditions).To(ContainElement(HaveField("Message", And(
			ContainSubstring("spec.importFrom.secretKeyRef"), ContainSubstring(`"../../kube-system/x" is no name of a Secret`)))))
		result, err := w.ReconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero(), "it never will be")

		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		waitUntilGone(ctx, w, "web")
	})

	It("with a template that cannot be rendered says so, and can be deleted", func(ctx SpecContext) {
		relaxed(ctx, func() error {
			return testenv.Admin.Create(ctx, w.NewKey(earlier, func(k *v1alpha1.ApiKey) {
				k.Spec.Secret.Template.Data = map[string]v1alpha1.EntryTemplate{"a": v1alpha1.EntryTemplate(strings.Repeat(`{{""}}`, 257))}
			}))
		})
		key := w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionStalled, v1alpha1.ReasonSecretTemplateInvalid))
		result, err := w.ReconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero())
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, &corev1.Secret{})).To(MatchError(apierrors.IsNotFound, "IsNotFound"))
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		waitUntilGone(ctx, w, "web")
	})

	It("is deleted in bounded time, no matter what cannot be read", func(ctx SpecContext) {
		w.CreateKey(ctx)
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, name client.ObjectKey, object client.Object,
				options ...client.GetOption) error {
				if _, is := object.(*corev1.Secret); is {
					return errors.New("the disk is on fire")
				}
				return c.Get(ctx, name, object, options...)
			},
		})
		Expect(testenv.Admin.Delete(ctx, key)).To(Succeed())
		Eventually(func(g Gomega) {
			result, err := w.ReconcileKey(ctx, "web")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.RequeueAfter).To(BeNumerically(">", 0), "the deletion is known, and looked at again soon")
		}).Should(Succeed())
		Expect(testenv.Admin.Get(ctx, w.Request("web").NamespacedName, key)).To(Succeed(), "it is waited for first")
		w.Clock.Step(2 * time.Minute)
		waitUntilGone(ctx, w, "web")
	})
})
