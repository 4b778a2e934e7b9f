package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// obstacles returns why a Pod cannot have a sidecar, apart from its ports, whether it has one already or not.
func obstacles(pod *corev1.Pod) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	if pod.Spec.HostNetwork {
		errs = append(errs, field.Forbidden(spec.Child("hostNetwork"),
			"the content server would be reachable at the node, without a decision: remove it or the label "+v1alpha1.LabelInject))
	}
	if pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows {
		errs = append(errs, field.NotSupported(spec.Child("os", "name"), pod.Spec.OS.Name, []corev1.OSName{corev1.Linux}))
	}
	return append(append(errs, otherSystem(&pod.Spec)...), withoutClusterDNS(&pod.Spec)...)
}

// otherSystem returns what binds the Pod to nodes on which the sidecar does not run.
func otherSystem(spec *corev1.PodSpec) (errs field.ErrorList) {
	const linux = "the sidecar is a Linux container: let the Pod run on linux, or remove the label " + v1alpha1.LabelInject
	path := field.NewPath("spec")
	if system, has := spec.NodeSelector[corev1.LabelOSStable]; has && system != string(corev1.Linux) {
		errs = append(errs, field.Invalid(path.Child("nodeSelector").Key(corev1.LabelOSStable), shown(system), linux))
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return errs
	}
	terms := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	elsewhere := func(term corev1.NodeSelectorTerm) bool {
		return slices.ContainsFunc(term.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return r.Key == corev1.LabelOSStable && slices.Contains(r.Values, string(corev1.Linux)) == (r.Operator == corev1.NodeSelectorOpNotIn) &&
				(r.Operator == corev1.NodeSelectorOpIn || r.Operator == corev1.NodeSelectorOpNotIn)
		})
	}
	if len(terms) > 0 && !slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool { return !elsewhere(t) }) {
		errs = append(errs, field.Forbidden(path.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"), linux))
	}
	return errs
}

// withoutClusterDNS returns what keeps the sidecar from finding the manager, whose Service it looks up without the cluster's domain.
func withoutClusterDNS(spec *corev1.PodSpec) field.ErrorList {
	path, config := field.NewPath("spec", "dnsPolicy"), spec.DNSConfig
	switch {
	case spec.DNSPolicy == corev1.DNSDefault && (config == nil || len(config.Nameservers) == 0):
		return field.ErrorList{field.Invalid(path, spec.DNSPolicy, "the sidecar would not find the manager by the node's DNS: write ClusterFirst")}
	case spec.DNSPolicy == corev1.DNSNone && (config == nil || len(config.Searches) == 0):
		return field.ErrorList{field.Invalid(path, spec.DNSPolicy, "the sidecar would not find the manager's Service: write ClusterFirst, or add the "+
			"domain of the cluster, such as cluster.local, to dnsConfig.searches")}
	}
	return nil
}

// namesTaken returns which names of a Pod without a sidecar are those of what is added.
func namesTaken(pod *corev1.Pod) (errs field.ErrorList) {
	const taken = "Keyward adds one of this name: rename it, or, if it is a sidecar for Keyward, remove it or the label " + v1alpha1.LabelInject
	spec := field.NewPath("spec")
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
		if name := pod.Spec.Volumes[i].Name; name == syncVolume || name == snapshotVolume || name == principalVolume {
			errs = append(errs, field.Forbidden(spec.Child("volumes").Index(i).Child("name"), taken))
		}
	}
	refuse := func(path *field.Path, port *corev1.ContainerPort) {
		if port.Name == AdminPortName {
			errs = append(errs, field.Forbidden(path.Child("name"), "the sidecar's port for metrics has this name: rename it"))
		}
	}
	eachPort(&pod.Spec, func(i, j int, port *corev1.ContainerPort) { refuse(portPath(i, j), port) })
	eachSidecarPort(&pod.Spec, func(i, j int, port *corev1.ContainerPort) { refuse(sidecarPortPath(i, j), port) })
	return errs
}
