package v1alpha1_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/testenv"
	"github.com/keyward-dev/keyward/internal/inject"
)

// newNamespace creates a namespace with the labels and annotations.
func newNamespace(ctx context.Context, labels, annotations map[string]string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "inject-", Labels: labels, Annotations: annotations}}
	Expect(testenv.Admin.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

var enabled = map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled}

// contentPod is a Pod that Pod Security "restricted" allows.
func contentPod(namespace string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, GenerateName: "content-",
		Labels:      map[string]string{"app": "content", v1alpha1.LabelInject: v1alpha1.InjectValidator},
		Annotations: map[string]string{v1alpha1.AnnotationGroup: "acme"},
	}}
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	pod.Spec.ServiceAccountName = "content" // which the API server of tests does not fill in
	pod.Spec.Containers = []corev1.Container{{
		Name: "content", Image: "acme/content:1",
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}}
	for _, f := range change {
		f(pod)
	}
	return pod
}

// sidecars are the init containers that Keyward has added.
func sidecars(pod *corev1.Pod) (added []corev1.Container) {
	for _, c := range pod.Spec.InitContainers {
		if c.Name == inject.ContainerName {
			added = append(added, c)
		}
	}
	return added
}

// called is how many reviews the webhook at the path has answered.
func called(path string) float64 {
	GinkgoHelper()
	families, err := metrics.Registry.(prometheus.Gatherer).Gather()
	Expect(err).NotTo(HaveOccurred())
	total := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_webhook_requests_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "webhook" && label.GetValue() == path {
					total += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return total
}

var _ = Describe("Each webhook", func() {
	It("has series for reviews that it cannot decide", func() {
		text, err := os.ReadFile("../../config/webhook/manifests.yaml")
		Expect(err).NotTo(HaveOccurred())
		paths := regexp.MustCompile(`(?m)^ +path: (/\S+)$`).FindAllSubmatch(text, -1)
		Expect(len(paths)).To(BeNumerically(">=", 8))
		families, err := metrics.Registry.(prometheus.Gatherer).Gather()
		Expect(err).NotTo(HaveOccurred())
		counted := map[string]bool{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				for _, label := range metric.GetLabel() {
					counted[family.GetName()+label.GetName()+label.GetValue()] = true
				}
			}
		}
		for _, path := range paths {
			Expect(counted).To(HaveKey("keyward_admission_failures_total" + "webhook" + string(path[1])))
		}
	})
})

var _ = Describe("A labelled Pod", func() {
	It("gets its sidecar where the namespace allows it, under Pod Security restricted, and its port keeps its name", func(ctx SpecContext) {
		namespace := newNamespace(ctx, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled,
			"pod-security.kubernetes.io/enforce": "restricted"}, nil)
		pod := contentPod(namespace)
		Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
		Expect(sidecars(pod)).To(HaveLen(1))
		Expect(sidecars(pod)[0].Args).To(ContainElement("--group=" + namespace + "/acme"))
		Expect(sidecars(pod)[0].Ports[0]).To(Equal(corev1.ContainerPort{Name: "http", ContainerPort: 28080, Protocol: "TCP"}))
		Expect(pod.Spec.Containers[0].Ports).To(Equal([]corev1.ContainerPort{{ContainerPort: 8080, Protocol: "TCP"}}))

		loose := contentPod(namespace, func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext = nil })
		Expect(testenv.Admin.Create(ctx, loose)).To(MatchError(ContainSubstring(`container "content" must set`)),
			"the namespace is restricted")
	})

	It("of a Job gets one, too, with the Group that its namespace has as a default", func(ctx SpecContext) {
		namespace := newNamespace(ctx, enabled, map[string]string{v1alpha1.AnnotationGroup: "tenants/globex"})
		pod := contentPod(namespace, func(p *corev1.Pod) {
			p.Annotations, p.Spec.RestartPolicy = nil, corev1.RestartPolicyNever
		})
		Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
		Expect(sidecars(pod)).To(HaveLen(1))
		Expect(sidecars(pod)[0].Args).To(ContainElement("--group=tenants/globex"))
		Expect(sidecars(pod)[0].RestartPolicy).To(HaveValue(Equal(corev1.ContainerRestartPolicyAlways)))
	})

	It("is refused for all its problems at once", func(ctx SpecContext) {
		namespace := newNamespace(ctx, enabled, nil)
		pod := contentPod(namespace, func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationProject: "Marketing", v1alpha1.AnnotationOptions: "listen=0.0.0.0"}
		})
		err := testenv.Admin.Create(ctx, pod)
		Expect(err).To(MatchError(apierrors.IsInvalid, "IsInvalid"))
		Expect(causes(err)).To(ConsistOf(
			"FieldValueInvalid metadata.annotations[keyward.dev/project]",
			"FieldValueNotSupported metadata.annotations[keyward.dev/options]",
			"FieldValueRequired metadata.annotations[keyward.dev/group]"))
	})

	It("is shown with its sidecar by a dry run, which stores nothing", func(ctx SpecContext) {
		namespace := newNamespace(ctx, enabled, nil)
		pod := contentPod(namespace)
		Expect(testenv.Admin.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		Expect(sidecars(pod)).To(HaveLen(1))
		stored := &corev1.PodList{}
		Expect(testenv.Admin.List(ctx, stored, client.InNamespace(namespace))).To(Succeed())
		Expect(stored.Items).To(BeEmpty())
	})

	It("is refused in a namespace that does not allow sidecars, because its content would be open", func(ctx SpecContext) {
		namespace := newNamespace(ctx, nil, nil)
		Expect(testenv.Admin.Create(ctx, contentPod(namespace))).To(MatchError(ContainSubstring(
			"kubectl label namespace " + namespace + " keyward.dev/injection=enabled")))
	})

	It("with another value of the label is refused, or left as it is if that is disabled", func(ctx SpecContext) {
		for _, labels := range []map[string]string{enabled, nil} {
			namespace := newNamespace(ctx, labels, nil)
			valued := func(value string) *corev1.Pod {
				return contentPod(namespace, func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = value })
			}
			Expect(testenv.Admin.Create(ctx, valued("true"))).To(MatchError(
				ContainSubstring(`metadata.labels[keyward.dev/inject]: Unsupported value: "true": supported values: "validator", "disabled"`)))
			pod := valued("disabled")
			Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
			Expect(sidecars(pod)).To(BeEmpty())
		}
	})

	It("of the shipped sample gets one, and its Service finds the sidecar", func(ctx SpecContext) {
		namespace := newNamespace(ctx, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionEnabled,
			"pod-security.kubernetes.io/enforce": "restricted"}, nil)
		text, err := os.ReadFile("../../config/samples/sidecar/content.yaml")
		Expect(err).NotTo(HaveOccurred())
		deployment, service := &appsv1.Deployment{}, &corev1.Service{}
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			kind := &metav1.TypeMeta{}
			Expect(yaml.Unmarshal(document, kind)).To(Succeed())
			switch kind.Kind {
			case "Deployment":
				Expect(yaml.UnmarshalStrict(document, deployment)).To(Succeed())
			case "Service":
				Expect(yaml.UnmarshalStrict(document, service)).To(Succeed())
			}
		}
		before := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
		pod := before.DeepCopy()
		pod.Namespace, pod.GenerateName = namespace, "content-"
		Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
		Expect(inject.CheckServices(before, pod, []corev1.Service{*service})).To(Equal([]inject.Finding{
			{ThroughSidecar: true, Message: "Service content, port 80: targetPort http leads to the sidecar."}}))
	})

	It("that is created again as it is stored keeps its sidecar", func(ctx SpecContext) {
		namespace := newNamespace(ctx, enabled, nil)
		pod := contentPod(namespace)
		Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
		copied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "copy", Labels: pod.Labels, Annotations: pod.Annotations,
		}, Spec: *pod.Spec.DeepCopy()}
		Expect(testenv.Admin.Create(ctx, copied)).To(Succeed())
		Expect(copied.Spec.InitContainers).To(Equal(pod.Spec.InitContainers))
	})
})

// mutate serves a webhook of somebody else that changes Pods of the namespace after Keyward's.
func mutate(ctx context.Context, namespace string, change func(*corev1.Pod)) {
	GinkgoHelper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		review := &admissionv1.AdmissionReview{}
		pod := &corev1.Pod{}
		if json.NewDecoder(r.Body).Decode(review) != nil || json.Unmarshal(review.Request.Object.Raw, pod) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		change(pod)
		patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": pod.Spec}})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{
			UID: review.Request.UID, Allowed: true, Patch: patch, PatchType: ptr.To(admissionv1.PatchTypeJSONPatch),
		}
		_ = json.NewEncoder(w).Encode(review)
	}))
	DeferCleanup(server.Close)
	authority := pemOf(server.Certificate())
	hook := admissionregistrationv1.MutatingWebhook{
		Name:                    "others.example.com",
		ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: ptr.To(server.URL + "/"), CABundle: authority},
		Rules:                   podCreations,
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1"},
		NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
	}
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "zz-later-"}, Webhooks: []admissionregistrationv1.MutatingWebhook{hook},
	}
	Expect(testenv.Admin.Create(ctx, configuration)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(testenv.Admin.Delete(ctx, configuration)).To(Succeed()) })
	Eventually(func(g Gomega) { // the API server notices after a moment
		probe := contentPod(namespace, func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelInject) })
		was := probe.Spec.DeepCopy()
		g.Expect(testenv.Admin.Create(ctx, probe, client.DryRunAll)).To(Succeed())
		g.Expect(probe.Spec.Containers).NotTo(HaveLen(len(was.Containers)))
	}).Should(Succeed())
}

var podCreations = []admissionregistrationv1.RuleWithOperations{{
	Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
	Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
}}

var _ = Describe("Beside another webhook that changes Pods later", func() {
	var namespace string
	BeforeEach(func(ctx SpecContext) { namespace = newNamespace(ctx, enabled, nil) })
	late := func(pod *corev1.Pod) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "late", Image: "late:1"})
	}

	It("the sidecar is added once, although Keyward is called again, and it stays as the other has changed it", func(ctx SpecContext) {
		mutate(ctx, namespace, func(pod *corev1.Pod) {
			late(pod)
			for i := range pod.Spec.InitContainers {
				pod.Spec.InitContainers[i].Image = "mirror.acme.example/" + pod.Spec.InitContainers[i].Image
			}
		})
		before := called("/mutate-v1-pod")
		pod := contentPod(namespace)
		Expect(testenv.Admin.Create(ctx, pod)).To(Succeed())
		Expect(called("/mutate-v1-pod") - before).To(Equal(2.0))
		Expect(sidecars(pod)).To(HaveLen(1))
		Expect(sidecars(pod)[0].Image).To(HavePrefix("mirror.acme.example/keyward/validator"))
		Expect(pod.Spec.Containers).To(HaveLen(2))
		Expect(pod.Spec.Volumes).To(ContainElement(HaveField("Name", "keyward-sync")))
	})

	It("a Pod whose port the other names again is refused, because a Service would reach the content", func(ctx SpecContext) {
		mutate(ctx, namespace, func(pod *corev1.Pod) {
			late(pod)
			pod.Spec.Containers[0].Ports[0].Name = "http"
		})
		Expect(testenv.Admin.Create(ctx, contentPod(namespace))).To(MatchError(
			ContainSubstring("spec.containers[0].ports[0].name: Forbidden: the sidecar is in front of this port")))
	})

	It("a Pod whose sidecar the other removes is refused", func(ctx SpecContext) {
		mutate(ctx, namespace, func(pod *corev1.Pod) {
			late(pod)
			pod.Spec.InitContainers = nil
		})
		Expect(testenv.Admin.Create(ctx, contentPod(namespace))).To(MatchError(ContainSubstring("the Pod has no sidecar")))
	})
})

var _ = Describe("While no manager answers", func() {
	It("only labelled Pods are stopped", func(ctx SpecContext) {
		namespace := newNamespace(ctx, enabled, nil)
		other := newNamespace(ctx, nil, nil)
		unreachable(ctx, namespace, other)
		unlabelled := func(in string) *corev1.Pod {
			return contentPod(in, func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelInject) })
		}
		disabled := func(in string) *corev1.Pod {
			return contentPod(in, func(p *corev1.Pod) { p.Labels[v1alpha1.LabelInject] = v1alpha1.InjectDisabled })
		}
		for _, in := range []string{namespace, other} {
			Eventually(func() error { return testenv.Admin.Create(ctx, contentPod(in)) }).Should(
				MatchError(ContainSubstring("failed calling webhook")))
			Expect(testenv.Admin.Create(ctx, unlabelled(in))).To(Succeed())
			Expect(testenv.Admin.Create(ctx, disabled(in))).To(Succeed())
		}
		for _, in := range []string{testenv.SystemNamespace, "kube-system"} {
			Expect(testenv.Admin.Create(ctx, contentPod(in), client.DryRunAll)).To(
				Succeed(), "in "+in)
		}
	})
})

// unreachable adds copies of Keyward's webhooks for Pods, of the namespaces and of those that no webhook may stop, whose server does not
// answer.
func unreachable(ctx context.Context, namespaces ...string) {
	GinkgoHelper()
	nobody := admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/")}
	inThese := []admissionregistrationv1.MatchCondition{{Name: "in-these", Expression: "request.namespace in " + celList(
		append(namespaces, testenv.SystemNamespace, "kube-system"))}}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	Expect(testenv.Admin.Get(ctx, client.ObjectKey{Name: "keyward-mutating"}, mutating)).To(Succeed())
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	Expect(testenv.Admin.Get(ctx, client.ObjectKey{Name: "keyward-validating"}, validating)).To(Succeed())

	first := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{GenerateName: "nobody-"}}
	for _, hook := range mutating.Webhooks {
		if hook.Name == "pods.mutating.keyward.dev" {
			hook.ClientConfig, hook.MatchConditions = nobody, inThese
			first.Webhooks = append(first.Webhooks, hook)
		}
	}
	second := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{GenerateName: "nobody-"}}
	for _, hook := range validating.Webhooks {
		if hook.Name == "pods.validating.keyward.dev" {
			hook.ClientConfig, hook.MatchConditions = nobody, inThese
			second.Webhooks = append(second.Webhooks, hook)
		}
	}
	Expect(first.Webhooks).To(HaveLen(1))
	Expect(second.Webhooks).To(HaveLen(1))
	for _, configuration := range []client.Object{first, second} {
		Expect(testenv.Admin.Create(ctx, configuration)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(testenv.Admin.Delete(ctx, configuration)).To(Succeed()) })
	}
}

// celList writes texts as a list in CEL.
func celList(texts []string) string {
	list, err := json.Marshal(texts)
	Expect(err).NotTo(HaveOccurred())
	return string(list)
}

func pemOf(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}
