package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// The keys with which a sidecar signs principals. Only the sidecar mounts them.
const (
	principalVolume = "keyward-principal"
	principalPath   = "/var/run/keyward/principal"
)

func (r *reader) principalSecret() string {
	value := r.get(v1alpha1.AnnotationPrincipalSecret)
	if value != "" && len(validation.IsDNS1123Subdomain(value)) > 0 {
		r.invalid(v1alpha1.AnnotationPrincipalSecret, value, "write the name of a Secret of the Pod's namespace, such as keyward-principal")
	}
	return value
}

// addPrincipal adds the keys to the sidecar and its Pod.
func addPrincipal(spec *corev1.PodSpec, added *corev1.Container, settings *Settings) {
	if settings.PrincipalSecret == "" {
		return
	}
	added.VolumeMounts = append(added.VolumeMounts, corev1.VolumeMount{Name: principalVolume, MountPath: principalPath, ReadOnly: true})
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: principalVolume, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: settings.PrincipalSecret},
	}})
}

// isClaim reports whether a text may be a claim of principals. Others would be expanded by the kubelet.
func isClaim(value string) bool {
	const longest = 255
	if value == "" || len(value) > longest {
		return false
	}
	for _, c := range []byte(value) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != ':' && c != '/' {
			return false
		}
	}
	return true
}
