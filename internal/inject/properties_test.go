package inject

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/server/options"
)

var (
	portNames = rapid.SampledFrom([]string{"", "http", "web", "metrics", "a"})
	numbers   = rapid.SampledFrom([]int32{80, 8080, 9000, 9090, 28080, 28083})
)

func anyPort(t *rapid.T) corev1.ContainerPort {
	return corev1.ContainerPort{
		Name: portNames.Draw(t, "name"), ContainerPort: numbers.Draw(t, "number"),
		Protocol: rapid.SampledFrom([]corev1.Protocol{"", corev1.ProtocolTCP, corev1.ProtocolUDP}).Draw(t, "protocol"),
	}
}

func anyProbe(t *rapid.T) *corev1.Probe {
	port := intstr.FromInt32(numbers.Draw(t, "probed number"))
	if name := portNames.Draw(t, "probed name"); name != "" {
		port = intstr.FromString(name)
	}
	switch rapid.IntRange(0, 2).Draw(t, "kind of probe") {
	case 0:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: port}}}
	case 1:
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}}
	default:
		return nil
	}
}

func anyContainer(name string, sidecar bool) *rapid.Generator[corev1.Container] {
	return rapid.Custom(func(t *rapid.T) corev1.Container {
		c := corev1.Container{
			Name: name, Image: rapid.SampledFrom([]string{"a:1", "b:2"}).Draw(t, "image"),
			Env:          []corev1.EnvVar{{Name: "A", Value: rapid.StringN(0, 5, -1).Draw(t, "value")}},
			VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			Ports:        rapid.SliceOfN(rapid.Custom(anyPort), 0, 3).Draw(t, "ports"),
		}
		names := map[string]bool{}
		for i := range c.Ports { // unique within a container, as the API server requires
			if names[c.Ports[i].Name] {
				c.Ports[i].Name = ""
			}
			names[c.Ports[i].Name] = true
		}
		if sidecar && rapid.Bool().Draw(t, "restarts") {
			c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		}
		if !sidecar {
			c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = anyProbe(t), anyProbe(t), anyProbe(t)
			if probe := anyProbe(t); probe != nil {
				c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: probe.HTTPGet, TCPSocket: probe.TCPSocket}}
			}
		}
		return c
	})
}

// anyPod draws Pods that mostly can have a sidecar.
func anyPod(t *rapid.T) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Labels = map[string]string{v1alpha1.LabelInject: v1alpha1.InjectValidator}
	pod.Annotations = map[string]string{v1alpha1.AnnotationGroup: "acme"}
	for _, values := range [][]string{
		{v1alpha1.AnnotationUpstreamPort, "", "http", "web", "8080", "9000"},
		{v1alpha1.AnnotationUpstreamScheme, "", "http", "h2c"},
		{v1alpha1.AnnotationProxyPort, "", "8080", "1024"},
		{v1alpha1.AnnotationProject, "", "marketing"},
		{v1alpha1.AnnotationPrincipalSecret, "", "keyward-principal"},
		{v1alpha1.AnnotationOptions, "", "keep-credential=true", "on-stale=deny max-staleness=1h"},
	} {
		if value := rapid.SampledFrom(values[1:]).Draw(t, values[0]); value != "" {
			pod.Annotations[values[0]] = value
		}
	}
	for i, n := 0, rapid.IntRange(1, 3).Draw(t, "containers"); i < n; i++ {
		pod.Spec.Containers = append(pod.Spec.Containers, anyContainer(string(rune('a'+i)), false).Draw(t, "container"))
	}
	for i, n := 0, rapid.IntRange(0, 2).Draw(t, "init containers"); i < n; i++ {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, anyContainer(string(rune('x'+i)), true).Draw(t, "init container"))
	}
	return pod
}

// found returns the numbers that a Service finds for the name of a port, as the EndpointSlice controller looks it up.
func found(spec *corev1.PodSpec, name string) (number int32) {
	eachSidecarPort(spec, func(_, _ int, port *corev1.ContainerPort) {
		if port.Name == name && number == 0 {
			number = port.ContainerPort
		}
	})
	first := int32(0)
	eachPort(spec, func(_, _ int, port *corev1.ContainerPort) {
		if port.Name == name && first == 0 {
			first = port.ContainerPort
		}
	})
	if first != 0 {
		return first
	}
	return number
}

// probed returns the number that the kubelet calls, or 0 if the container has no port of the name.
func probed(c *corev1.Container, port *intstr.IntOrString) int32 {
	if port.Type == intstr.Int {
		return port.IntVal
	}
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return p.ContainerPort
		}
	}
	return 0
}

// withoutPorts is the container without what an injection may change.
func withoutPorts(c *corev1.Container) *corev1.Container {
	c = c.DeepCopy()
	for i := range c.Ports {
		c.Ports[i].Name = ""
	}
	for _, port := range calledPorts(c) {
		*port = intstr.IntOrString{}
	}
	return c
}

// parsed is what the validation server reads of a command line, after the kubelet has filled in the name of the Pod.
func parsed(line []string) (options.Config, error) {
	expanded := make([]string, 0, len(line))
	for _, arg := range line {
		expanded = append(expanded, strings.ReplaceAll(arg, "$(POD_NAME)", "content-0"))
	}
	return options.Parse(expanded, "host", io.Discard)
}

func upstreamOf(t *rapid.T, c *corev1.Container) options.Config {
	config, err := parsed(c.Args)
	if err != nil {
		t.Fatalf("the validation server does not start with %q: %v", c.Args, err)
	}
	return config
}

// TestProperties: an injection is idempotent, changes nothing but names of ports and what is called by them, and leaves no
// Service of the content server's port at the content server.
func TestProperties(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		pod := anyPod(t)
		before := pod.DeepCopy()
		result, errs := Pod(pod, "acme", nil, config)
		if !equality.Semantic.DeepEqual(pod, before) {
			t.Fatal("the argument has changed")
		}
		if len(errs) > 0 {
			if result != nil {
				t.Fatal("refused, and yet changed")
			}
			return
		}
		accepted++
		again, errs := Pod(result, "acme", nil, config)
		if len(errs) > 0 || !equality.Semantic.DeepEqual(result, again) {
			t.Fatalf("not idempotent: %v", errs)
		}
		if errs := Verify(result, "acme", nil); len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		checkUnchanged(t, pod, result)
		checkServices(t, pod, result)
	})
	if accepted == 0 {
		t.Error("no Pod was accepted")
	}
}

func checkUnchanged(t *rapid.T, pod, result *corev1.Pod) {
	if n := len(pod.Spec.InitContainers); len(result.Spec.InitContainers) != n+1 ||
		!equality.Semantic.DeepEqual(pod.Spec.InitContainers, result.Spec.InitContainers[:n:n]) && n > 0 {
		t.Fatal("other init containers have changed")
	}
	volumes := 2
	if pod.Annotations[v1alpha1.AnnotationPrincipalSecret] != "" {
		volumes++
	}
	if len(pod.Spec.Containers) != len(result.Spec.Containers) || len(result.Spec.Volumes) != len(pod.Spec.Volumes)+volumes {
		t.Fatal("other containers or volumes have changed")
	}
	for i := range pod.Spec.Containers {
		was, is := &pod.Spec.Containers[i], &result.Spec.Containers[i]
		if !equality.Semantic.DeepEqual(withoutPorts(was), withoutPorts(is)) {
			t.Fatalf("container %s has changed", was.Name)
		}
		called := calledPorts(is)
		for j, port := range calledPorts(was) {
			if before := probed(was, port); before != 0 && probed(is, called[j]) != before {
				t.Fatalf("container %s is probed at %d, not at %d", was.Name, probed(is, called[j]), before)
			}
		}
	}
}

func checkServices(t *rapid.T, pod, result *corev1.Pod) {
	server := upstreamOf(t, sidecar(&result.Spec))
	content := intstr.Parse(server.Upstream.Port())
	for _, name := range []string{"http", "web", "metrics", "a"} {
		was, is := found(&pod.Spec, name), found(&result.Spec, name)
		switch {
		case was == content.IntVal && server.ProxyAddress != fmt.Sprintf(":%d", is):
			t.Fatalf("a Service of port %q reaches %d, without the sidecar at %s", name, is, server.ProxyAddress)
		case was != content.IntVal && is != was:
			t.Fatalf("a Service of port %q reaches %d, not %d", name, is, was)
		}
	}
}

// TestOptionsAreFlags: what annotations may set, the validation server understands, and the examples in messages are valid.
func TestOptionsAreFlags(t *testing.T) {
	together := map[string]string{"on-stale": "max-staleness=1h", "proxy-protocol": "trusted-proxies=10.0.0.0/8"}
	for _, name := range OptionNames() {
		text := name + "=" + flags[name].example + " " + together[name]
		settings, errs := Parse(map[string]string{v1alpha1.AnnotationGroup: "acme", v1alpha1.AnnotationOptions: text}, "acme", nil)
		if len(errs) > 0 {
			t.Errorf("%s: %v", text, errs.ToAggregate())
			continue
		}
		if _, err := parsed(args(settings, 9000, config)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzAnnotations: any annotations are read in bounded time with bounded messages, and what is accepted is understood by the
// validation server and the same in any order of the options.
func FuzzAnnotations(f *testing.F) {
	f.Add("acme", "http", "8080", "marketing", "trusted-proxies=10.0.0.0/8 on-stale=deny max-staleness=1h", "64Mi", "1")
	f.Add("tenants/acme", "9000", "", "", "--log-level=debug", "1e9", "100m")
	f.Add("a/b/c", "-1", "99999", "$(POD_NAME)", "idle-timeout=0s max-connections=-1", "1Ei", "0")
	f.Fuzz(func(t *testing.T, group, upstream, proxy, project, flags, memory, cpu string) {
		annotations := map[string]string{
			v1alpha1.AnnotationGroup: group, v1alpha1.AnnotationUpstreamPort: upstream, v1alpha1.AnnotationProxyPort: proxy,
			v1alpha1.AnnotationProject: project, v1alpha1.AnnotationOptions: flags, v1alpha1.AnnotationMemoryLimit: memory,
			v1alpha1.AnnotationCPULimit: cpu,
		}
		settings, errs := Parse(annotations, "acme", nil)
		if len(errs) > 0 {
			if text := bounded(errs).ToAggregate().Error(); len(text) > 32<<10 {
				t.Errorf("a message of %d bytes", len(text))
			}
			return
		}
		line := args(settings, 9000, config)
		server, err := parsed(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if strings.Contains(strings.ReplaceAll(strings.Join(line, " "), "--instance=$(POD_NAME)", ""), "$(") {
			t.Errorf("the kubelet expands %q", line)
		}
		if len(server.Sync.Groups) != 1 || server.Sync.Groups[0] != settings.GroupNamespace+"/"+settings.GroupName {
			t.Errorf("%q is for %q", line, server.Sync.Groups)
		}
		words := strings.Fields(flags)
		rand.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		annotations[v1alpha1.AnnotationOptions] = strings.Join(words, "\n")
		if other, errs := Parse(annotations, "acme", nil); len(errs) > 0 || !slices.Equal(other.Options, settings.Options) ||
			other.fingerprint() != settings.fingerprint() {
			t.Errorf("in another order: %v", errs)
		}
	})
}
