package v1alpha1

import (
	"encoding/json"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestLabelledPodsOfUnwatchedNamespaces: a Pod that asks for a sidecar is refused where the manager does not watch, whether or not
// the namespace allows sidecars. Nothing is read for that.
func TestLabelledPodsOfUnwatchedNamespaces(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var nothing struct{ client.Reader }
	p := &pods{cached: nothing, live: nothing, decoder: admission.NewDecoder(scheme), watched: []string{"tenants"}}
	verify := func(labels map[string]string) admission.Response {
		pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "content", Labels: labels}}
		encoded, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		return p.verify(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Operation: admissionv1.Create, Namespace: "elsewhere", Object: runtime.RawExtension{Raw: encoded},
		}})
	}
	response := verify(map[string]string{v1alpha1.LabelInject: v1alpha1.InjectValidator})
	if response.Allowed || !strings.Contains(response.Result.Message, "add the namespace to --watch-namespaces") {
		t.Errorf("%+v", response.Result)
	}
	for _, labels := range []map[string]string{nil, {v1alpha1.LabelInject: v1alpha1.InjectDisabled}} {
		if response := verify(labels); !response.Allowed {
			t.Errorf("%v: %+v", labels, response.Result)
		}
	}
}
