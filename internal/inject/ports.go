package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Ports of the sidecar: numbers that content servers rarely listen on, in the order of the ports 8080 to 8083 of a validation
// server of its own. Only DefaultProxyPort can be replaced.
const (
	DefaultProxyPort int32 = 28080
	httpPort         int32 = 28081
	grpcPort         int32 = 28082
	AdminPort        int32 = 28083
	// AdminPortName names AdminPort, for those who scrape metrics.
	AdminPortName = "keyward-admin"
	// ProxyPortName names the port for clients if the content server's port has no name.
	ProxyPortName = "keyward-proxy"
)

// upstream is the port of the content server.
type upstream struct {
	number int32
	// entries are where containers declare the port: the index of the container, and of its port.
	entries [][2]int
}

func portPath(i, j int) *field.Path {
	return field.NewPath("spec", "containers").Index(i).Child("ports").Index(j)
}

func isTCP(port *corev1.ContainerPort) bool {
	return port.Protocol == "" || port.Protocol == corev1.ProtocolTCP
}

// eachPort calls f with every TCP port that containers declare.
func eachPort(spec *corev1.PodSpec, f func(i, j int, port *corev1.ContainerPort)) {
	for i := range spec.Containers {
		for j := range spec.Containers[i].Ports {
			if port := &spec.Containers[i].Ports[j]; isTCP(port) {
				f(i, j, port)
			}
		}
	}
}

// eachSidecarPort calls f with every TCP port of init containers that go on running, as sidecars do.
func eachSidecarPort(spec *corev1.PodSpec, f func(i, j int, port *corev1.ContainerPort)) {
	for i := range spec.InitContainers {
		if ptr.Deref(spec.InitContainers[i].RestartPolicy, "") != corev1.ContainerRestartPolicyAlways {
			continue
		}
		for j := range spec.InitContainers[i].Ports {
			if port := &spec.InitContainers[i].Ports[j]; isTCP(port) {
				f(i, j, port)
			}
		}
	}
}

func sidecarPortPath(i, j int) *field.Path {
	return field.NewPath("spec", "initContainers").Index(i).Child("ports").Index(j)
}

// findUpstream returns the port that the settings name, or why the sidecar cannot be in front of it.
func findUpstream(spec *corev1.PodSpec, settings *Settings) (*upstream, field.ErrorList) {
	number, err := numberOf(spec, settings.UpstreamPort)
	if err != nil {
		return nil, field.ErrorList{err}
	}
	found, errs := &upstream{number: number}, field.ErrorList{}
	names := map[string]bool{}
	own := map[int32]bool{settings.ProxyPort: true, httpPort: true, grpcPort: true, AdminPort: true}
	if own[number] {
		errs = append(errs, field.Invalid(annotationPath(v1alpha1.AnnotationUpstreamPort), number,
			"the sidecar listens there itself; write the port of the content server, or give the sidecar another with "+
				v1alpha1.AnnotationProxyPort))
	}
	eachPort(spec, func(i, j int, port *corev1.ContainerPort) {
		switch {
		case port.ContainerPort == number:
			found.entries = append(found.entries, [2]int{i, j})
			names[port.Name] = port.Name != ""
		case own[port.ContainerPort]:
			errs = append(errs, field.Invalid(portPath(i, j).Child("containerPort"), port.ContainerPort,
				"the sidecar listens there; change it, or if it is the port for clients, give the sidecar another with "+
					v1alpha1.AnnotationProxyPort))
		}
	})
	errs = append(errs, hostPorts(spec, number)...)
	eachPort(spec, func(i, j int, port *corev1.ContainerPort) {
		if port.ContainerPort != number && names[port.Name] {
			errs = append(errs, field.Invalid(portPath(i, j).Child("name"), shown(port.Name), fmt.Sprintf(
				"it is also the name of port %d, which the sidecar takes over, and a Service would find only one of them: rename one", number)))
		}
	})
	eachSidecarPort(spec, func(i, j int, port *corev1.ContainerPort) {
		path := sidecarPortPath(i, j)
		switch {
		case port.ContainerPort == number:
			errs = append(errs, field.Invalid(path.Child("containerPort"), number,
				"it is the content server's port; declare it in a container, or write another "+v1alpha1.AnnotationUpstreamPort))
		case names[port.Name]:
			errs = append(errs, field.Invalid(path.Child("name"), shown(port.Name),
				"it is also the name of the content server's port, and a Service would find only one of them: rename one"))
		case own[port.ContainerPort]:
			errs = append(errs, field.Invalid(path.Child("containerPort"), port.ContainerPort, "Keyward's sidecar listens there; change it"))
		}
	})
	return found, errs
}

// hostPorts returns the ports of nodes that lead to the content server, also those of other protocols, such as UDP for HTTP/3.
func hostPorts(spec *corev1.PodSpec, number int32) (errs field.ErrorList) {
	for i := range spec.Containers {
		for j, port := range spec.Containers[i].Ports {
			if port.ContainerPort == number && port.HostPort != 0 {
				errs = append(errs, field.Forbidden(portPath(i, j).Child("hostPort"),
					"it leads to the content server without a decision: remove it, and use a Service"))
			}
		}
	}
	return errs
}

// numberOf returns the number of the port that an annotation names.
func numberOf(spec *corev1.PodSpec, port intstr.IntOrString) (int32, *field.Error) {
	path := annotationPath(v1alpha1.AnnotationUpstreamPort)
	if port.Type == intstr.Int && port.IntVal != 0 {
		return port.IntVal, nil
	}
	var numbers []int32
	var declared []string
	eachPort(spec, func(_, _ int, p *corev1.ContainerPort) {
		if (port.StrVal == "" || port.StrVal == p.Name) && !slices.Contains(numbers, p.ContainerPort) {
			numbers = append(numbers, p.ContainerPort)
		}
		const most = 8
		if called := nameOrNumber(p); len(declared) < most && !slices.Contains(declared, called) {
			declared = append(declared, called)
		}
	})
	list := strings.Join(declared, ", ")
	switch {
	case len(numbers) == 1:
		return numbers[0], nil
	case len(declared) == 0 && port.StrVal == "":
		return 0, field.Required(path, "the containers declare no TCP port: write the number of the port that the content server listens on")
	case len(declared) == 0:
		return 0, field.Invalid(path, port.StrVal, "the containers declare no TCP port: write the number of the port")
	case port.StrVal == "":
		return 0, field.Required(path, "the containers declare several ports: write which of them is the content server's: "+list)
	case len(numbers) == 0:
		return 0, field.Invalid(path, port.StrVal, "no container has a TCP port of this name; they have "+list)
	default:
		return 0, field.Invalid(path, port.StrVal, fmt.Sprintf("it is the name of ports %d and %d: write a number", numbers[0], numbers[1]))
	}
}

func nameOrNumber(port *corev1.ContainerPort) string {
	if port.Name != "" {
		return shown(port.Name)
	}
	return fmt.Sprint(port.ContainerPort)
}

// takeNames removes the names of the content server's port and returns them, each once, for the sidecar: a Service that names the
// port then reaches the sidecar. What the kubelet calls by name keeps reaching the content server, by its number.
func (u *upstream) takeNames(spec *corev1.PodSpec) (names []string) {
	for _, at := range u.entries {
		c := &spec.Containers[at[0]]
		name := c.Ports[at[1]].Name
		if name == "" {
			continue
		}
		c.Ports[at[1]].Name = ""
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		for _, port := range calledPorts(c) {
			if port.Type == intstr.String && port.StrVal == name {
				*port = intstr.FromInt32(u.number)
			}
		}
	}
	return names
}

// calledPorts returns the ports that the kubelet connects to for the container: of its probes and of its lifecycle.
func calledPorts(c *corev1.Container) (ports []*intstr.IntOrString) {
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if probe != nil {
			ports = append(ports, portsOf(probe.HTTPGet, probe.TCPSocket)...)
		}
	}
	if c.Lifecycle != nil {
		for _, handler := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if handler != nil {
				ports = append(ports, portsOf(handler.HTTPGet, handler.TCPSocket)...)
			}
		}
	}
	return ports
}

func portsOf(get *corev1.HTTPGetAction, socket *corev1.TCPSocketAction) (ports []*intstr.IntOrString) {
	if get != nil {
		ports = append(ports, &get.Port)
	}
	if socket != nil {
		ports = append(ports, &socket.Port)
	}
	return ports
}
