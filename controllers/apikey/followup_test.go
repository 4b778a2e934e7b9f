package apikey_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
)

// define defines a kind of another project, with any fields.
func define(group, kind, plural string) {
	GinkgoHelper()
	_, err := envtest.InstallCRDs(testenv.Config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, Plural: plural},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: ptr.To(true),
				}},
			}},
		},
	}}})
	Expect(err).NotTo(HaveOccurred())
}

// other is an object of another project.
func other(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

func deployment(namespace, name string) *appsv1.Deployment {
	pod := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: name}}},
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: pod},
	}
}

func reloaded(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(testenv.Admin.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
}

var _ = Describe("After a delivery", func() {
	var w *testenv.World
	BeforeEach(func(ctx SpecContext) {
		w = testenv.NewWorld(ctx)
		w.CreateGroup(ctx)
	})

	It("rolls a Rollout in its own way, and says so where there are none", func(ctx SpecContext) {
		key := w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: v1alpha1.WorkloadRollout, Name: "shop"}}
		})
		w.ReconcileUntil(ctx, "web", testenv.Ready)
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
		key = w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionFollowUpPending, v1alpha1.ReasonRestartRefused))
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady).Message).To(
			ContainSubstring("Rollout shop (this cluster has no rollouts of argoproj.io)"))
		Expect(meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())

		define("argoproj.io", "Rollout", "rollouts")
		shop := other("argoproj.io/v1alpha1", "Rollout", w.Namespace, "shop")
		Expect(testenv.Admin.Create(ctx, shop)).To(Succeed())
		key = w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) { g.Expect(k.Status.Versions[1].RestartedAt).NotTo(BeNil()) })
		Expect(meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionFollowUpPending)).To(BeNil())
		reloaded(ctx, shop)
		restartAt, _, err := unstructured.NestedString(shop.Object, "spec", "restartAt")
		Expect(err).NotTo(HaveOccurred())
		Expect(restartAt).To(Equal(key.Status.Versions[1].DeliveredAt.Add(time.Second).UTC().Format(time.RFC3339)))
		Expect(w.Events()).To(ContainSubstring("rolled for version 2"))
	})

	It("rolls a workload once for two keys that rotate together", func(ctx SpecContext) {
		shop := deployment(w.Namespace, "shop")
		Expect(testenv.Admin.Create(ctx, shop)).To(Succeed())
		names := []string{"web", "api"}
		keys := map[string]*v1alpha1.ApiKey{}
		for _, name := range names {
			keys[name] = w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
				k.Name = name
				k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: "Deployment", Name: "shop"}}
			})
			w.ReconcileUntil(ctx, name, testenv.Ready)
		}
		reloaded(ctx, shop)
		generation := shop.Generation
		conflicts := map[string]bool{} // the status that has the delivery is refused once: the next plan finds a pending version
		w.Keys.Client = interceptor.NewClient(testenv.NewClient(), interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, subresource string, object client.Object,
				patch client.Patch, options ...client.SubResourcePatchOption) error {
				k, ok := object.(*v1alpha1.ApiKey)
				if ok && len(k.Status.Versions) == 2 && k.Status.Versions[1].DeliveredAt != nil && !conflicts[k.Name] {
					conflicts[k.Name] = true
					return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), k.Name, nil)
				}
				return c.SubResource(subresource).Patch(ctx, object, patch, options...)
			},
		})
		for i, name := range names {
			testenv.Edit(ctx, keys[name], func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
			keys[name] = w.ReconcileUntil(ctx, name, func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(k.Status.Versions).To(HaveLen(2))
				testenv.Ready(g, k)
			})
			Expect(keys[name].Status.Versions[1].RestartedAt).To(BeNil(), "it does not wait for the other")
			if i == 0 {
				w.Clock.Step(3 * time.Second)
			}
		}
		Expect(conflicts).To(HaveLen(2))
		w.Clock.Step(10 * time.Second)
		for _, name := range names {
			keys[name] = w.ReconcileUntil(ctx, name, func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(k.Status.Versions[1].RestartedAt).NotTo(BeNil())
			})
		}
		reloaded(ctx, shop)
		Expect(shop.Generation).To(Equal(generation+1), "rolled more than once")
		for _, key := range keys {
			Expect(shop.Spec.Template.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRestartPrefix+key.Status.KeyID, "2"))
		}
	})

	It("notifies a PushSecret of each version, once", func(ctx SpecContext) {
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Secret.Notify = []v1alpha1.Notified{{Kind: v1alpha1.NotifiedPushSecret, Name: "vault"}}
		})
		w.ReconcileUntil(ctx, "web", testenv.HasReason(v1alpha1.ConditionFollowUpPending, v1alpha1.ReasonNotifyRefused))
		Expect(w.Events()).To(ContainSubstring("PushSecret vault (this cluster has no pushsecrets of external-secrets.io)"))

		define("external-secrets.io", "PushSecret", "pushsecrets")
		vault := other("external-secrets.io/v1alpha1", "PushSecret", w.Namespace, "vault")
		Expect(testenv.Admin.Create(ctx, vault)).To(Succeed())
		notified := func(version int) func(Gomega, *v1alpha1.ApiKey) {
			return func(g Gomega, k *v1alpha1.ApiKey) {
				g.Expect(k.Status.Versions).To(HaveLen(version))
				g.Expect(k.Status.Versions[version-1].NotifiedAt).NotTo(BeNil())
				testenv.Ready(g, k)
			}
		}
		key := w.ReconcileUntil(ctx, "web", notified(1))
		reloaded(ctx, vault)
		Expect(vault.GetAnnotations()).To(HaveKeyWithValue("force-sync", key.Status.KeyID+"-1"))
		testenv.Edit(ctx, key, func(k *v1alpha1.ApiKey) { k.Spec.Rotation.Trigger = "now" })
		key = w.ReconcileUntil(ctx, "web", notified(2))
		reloaded(ctx, vault)
		Expect(vault.GetAnnotations()).To(HaveKeyWithValue("force-sync", key.Status.KeyID+"-2"))
		version := vault.GetResourceVersion()
		_, err := w.ReconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		reloaded(ctx, vault)
		Expect(vault.GetResourceVersion()).To(Equal(version))
	})

	It("is not for what needs nothing, or cannot be rolled", func(ctx SpecContext) {
		for kind, want := range map[v1alpha1.WorkloadKind]string{
			"CronJob":    "a CronJob needs no restart: each of its Jobs reads the Secret when it starts",
			"ReplicaSet": "write Deployment, StatefulSet, DaemonSet or Rollout",
		} {
			key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.Secret.Restart = []v1alpha1.Workload{{Kind: kind, Name: "x"}} })
			Expect(testenv.Admin.Create(ctx, key)).To(MatchError(ContainSubstring(want)))
		}
	})

	It("has a schedule with windows that are checked", func(ctx SpecContext) {
		for want, rotation := range map[string]v1alpha1.Rotation{
			"set every, or remove them":  {Window: &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sun"}}},
			"the window has no length":   {Every: "60d", Window: &v1alpha1.RotationWindow{From: "02:00", To: "02:00"}},
			"spec.rotation.window.from":  {Every: "60d", Window: &v1alpha1.RotationWindow{From: "24:00"}},
			"spec.rotation.window.days":  {Every: "60d", Window: &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sunday"}}},
			"no IANA time zone":          {Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "Europe/Atlantis"}},
			"spec.rotation.window.timeZ": {Every: "60d", Window: &v1alpha1.RotationWindow{TimeZone: "../etc"}},
			"write at least 8d":          {Every: "7d", Window: &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sun"}}},
			"longer than half of every":  {Every: "10d", Jitter: "6d"},
		} {
			key := w.NewKey(func(k *v1alpha1.ApiKey) { k.Spec.Rotation = rotation })
			Expect(testenv.Admin.Create(ctx, key)).To(MatchError(ContainSubstring(want)))
		}
		w.CreateKey(ctx, func(k *v1alpha1.ApiKey) {
			k.Spec.Rotation = v1alpha1.Rotation{
				Every: "60d", Window: &v1alpha1.RotationWindow{Days: []v1alpha1.Weekday{"Sun"}, From: "02:00", To: "04:00", TimeZone: "Europe/Berlin"},
			}
		})
		key := w.ReconcileUntil(ctx, "web", testenv.Ready)
		berlin, err := time.LoadLocation("Europe/Berlin")
		Expect(err).NotTo(HaveOccurred())
		at := key.Status.NextRotationAt.In(berlin)
		Expect(at.Weekday()).To(Equal(time.Sunday))
		Expect(at.Hour()).To(BeElementOf(2, 3))
		secret, err := w.Secret(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(secret.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRotatesAt, at.UTC().Format(time.RFC3339)))

		w.Clock.SetTime(at.Add(-time.Second))
		_, err = w.ReconcileKey(ctx, "web")
		Expect(err).NotTo(HaveOccurred())
		reloaded(ctx, key)
		Expect(key.Status.Versions).To(HaveLen(1))
		w.Clock.SetTime(at)
		w.ReconcileUntil(ctx, "web", func(g Gomega, k *v1alpha1.ApiKey) {
			g.Expect(k.Status.Versions).To(HaveLen(2))
			g.Expect(k.Status.Versions[1].Cause).To(Equal(v1alpha1.CauseScheduled))
			testenv.Ready(g, k)
		})
	})
})
