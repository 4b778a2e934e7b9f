package inject

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Finding is where a port of a Service leads.
type Finding struct {
	ThroughSidecar bool
	Message        string
}

// CheckServices returns where the ports of the Services lead that select the Pod and led to its content server: with the sidecar, a
// target by name leads to the sidecar, and one by number leads past it. The result is the Pod with its sidecar.
func CheckServices(pod, result *corev1.Pod, services []corev1.Service) (findings []Finding) {
	added := sidecar(&result.Spec)
	if added == nil || len(added.Ports) == 0 {
		return nil
	}
	name, proxy := added.Ports[0].Name, added.Ports[0].ContainerPort
	content := contentPort(added)
	for i := range services {
		service := &services[i]
		if len(service.Spec.Selector) == 0 || !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			continue
		}
		for _, port := range service.Spec.Ports {
			if port.Protocol != "" && port.Protocol != corev1.ProtocolTCP {
				continue
			}
			target := port.TargetPort
			if target.Type == intstr.Int {
				target.IntVal = cmp.Or(target.IntVal, port.Port)
			}
			called := fmt.Sprintf("Service %s, port %d: targetPort %s", service.Name, port.Port, target.String())
			switch {
			case target.Type == intstr.Int && target.IntVal == proxy,
				target.Type == intstr.String && slices.ContainsFunc(added.Ports, func(p corev1.ContainerPort) bool {
					return p.Name == target.StrVal && p.ContainerPort == proxy
				}):
				findings = append(findings, Finding{true, called + " leads to the sidecar."})
			case target.Type == intstr.Int && target.IntVal == content:
				findings = append(findings, Finding{false, fmt.Sprintf(
					"%s is a number, and leads to the content server past the sidecar: write targetPort: %s", called, name)})
			}
		}
	}
	return findings
}

// contentPort returns the port that the sidecar forwards to, or 0.
func contentPort(added *corev1.Container) int32 {
	for _, arg := range added.Args {
		if target, is := strings.CutPrefix(arg, "--upstream="); is {
			number, _ := portNumber(target[strings.LastIndexByte(target, ':')+1:])
			return number
		}
	}
	return 0
}
