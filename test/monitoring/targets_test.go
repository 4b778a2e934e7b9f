package monitoring

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// monitor is what tests read of a ServiceMonitor.
type monitor struct {
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Endpoints []struct {
			Port        string `json:"port"`
			HonorLabels bool   `json:"honorLabels"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// objects returns the objects of a kind that a directory below config has, as kustomize builds it.
func objects[T any](t *testing.T, dir, kind string) (all []T) {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../../config/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range built.Resources() {
		if r.GetKind() != kind {
			continue
		}
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var object T
		if err := yaml.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
	return all
}

func selects(selector, object map[string]string) bool {
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(object))
}

// TestTargetsExist: each ServiceMonitor selects a Service, which selects the Pods of a Deployment, at a port that the Pods have and
// that NetworkPolicies open for namespaces with the label for monitoring.
func TestTargetsExist(t *testing.T) {
	deployments := objects[appsv1.Deployment](t, "default", "Deployment")
	policies := objects[networkingv1.NetworkPolicy](t, "default", "NetworkPolicy")
	services := objects[corev1.Service](t, "monitoring", "Service")
	watched := map[string]bool{}
	for _, m := range objects[monitor](t, "monitoring", "ServiceMonitor") {
		for _, service := range services {
			if service.Namespace != m.Metadata.Namespace || !selects(m.Spec.Selector.MatchLabels, service.Labels) {
				continue
			}
			port := portOf(&service, m.Spec.Endpoints[0].Port)
			for _, d := range deployments {
				if d.Namespace == service.Namespace && selects(service.Spec.Selector, d.Spec.Template.Labels) {
					watched[d.Name] = hasPort(&d, port) && opened(policies, &d, port.Port)
				}
			}
		}
	}
	for _, d := range deployments {
		if !watched[d.Name] {
			t.Errorf("the metrics of %s are not scraped, or Prometheus is not let in", d.Name)
		}
	}
	for _, service := range objects[corev1.Service](t, "default", "Service") {
		if selects(map[string]string{"keyward.dev/metrics": "true"}, service.Labels) {
			t.Errorf("Service %s of config/default has the label of those that are scraped", service.Name)
		}
	}
}

func portOf(service *corev1.Service, name string) corev1.ServicePort {
	at := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == name })
	if at < 0 {
		return corev1.ServicePort{}
	}
	return service.Spec.Ports[at]
}

func hasPort(d *appsv1.Deployment, port corev1.ServicePort) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
		return p.Name == port.TargetPort.StrVal && p.ContainerPort == port.Port
	})
}

func opened(policies []networkingv1.NetworkPolicy, d *appsv1.Deployment, port int32) bool {
	return slices.ContainsFunc(policies, func(p networkingv1.NetworkPolicy) bool {
		if !selects(p.Spec.PodSelector.MatchLabels, d.Spec.Template.Labels) {
			return false
		}
		return slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
			return slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == port }) &&
				slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool {
					return peer.NamespaceSelector != nil && peer.NamespaceSelector.MatchLabels["network.keyward.dev/monitoring"] == "true"
				})
		})
	})
}

// TestDashboardsAreShipped: the ConfigMap has all dashboards, and the label by which Grafana finds it.
func TestDashboardsAreShipped(t *testing.T) {
	maps := objects[corev1.ConfigMap](t, "monitoring", "ConfigMap")
	if len(maps) != 1 || maps[0].Labels["grafana_dashboard"] != "1" {
		t.Fatalf("%d ConfigMaps", len(maps))
	}
	for _, d := range readDashboards(t) {
		if maps[0].Data[d.uid+".json"] == "" {
			t.Errorf("%s is not in the ConfigMap", d.uid)
		}
	}
}
