package monitoring

import (
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/inject"
)

// podMonitor is what tests read of a PodMonitor.
type podMonitor struct {
	Kind string `json:"kind"`
	Spec struct {
		NamespaceSelector struct {
			Any bool `json:"any"`
		} `json:"namespaceSelector"`
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port string `json:"port"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// podMonitors returns the PodMonitors of a file.
func podMonitors(t *testing.T, path string) (all []podMonitor) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var m podMonitor
		if err := yaml.Unmarshal([]byte(document), &m); err != nil {
			t.Fatal(err)
		}
		if m.Kind == "PodMonitor" {
			all = append(all, m)
		}
	}
	return all
}

// injected is a Pod as the webhook stores it.
func injected(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Labels:      map[string]string{v1alpha1.LabelInject: v1alpha1.InjectValidator, "app": "content"},
		Annotations: map[string]string{v1alpha1.AnnotationGroup: "acme"},
	}}
	pod.Spec.Containers = []corev1.Container{{Name: "content", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}
	result, errs := inject.Pod(pod, "acme", nil, inject.Config{Image: "validator", ManagerNamespace: "keyward-system"})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return result
}

// byHand is a Pod with a sidecar as docs/how-to/sidecar-by-hand.md has it.
func byHand(t *testing.T) *corev1.Pod {
	t.Helper()
	text, err := os.ReadFile("../../docs/how-to/sidecar-by-hand.md")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "```") {
		for document := range strings.SplitSeq(strings.TrimPrefix(block, "yaml\n"), "\n---\n") {
			var workload struct {
				Kind string `json:"kind"`
				Spec struct {
					Template corev1.PodTemplateSpec `json:"template"`
				} `json:"spec"`
			}
			if yaml.Unmarshal([]byte(document), &workload) == nil && workload.Kind == "Deployment" {
				return &corev1.Pod{ObjectMeta: workload.Spec.Template.ObjectMeta, Spec: workload.Spec.Template.Spec}
			}
		}
	}
	t.Fatal("the page has no Deployment")
	return nil
}

// TestSidecarsAreScraped: the metrics of sidecars, added by the label or by hand, in any namespace, are scraped once, by what kustomize
// and the chart install.
func TestSidecarsAreScraped(t *testing.T) {
	for _, path := range []string{config + "monitors.yaml", "../../charts/keyward/files/monitoring/monitors.yaml"} {
		monitors := podMonitors(t, path)
		for name, pod := range map[string]*corev1.Pod{"injected": injected(t), "by hand": byHand(t)} {
			scraped := 0
			for _, m := range monitors {
				selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
					for _, port := range c.Ports {
						if selector.Matches(labels.Set(pod.Labels)) && m.Spec.NamespaceSelector.Any && port.Name == m.Spec.Endpoints[0].Port {
							scraped++
						}
					}
				}
			}
			if scraped != 1 {
				t.Errorf("%s: sidecars that are %s are scraped %d times", path, name, scraped)
			}
		}
		for _, label := range []string{v1alpha1.InjectDisabled, ""} {
			for _, m := range monitors {
				if selects(m.Spec.Selector.MatchLabels, map[string]string{v1alpha1.LabelInject: label}) {
					t.Errorf("%s: Pods without a sidecar are scraped", path)
				}
			}
		}
	}
}
