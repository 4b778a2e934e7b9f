// Package inject adds a validation server as a sidecar to a Pod, so that requests to the Pod's content server pass it first.
// It only computes: the webhook applies the result, and kubectl keyward shows what it would be.
package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// Config is what the manager knows of sidecars.
type Config struct {
	// Image of the validation server.
	Image string
	// ManagerNamespace is the namespace of the manager, and of the Service of its sync port.
	ManagerNamespace string
	// TrustBundle is the name of the ClusterTrustBundle with the authority of the manager's certificate. If it is empty, the
	// ConfigMap keyward-ca of the Pod's namespace is mounted.
	TrustBundle string
}

// Names of what is added to a Pod.
const (
	ContainerName  = "keyward"
	syncVolume     = "keyward-sync"
	snapshotVolume = "keyward-snapshot"
)

// maxProblems is how many problems are reported at most. An author of a Pod decides how many there are.
const maxProblems = 20

// Pod returns a copy of the Pod with the sidecar, or all reasons why it cannot have one. The Pod is to be created in the
// namespace, whose annotations are defaults. A Pod that has the sidecar for the same settings already is returned as it is: other
// webhooks may have changed the sidecar, as those that replace registries of images, and the result must not depend on how
// often it is computed.
func Pod(pod *corev1.Pod, namespace string, defaults map[string]string, config Config) (*corev1.Pod, field.ErrorList) {
	settings, errs := Parse(pod.Annotations, namespace, defaults)
	if len(errs) > 0 {
		return nil, bounded(errs)
	}
	fingerprint := settings.fingerprint()
	if injected, has := pod.Annotations[v1alpha1.AnnotationInjected]; has {
		return again(pod, injected, fingerprint)
	}
	errs = obstacles(pod)
	target, portErrs := findUpstream(&pod.Spec, settings)
	if errs = append(errs, portErrs...); len(errs) > 0 {
		return nil, bounded(errs)
	}
	result := pod.DeepCopy()
	names := target.takeNames(&result.Spec)
	if result.Annotations == nil {
		result.Annotations = map[string]string{}
	}
	result.Annotations[v1alpha1.AnnotationInjected] = fingerprint
	// As the last one, so that it starts after the init containers that are there, which may set up the network, and it ends
	// before the sidecars that are there, of which one may be the network.
	result.Spec.InitContainers = append(result.Spec.InitContainers, container(settings, target.number, names, config))
	result.Spec.Volumes = append(result.Spec.Volumes, volumes(config)...)
	return result, nil
}

// again is Pod for a Pod that says that it has the sidecar.
func again(pod *corev1.Pod, injected, fingerprint string) (*corev1.Pod, field.ErrorList) {
	path := annotationPath(v1alpha1.AnnotationInjected)
	if sidecar(&pod.Spec) == nil {
		return nil, field.ErrorList{field.Forbidden(path, "only Keyward sets it, and the Pod has no sidecar: remove the annotation")}
	}
	if injected != fingerprint {
		return nil, field.ErrorList{field.Invalid(path, shown(injected),
			fmt.Sprintf("the Pod has a sidecar for other settings: remove the annotation, the init container %q and the volumes %q and %q",
				ContainerName, syncVolume, snapshotVolume))}
	}
	return pod.DeepCopy(), nil
}

// Verify returns the reasons why clients of a labelled Pod could reach its content server without a decision. It is for the Pod
// as it is stored, after all webhooks that change it.
func Verify(pod *corev1.Pod) field.ErrorList {
	added := sidecar(&pod.Spec)
	if added == nil || pod.Annotations[v1alpha1.AnnotationInjected] == "" {
		return field.ErrorList{field.Forbidden(labelPath(),
			"the Pod got no sidecar; it is not created, because its content would be open to everybody")}
	}
	var errs field.ErrorList
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
	return bounded(errs)
}

// sidecar returns the sidecar of the Pod, or nil.
func sidecar(spec *corev1.PodSpec) *corev1.Container {
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.Name == ContainerName && ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			return c
		}
	}
	return nil
}

// obstacles returns why a Pod cannot have a sidecar, apart from its ports.
func obstacles(pod *corev1.Pod) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	if pod.Spec.HostNetwork {
		errs = append(errs, field.Forbidden(spec.Child("hostNetwork"),
			"the content server would be reachable at the node, without a decision: remove it or the label "+v1alpha1.LabelInject))
	}
	if pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows {
		errs = append(errs, field.NotSupported(spec.Child("os", "name"), pod.Spec.OS.Name, []corev1.OSName{corev1.Linux}))
	}
	taken := "Keyward adds one of this name: rename it, or, if it is a sidecar for Keyward, remove it or the label " + v1alpha1.LabelInject
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == ContainerName {
			errs = append(errs, field.Forbidden(spec.Child("initContainers").Index(i).Child("name"), taken))
		}
	}
	for i := range pod.Spec.Containers {
		if pod.Spec.Containers[i].Name == ContainerName {
			errs = append(errs, field.Forbidden(spec.Child("containers").Index(i).Child("name"), taken))
		}
	}
	for i := range pod.Spec.Volumes {
		if name := pod.Spec.Volumes[i].Name; name == syncVolume || name == snapshotVolume {
			errs = append(errs, field.Forbidden(spec.Child("volumes").Index(i).Child("name"), taken))
		}
	}
	return errs
}

func annotationPath(name string) *field.Path {
	return field.NewPath("metadata", "annotations").Key(name)
}

func labelPath() *field.Path { return field.NewPath("metadata", "labels").Key(v1alpha1.LabelInject) }

// bounded leaves out what is too much to report.
func bounded(errs field.ErrorList) field.ErrorList {
	if len(errs) <= maxProblems {
		return errs
	}
	return append(errs[:maxProblems:maxProblems],
		field.Invalid(field.NewPath("spec"), field.OmitValueType{}, fmt.Sprintf("and more than these %d; fix them first", maxProblems)))
}
