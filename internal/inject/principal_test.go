package inject

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// TestPrincipalSecret: the sidecar, and no other container, gets the keys.
func TestPrincipalSecret(t *testing.T) {
	pod := readPod(t, "testdata/several.yaml")
	without := injected(t, pod)
	pod.Annotations[v1alpha1.AnnotationPrincipalSecret] = "signing"
	pod.Annotations[v1alpha1.AnnotationOptions] = "principal-audience=shop"
	result := injected(t, pod)
	if errs := Verify(result, "acme", defaults); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	last := result.Spec.Volumes[len(result.Spec.Volumes)-1]
	if last.Name != "keyward-principal" || last.Secret == nil || last.Secret.SecretName != "signing" {
		t.Errorf("the volume is %+v", last)
	}
	added := sidecar(&result.Spec)
	if line := strings.Join(added.Args, " "); !strings.Contains(line, "--principal-key-file=/var/run/keyward/principal --principal-audience=shop") {
		t.Error(line)
	}
	mounts := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == last.Name && m.ReadOnly })
	}
	if !mounts(*added) || slices.ContainsFunc(result.Spec.Containers, mounts) {
		t.Error("other containers mount the keys, or the sidecar does not")
	}
	if without.Annotations[v1alpha1.AnnotationInjected] == result.Annotations[v1alpha1.AnnotationInjected] {
		t.Error("both have the same fingerprint")
	}
	delete(result.Annotations, v1alpha1.AnnotationPrincipalSecret)
	if errs := Verify(result, "acme", defaults); len(errs) == 0 {
		t.Error("a sidecar that signs is accepted where nobody has asked for it")
	}
	pod.Annotations[v1alpha1.AnnotationPrincipalSecret] = "Not_A_Name"
	if _, errs := Pod(pod, "acme", defaults, config); len(errs) != 1 || !strings.Contains(errs[0].Detail, "name of a Secret") {
		t.Errorf("%v", errs)
	}
	delete(pod.Annotations, v1alpha1.AnnotationPrincipalSecret)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "keyward-principal"})
	if _, errs := Pod(pod, "acme", defaults, config); len(errs) != 1 {
		t.Errorf("%v", errs)
	}
}
