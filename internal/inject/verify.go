package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// startOver is for Pods that were made from one that has a sidecar.
const startOver = "remove the annotation " + v1alpha1.AnnotationInjected + ", the init container " + ContainerName + " and the volumes " +
	syncVolume + ", " + snapshotVolume + " and " + principalVolume + ", name the content server's port again, and Keyward adds a new sidecar"

// again is Pod for a Pod that says that it has the sidecar.
func again(pod *corev1.Pod, injected string, settings *Settings) (*corev1.Pod, field.ErrorList) {
	path := annotationPath(v1alpha1.AnnotationInjected)
	added := sidecar(&pod.Spec)
	if added == nil {
		return nil, field.ErrorList{field.Forbidden(path, "only Keyward sets it, and the Pod has no sidecar: remove the annotation")}
	}
	if injected != settings.fingerprint() {
		return nil, field.ErrorList{field.Invalid(path, shown(injected), "the Pod has a sidecar for other settings: "+startOver)}
	}
	if errs := present(pod, added, settings); len(errs) > 0 {
		return nil, bounded(errs)
	}
	return pod.DeepCopy(), nil
}

// Verify returns the reasons why clients of a labelled Pod could reach its content server without a decision, or with another than its
// settings say. It is for the Pod as it is stored, after all webhooks that change it.
func Verify(pod *corev1.Pod, namespace string, defaults map[string]string) field.ErrorList {
	added := sidecar(&pod.Spec)
	if added == nil || pod.Annotations[v1alpha1.AnnotationInjected] == "" {
		return field.ErrorList{field.Forbidden(labelPath(),
			"the Pod got no sidecar; it is not created, because its content would be open to everybody")}
	}
	settings, errs := Parse(pod.Annotations, namespace, defaults)
	if len(errs) == 0 {
		errs = present(pod, added, settings)
	}
	return bounded(errs)
}

// present returns why the sidecar that a Pod has would not be in front of its content server. What an injection does not depend on may
// differ from what it would add: images and resources, which other webhooks change, and flags that only another version sets.
func present(pod *corev1.Pod, added *corev1.Container, settings *Settings) field.ErrorList {
	errs := append(obstacles(pod), changedFlags(pod, added, settings)...)
	errs = append(errs, changedPorts(pod, added, settings)...)
	if len(errs) > 0 {
		return errs
	}
	// As if it had no sidecar. Its number stands for the name that the sidecar has taken.
	rest := pod.Spec.DeepCopy()
	rest.InitContainers[indexOf(pod)].Ports = nil // the indexes of others stay
	searched := *settings
	searched.UpstreamPort = intstr.FromInt32(contentPort(added))
	_, errs = findUpstream(rest, &searched)
	return append(errs, duplicates(pod, added)...)
}

// indexOf returns the index of the sidecar, which is there.
func indexOf(pod *corev1.Pod) int {
	return slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == ContainerName })
}

func sidecarPath(pod *corev1.Pod) *field.Path {
	return field.NewPath("spec", "initContainers").Index(indexOf(pod))
}

// decisive are the flags that say what the sidecar decides and for whom.
var decisive = []string{"group", "upstream", "project", "proxy-bind-address", "principal-key-file"}

// changedFlags returns how the command line differs from what the settings say.
func changedFlags(pod *corev1.Pod, added *corev1.Container, settings *Settings) (errs field.ErrorList) {
	if len(added.Command) > 0 {
		errs = append(errs, field.Forbidden(sidecarPath(pod).Child("command"), "the sidecar runs what its image says: "+startOver))
	}
	wanted := args(settings, contentPort(added), Config{})
	for _, name := range decisive {
		if !slices.Equal(valuesOf(added.Args, name), valuesOf(wanted, name)) {
			errs = append(errs, field.Forbidden(sidecarPath(pod).Child("args"), fmt.Sprintf(
				"--%s is not what the annotations say, which is %s: %s", name, shown(strings.Join(valuesOf(wanted, name), " ")), startOver)))
		}
	}
	for _, option := range settings.Options {
		name, value, _ := strings.Cut(option, "=")
		if values := valuesOf(added.Args, name); len(values) == 0 || values[len(values)-1] != value {
			errs = append(errs, field.Forbidden(sidecarPath(pod).Child("args"), fmt.Sprintf(
				"--%s is not what the annotations say, which is %s: %s", name, shown(value), startOver)))
		}
	}
	return errs
}

// valuesOf returns the values that a command line has for a flag.
func valuesOf(line []string, name string) (values []string) {
	for i, arg := range line {
		flag, value, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if flag != name || !strings.HasPrefix(arg, "-") {
			continue
		}
		if !joined && i+1 < len(line) {
			value = line[i+1]
		}
		values = append(values, value)
	}
	return values
}

// changedPorts returns how the ports differ from those of a Pod that has just got its sidecar.
func changedPorts(pod *corev1.Pod, added *corev1.Container, settings *Settings) (errs field.ErrorList) {
	number, name := contentPort(added), settings.UpstreamPort.StrVal
	if !slices.ContainsFunc(added.Ports, func(p corev1.ContainerPort) bool {
		return p.ContainerPort == settings.ProxyPort && p.Name != "" && (name == "" || p.Name == name)
	}) {
		errs = append(errs, field.Forbidden(sidecarPath(pod).Child("ports"), fmt.Sprintf(
			"the sidecar's port %d with the name of the content server's is missing: %s", settings.ProxyPort, startOver)))
	}
	if settings.UpstreamPort.IntVal != 0 && settings.UpstreamPort.IntVal != number {
		return errs // changedFlags says so
	}
	declared := settings.UpstreamPort.IntVal != 0
	eachPort(&pod.Spec, func(i, j int, port *corev1.ContainerPort) {
		if port.ContainerPort != number {
			return
		}
		declared = true
		if port.Name != "" {
			errs = append(errs, field.Forbidden(portPath(i, j).Child("name"),
				"the sidecar is in front of this port and has its name, so that a Service finds the sidecar: remove the name, or "+startOver))
		}
	})
	if !declared {
		errs = append(errs, field.Forbidden(sidecarPath(pod).Child("args"), fmt.Sprintf(
			"it forwards to port %d, which no container has: %s", number, startOver)))
	}
	return errs
}

// duplicates returns the ports that have a name of the sidecar's.
func duplicates(pod *corev1.Pod, added *corev1.Container) (errs field.ErrorList) {
	taken := func(path *field.Path, name string) {
		if name != "" && slices.ContainsFunc(added.Ports, func(p corev1.ContainerPort) bool { return p.Name == name }) {
			errs = append(errs, field.Duplicate(path.Child("name"), shown(name)))
		}
	}
	eachPort(&pod.Spec, func(i, j int, port *corev1.ContainerPort) { taken(portPath(i, j), port.Name) })
	eachSidecarPort(&pod.Spec, func(i, j int, port *corev1.ContainerPort) {
		if pod.Spec.InitContainers[i].Name != ContainerName {
			taken(sidecarPortPath(i, j), port.Name)
		}
	})
	return errs
}
