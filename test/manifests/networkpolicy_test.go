package manifests

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const systemNamespace = "keyward-system"

// probesOnly are ports that only the kubelet connects to, from the node.
var probesOnly = map[int32]string{9446: "health of the manager"}

// proxyPort is the port of the reverse proxy, which the shipped validator does not use.
const proxyPort = 8080

func parseGoLimit(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "MiB"), 10, 64)
	if err != nil {
		t.Fatalf("GOMEMLIMIT %q: write MiB", text)
	}
	return n << 20
}

func matches(t *testing.T, selector *metav1.LabelSelector, have map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(have))
}

// source is where a connection comes from: a Pod, or something else.
type source struct{ namespace, pod map[string]string }

var inSystem = map[string]string{"kubernetes.io/metadata.name": systemNamespace}

// opens reports whether a rule is for the port and allows the source.
func opens(t *testing.T, rule *networkingv1.NetworkPolicyIngressRule, from source, port int32) bool {
	t.Helper()
	if !slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port != nil && p.Port.IntVal == port && p.EndPort == nil && p.Protocol != nil && *p.Protocol == "TCP"
	}) {
		return false
	}
	return len(rule.From) == 0 || slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool {
		if from.namespace == nil || peer.IPBlock != nil {
			return false
		}
		if peer.NamespaceSelector == nil {
			return maps.Equal(from.namespace, inSystem) && matches(t, peer.PodSelector, from.pod)
		}
		return matches(t, peer.NamespaceSelector, from.namespace) && (peer.PodSelector == nil || matches(t, peer.PodSelector, from.pod))
	})
}

// reaches reports whether the source can connect to the Pods of the Deployment at the port.
func (b *built) reaches(t *testing.T, from source, to *appsv1.Deployment, port int32) bool {
	t.Helper()
	isolated := false
	for i := range b.policies {
		p := &b.policies[i]
		if p.Namespace != to.Namespace || !matches(t, &p.Spec.PodSelector, to.Spec.Template.Labels) {
			continue
		}
		isolated = true
		for j := range p.Spec.Ingress {
			if opens(t, &p.Spec.Ingress[j], from, port) {
				return true
			}
		}
	}
	return !isolated
}

// TestWhoReachesWhat holds the table of docs/reference/ports.md, port by port.
func TestWhoReachesWhat(t *testing.T) {
	b := build(t, "default")
	labelled := func(name string) map[string]string { return map[string]string{"network.keyward.dev/" + name: "true"} }
	role := func(name string) map[string]string { return map[string]string{"keyward.dev/role": name} }
	validator := map[string]string{"app.kubernetes.io/name": "keyward", "app.kubernetes.io/component": "validator"}
	sources := map[string]struct {
		source
		reach []int32
	}{
		"what is no Pod, as the API server":  {source{}, []int32{8080, 9443}},
		"any Pod":                            {source{map[string]string{"a": "b"}, map[string]string{"app": "web"}}, []int32{8080, 9443}},
		"a Pod of Keyward's namespace":       {source{inSystem, map[string]string{"app": "web"}}, []int32{8080, 9443}},
		"the shipped validator":              {source{inSystem, validator}, []int32{8080, 9443, 9444}},
		"a Pod that says it is that":         {source{map[string]string{"a": "b"}, validator}, []int32{8080, 9443}},
		"a sidecar, of a namespace that may": {source{labelled("validators"), role("validator")}, []int32{8080, 9443, 9444}},
		"a sidecar, of one that may not":     {source{map[string]string{"a": "b"}, role("validator")}, []int32{8080, 9443}},
		"a neighbour of a sidecar":           {source{labelled("validators"), map[string]string{"app": "web"}}, []int32{8080, 9443}},
		"a Pod with a sidecar that was added": {source{map[string]string{"keyward.dev/injection": "enabled"},
			map[string]string{"keyward.dev/inject": "validator"}}, []int32{8080, 9443, 9444}},
		"a Pod that has the label, where no sidecars are allowed": {source{map[string]string{"a": "b"},
			map[string]string{"keyward.dev/inject": "validator"}}, []int32{8080, 9443}},
		"a gateway":                      {source{labelled("gateways"), role("gateway")}, []int32{8080, 8081, 8082, 9443}},
		"a gateway, of one that may not": {source{labelled("validators"), role("gateway")}, []int32{8080, 9443}},
		"a neighbour of a gateway":       {source{labelled("gateways"), nil}, []int32{8080, 9443}},
		"Prometheus": {source{labelled("monitoring"), map[string]string{"app": "prometheus"}},
			[]int32{8080, 8083, 9443, 9445}},
		"a gateway that says it is validator": {source{labelled("gateways"), role("validator")}, []int32{8080, 9443}},
	}
	for name, s := range sources {
		var reached []int32
		for i := range b.deployments {
			for _, port := range portsOf(&b.deployments[i]) {
				if b.reaches(t, s.source, &b.deployments[i], port) {
					reached = append(reached, port)
				}
			}
		}
		slices.Sort(reached)
		if !slices.Equal(reached, s.reach) {
			t.Errorf("%s reaches %v, not %v", name, reached, s.reach)
		}
	}
}

func portsOf(d *appsv1.Deployment) (all []int32) {
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, p := range c.Ports {
			all = append(all, p.ContainerPort)
		}
	}
	if d.Name == "keyward-validator" {
		all = append(all, proxyPort)
	}
	return all
}

// TestPoliciesAreOfUse: each policy selects Pods that exist, every rule is for one of their ports, every port has a purpose,
// and a port without a rule is closed.
func TestPoliciesAreOfUse(t *testing.T) {
	b := build(t, "default")
	used, denies := map[string]bool{}, false
	for i := range b.policies {
		p := &b.policies[i]
		if p.Namespace != systemNamespace || !slices.Equal(p.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
			t.Errorf("%s/%s is of %v", p.Namespace, p.Name, p.Spec.PolicyTypes)
		}
		if len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) == 0 {
			denies = denies || len(p.Spec.Ingress) == 0
			continue
		}
		for j := range p.Spec.Ingress {
			rule := &p.Spec.Ingress[j]
			if len(rule.Ports) == 0 {
				t.Errorf("%s opens every port", p.Name)
			}
			for _, port := range rule.Ports {
				found := false
				for k := range b.deployments {
					if d := &b.deployments[k]; matches(t, &p.Spec.PodSelector, d.Spec.Template.Labels) && slices.Contains(portsOf(d), port.Port.IntVal) {
						used[fmt.Sprint(d.Name, port.Port.IntVal)], found = true, true
					}
				}
				if !found {
					t.Errorf("%s: no Pod that it selects has the port %s", p.Name, port.Port)
				}
			}
		}
	}
	if !denies {
		t.Error("nothing closes what has no rule")
	}
	for i := range b.deployments {
		for _, port := range portsOf(&b.deployments[i]) {
			if probesOnly[port] == "" && !used[fmt.Sprint(b.deployments[i].Name, port)] {
				t.Errorf("port %d of %s is nobody's", port, b.deployments[i].Name)
			}
		}
	}
}
