// Package inject adds a validation server as a sidecar to a Pod, so that requests to the Pod's content server pass it first.
// It only computes: the webhook applies the result, and kubectl keyward shows what it would be.
package inject

import (
	"fmt"

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
// namespace, whose annotations are defaults. A Pod that has the sidecar for the same settings already is checked and returned as it
// is: other webhooks may have changed the sidecar, as those that replace registries of images, and the result must not depend on
// how often it is computed.
func Pod(pod *corev1.Pod, namespace string, defaults map[string]string, config Config) (*corev1.Pod, field.ErrorList) {
	settings, errs := Parse(pod.Annotations, namespace, defaults)
	if len(errs) > 0 {
		return nil, bounded(errs)
	}
	if injected, has := pod.Annotations[v1alpha1.AnnotationInjected]; has {
		return again(pod, injected, settings)
	}
	errs = append(obstacles(pod), namesTaken(pod)...)
	target, portErrs := findUpstream(&pod.Spec, settings)
	if errs = append(errs, portErrs...); len(errs) > 0 {
		return nil, bounded(errs)
	}
	result := pod.DeepCopy()
	names := target.takeNames(&result.Spec)
	if result.Annotations == nil {
		result.Annotations = map[string]string{}
	}
	result.Annotations[v1alpha1.AnnotationInjected] = settings.fingerprint()
	// As the last one, so that it starts after the init containers that are there, which may set up the network, and it ends
	// before the sidecars that are there, of which one may be the network.
	added := container(settings, target.number, names, config)
	result.Spec.Volumes = append(result.Spec.Volumes, volumes(config)...)
	addPrincipal(&result.Spec, &added, settings)
	result.Spec.InitContainers = append(result.Spec.InitContainers, added)
	return result, nil
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
