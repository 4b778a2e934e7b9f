package inject

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestCheckServices: a name leads to the sidecar, a number past it, and other Services and ports are left out.
func TestCheckServices(t *testing.T) {
	pod := readPod(t, "testdata/deployment.yaml")
	result := injected(t, pod)
	ours := map[string]string{"app": "content"}
	byName, content, proxy := intstr.FromString("http"), intstr.FromInt32(8080), intstr.FromInt32(28080)
	for name, c := range map[string]struct {
		selector map[string]string
		port     corev1.ServicePort
		want     string // "" for no finding
		through  bool
	}{
		"by name":         {ours, corev1.ServicePort{Port: 80, TargetPort: byName}, "targetPort http leads", true},
		"by number":       {ours, corev1.ServicePort{Port: 80, TargetPort: content}, "write targetPort: http", false},
		"by its own port": {ours, corev1.ServicePort{Port: 8080}, "targetPort 8080 is a number", false},
		"to the sidecar":  {ours, corev1.ServicePort{Port: 80, TargetPort: proxy}, "28080 leads", true},
		"another port":    {ours, corev1.ServicePort{Port: 9090}, "", false},
		"UDP":             {ours, corev1.ServicePort{Port: 8080, Protocol: corev1.ProtocolUDP}, "", false},
		"other Pods":      {map[string]string{"app": "other"}, corev1.ServicePort{Port: 8080}, "", false},
		"no Pods":         {nil, corev1.ServicePort{Port: 8080}, "", false},
	} {
		service := corev1.Service{Spec: corev1.ServiceSpec{Selector: c.selector, Ports: []corev1.ServicePort{c.port}}}
		findings := CheckServices(pod, result, []corev1.Service{service})
		switch {
		case c.want == "" && len(findings) > 0, c.want != "" && len(findings) != 1:
			t.Errorf("%s: %+v", name, findings)
		case c.want != "" && (findings[0].ThroughSidecar != c.through || !strings.Contains(findings[0].Message, c.want)):
			t.Errorf("%s: %+v", name, findings[0])
		}
	}
}
