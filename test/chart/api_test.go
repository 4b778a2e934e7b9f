package chart

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// Modules that have the CRDs of others' kinds. The imports keep them in go.mod.
var foreignCRDs = map[string][]string{
	"github.com/cert-manager/cert-manager": {"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"},
	"sigs.k8s.io/gateway-api":              {"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
}

var (
	_ = certmanagerv1.Certificate{}
	_ = gatewayv1.HTTPRoute{}
)

// operatorKinds are kinds whose CRDs are in no module that could be had: their Go types say which fields they have.
var operatorKinds = map[string]func() any{
	"ServiceMonitor": func() any { return &monitoringv1.ServiceMonitor{} },
	"PodMonitor":     func() any { return &monitoringv1.PodMonitor{} },
	"PrometheusRule": func() any { return &monitoringv1.PrometheusRule{} },
}

// installForeignCRDs applies the CRDs of others' kinds.
func installForeignCRDs(t *testing.T, c *cluster) {
	t.Helper()
	for module, files := range foreignCRDs {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), file))
			if err != nil {
				t.Fatal(err)
			}
			o := object{}
			if err := yaml.Unmarshal(text, (*map[string]any)(&o)); err != nil {
				t.Fatal(err)
			}
			if err := c.apply(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			eventually(t, o.name(), c.served(o.name()))
		}
	}
}

// TestAPIServerAccepts: a real API server accepts every object of every feature, in a namespace in which Pod Security requires
// the standard "restricted", and has nothing to warn of; nor has it about the Pods that controllers would create.
func TestAPIServerAccepts(t *testing.T) {
	c := needCluster(t)
	installForeignCRDs(t, c)
	for _, name := range features(t) {
		t.Run(name, func(t *testing.T) {
			rendered := renderFeature(t, name)
			for _, o := range rendered.sorted() {
				c.ensureNamespace(t, o.namespace())
			}
			c.warnings.take()
			for _, o := range rendered.sorted() {
				if example, is := operatorKinds[o.kind()]; is {
					if err := yaml.UnmarshalStrict([]byte(asYAML(t, o)), example()); err != nil {
						t.Errorf("%s: %v", o.id(), err)
					}
					continue
				}
				if err := c.apply(t.Context(), o, metav1.DryRunAll); err != nil {
					t.Errorf("%s: %v", o.id(), err)
				}
				if o.kind() == "Deployment" {
					if err := c.tryPod(t, o); err != nil {
						t.Errorf("a Pod of %s: %v", o.id(), err)
					}
				}
				for _, warning := range c.warnings.take() {
					t.Errorf("%s: %s", o.id(), warning)
				}
			}
		})
	}
}

// ensureNamespace creates a namespace, with the label of Pod Security.
func (c *cluster) ensureNamespace(t *testing.T, name string) {
	t.Helper()
	if name == "" {
		return
	}
	err := c.apply(t.Context(), object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
		"name": name, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// tryPod creates a Pod of a Deployment without leaving it.
func (c *cluster) tryPod(t *testing.T, deployment object) error {
	t.Helper()
	template, _ := deployment.at("spec", "template").(map[string]any)
	pod := object{"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
	pod.fields("metadata")["name"], pod.fields("metadata")["namespace"] = "trial", deployment.namespace()
	class := pod.text("spec", "priorityClassName")
	if class != "" && !strings.HasPrefix(class, "system-") {
		return fmt.Errorf("its class %s does not exist in tests", class)
	}
	identity := object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{
		"name": pod.text("spec", "serviceAccountName"), "namespace": deployment.namespace(),
	}}
	if err := c.apply(t.Context(), identity); err != nil {
		return err
	}
	identities, err := c.resource(identity)
	if err != nil {
		return err
	}
	defer func() { // Helm would not take it over
		if err := identities.Delete(t.Context(), identity.name(), metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	resource, err := c.resource(pod)
	if err != nil {
		return err
	}
	_, err = resource.Create(t.Context(), &unstructured.Unstructured{Object: pod}, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}
