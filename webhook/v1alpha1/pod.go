package v1alpha1

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/internal/inject"
)

// Both webhooks are called for labelled Pods only, so that without a manager no others are stopped. The first adds the sidecar where
// the Namespace allows it. The second sees every labelled Pod, in its final state, and refuses it without a sidecar: a label that has no
// effect would leave content open to everybody. So it is also called for namespaces that the manager does not watch. The manager's own
// namespace is left out, because its Pods start before it serves.

// +kubebuilder:webhook:name=pods.mutating.keyward.dev,path=/mutate-v1-pod,mutating=true,failurePolicy=fail,reinvocationPolicy=IfNeeded,sideEffects=None,groups="",resources=pods,verbs=create,versions=v1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10,patch=`{"namespaceSelector":{"matchLabels":{"keyward.dev/injection":"enabled"},"matchExpressions":[{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["keyward-system","kube-system"]}]},"objectSelector":{"matchExpressions":[{"key":"keyward.dev/inject","operator":"Exists"},{"key":"keyward.dev/inject","operator":"NotIn","values":["disabled"]}]}}`
// +kubebuilder:webhook:name=pods.validating.keyward.dev,path=/validate-v1-pod,mutating=false,failurePolicy=fail,sideEffects=None,groups="",resources=pods,verbs=create,versions=v1,admissionReviewVersions=v1,serviceName=keyward-webhook,serviceNamespace=keyward-system,servicePort=9443,timeoutSeconds=10,patch=`{"namespaceSelector":{"matchExpressions":[{"key":"kubernetes.io/metadata.name","operator":"NotIn","values":["keyward-system","kube-system"]}]},"objectSelector":{"matchExpressions":[{"key":"keyward.dev/inject","operator":"Exists"},{"key":"keyward.dev/inject","operator":"NotIn","values":["disabled"]}]}}`

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// SetupPods registers the webhooks that add sidecars to Pods of the watched namespaces, or of all if none are named.
func SetupPods(mgr ctrl.Manager, config inject.Config, watched []string) {
	pods := &pods{
		cached: mgr.GetClient(), live: mgr.GetAPIReader(), decoder: admission.NewDecoder(mgr.GetScheme()), config: config, watched: watched,
	}
	mgr.GetWebhookServer().Register("/mutate-v1-pod", &admission.Webhook{Handler: admission.HandlerFunc(pods.add)})
	mgr.GetWebhookServer().Register("/validate-v1-pod", &admission.Webhook{Handler: admission.HandlerFunc(pods.verify)})
}

// pods adds sidecars to Pods. It changes nothing but the Pod in the request, so that it may be called for dry runs, and again.
type pods struct {
	cached, live client.Reader
	decoder      admission.Decoder
	config       inject.Config
	watched      []string // namespaces; all if there are none
}

// add returns the patch that adds the sidecar.
func (p *pods) add(ctx context.Context, request admission.Request) admission.Response {
	pod, response := p.labelled(request)
	if pod == nil {
		return response
	}
	_, defaults, err := p.injection(ctx, request.Namespace)
	if err != nil {
		return undecided(ctx, err)
	}
	result, errs := inject.Pod(pod, request.Namespace, defaults, p.config)
	if len(errs) > 0 {
		return refusePod(pod, errs)
	}
	// From the Pod as this version knows it: fields of newer API servers are in neither, and stay.
	before, err := json.Marshal(pod)
	if err != nil {
		return undecided(ctx, err)
	}
	after, err := json.Marshal(result)
	if err != nil {
		return undecided(ctx, err)
	}
	return admission.PatchResponseFromRaw(before, after)
}

// verify refuses labelled Pods whose content clients could reach without a decision.
func (p *pods) verify(ctx context.Context, request admission.Request) admission.Response {
	pod, response := p.labelled(request)
	if pod == nil {
		return response
	}
	if len(p.watched) > 0 && !slices.Contains(p.watched, request.Namespace) {
		return refusePod(pod, field.ErrorList{field.Forbidden(labelPath, fmt.Sprintf(
			"the manager does not watch the namespace %s, and without a sidecar the content would be open to everybody: let the platform "+
				"add the namespace to --watch-namespaces, or remove the label from the Pod", request.Namespace))})
	}
	enabled, defaults, err := p.injection(ctx, request.Namespace)
	if err != nil {
		return undecided(ctx, err)
	}
	if !enabled {
		return refusePod(pod, field.ErrorList{field.Forbidden(labelPath, fmt.Sprintf(
			"the namespace does not allow sidecars, and without one the content would be open to everybody: let the platform run "+
				"kubectl label namespace %s %s=%s, or remove the label from the Pod",
			request.Namespace, v1alpha1.LabelInjection, v1alpha1.InjectionEnabled))})
	}
	if errs := inject.Verify(pod, request.Namespace, defaults); len(errs) > 0 {
		return refusePod(pod, errs)
	}
	return admission.Allowed("")
}

var labelPath = field.NewPath("metadata", "labels").Key(v1alpha1.LabelInject)

// labelled returns the Pod of a request if it is to have a sidecar, or else the response.
func (p *pods) labelled(request admission.Request) (*corev1.Pod, admission.Response) {
	if request.Operation != admissionv1.Create || request.SubResource != "" {
		return nil, admission.Allowed("")
	}
	pod := &corev1.Pod{}
	if err := p.decoder.Decode(request, pod); err != nil {
		return nil, admission.Errored(http.StatusBadRequest, err)
	}
	switch value, has := pod.Labels[v1alpha1.LabelInject]; {
	case !has || value == v1alpha1.InjectDisabled:
		return nil, admission.Allowed("")
	case value != v1alpha1.InjectValidator:
		return nil, refusePod(pod, field.ErrorList{
			field.NotSupported(labelPath, shown(value), []string{v1alpha1.InjectValidator, v1alpha1.InjectDisabled}),
		})
	}
	return pod, admission.Response{}
}

// injection reports whether the namespace allows sidecars, and returns its annotations. The cache may not have yet what the API
// server has matched.
func (p *pods) injection(ctx context.Context, name string) (enabled bool, annotations map[string]string, err error) {
	for _, reader := range []client.Reader{p.cached, p.live} {
		namespace := cache.NamespaceMetadata()
		if err := reader.Get(ctx, types.NamespacedName{Name: name}, namespace); client.IgnoreNotFound(err) != nil {
			return false, nil, fmt.Errorf("reading namespace %s: %w", name, err)
		}
		if namespace.Labels[v1alpha1.LabelInjection] == v1alpha1.InjectionEnabled {
			return true, namespace.Annotations, nil
		}
	}
	return false, nil, nil
}

// refusePod refuses a Pod for all its problems.
func refusePod(pod *corev1.Pod, errs field.ErrorList) admission.Response {
	refusals.WithLabelValues("Pod", v1alpha1.ReasonInvalidSpec).Inc()
	name := pod.Name
	if name == "" {
		name = pod.GenerateName
	}
	status := apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, name, errs).Status()
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Allowed: false, Result: &status}}
}
