package plugin

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// workloadKind is a kind of objects with a pod template.
type workloadKind struct {
	apiVersion, kind string
	// names are what people write for it.
	names []string
	// path is where the template is, in spec.
	path []string
	// read returns an empty object, and its template.
	read func() (client.Object, *corev1.PodTemplateSpec)
}

var workloadKinds = []workloadKind{
	{"apps/v1", "Deployment", []string{"deploy", "deployment", "deployments"}, []string{"template"},
		func() (client.Object, *corev1.PodTemplateSpec) { o := &appsv1.Deployment{}; return o, &o.Spec.Template }},
	{"apps/v1", "StatefulSet", []string{"sts", "statefulset", "statefulsets"}, []string{"template"},
		func() (client.Object, *corev1.PodTemplateSpec) {
			o := &appsv1.StatefulSet{}
			return o, &o.Spec.Template
		}},
	{"apps/v1", "DaemonSet", []string{"ds", "daemonset", "daemonsets"}, []string{"template"},
		func() (client.Object, *corev1.PodTemplateSpec) { o := &appsv1.DaemonSet{}; return o, &o.Spec.Template }},
	{"batch/v1", "CronJob", []string{"cj", "cronjob", "cronjobs"}, []string{"jobTemplate", "spec", "template"},
		func() (client.Object, *corev1.PodTemplateSpec) {
			o := &batchv1.CronJob{}
			return o, &o.Spec.JobTemplate.Spec.Template
		}},
}

// parseWorkload reads KIND/NAME.
func parseWorkload(text string) (*workloadKind, string, error) {
	kind, name, _ := strings.Cut(text, "/")
	for i := range workloadKinds {
		for _, written := range workloadKinds[i].names {
			if strings.EqualFold(kind, written) && len(validation.IsDNS1123Subdomain(name)) == 0 {
				return &workloadKinds[i], name, nil
			}
		}
	}
	return nil, "", usagef("--for: write a workload such as deploy/content, sts/content, ds/content or cronjob/content")
}

// template reads the pod template of a workload.
func (s *session) template(ctx context.Context, kind *workloadKind, name string) (*corev1.PodTemplateSpec, error) {
	object, template := kind.read()
	resource := kind.names[len(kind.names)-1]
	err := s.read(ctx, name, object, kind.kind, fmt.Sprintf("kubectl -n %s get %s", s.namespace, resource))
	return template, err
}

// patchOf returns the object with nothing but what is to be added to its pod template, for a server-side apply.
func patchOf(kind *workloadKind, name, namespace string, annotations map[string]string) map[string]any {
	added := map[string]any{"labels": map[string]string{v1alpha1.LabelInject: v1alpha1.InjectValidator}}
	if len(annotations) > 0 {
		added["annotations"] = annotations
	}
	spec := map[string]any{"metadata": added}
	for i := len(kind.path) - 1; i >= 0; i-- {
		spec = map[string]any{kind.path[i]: spec}
	}
	return map[string]any{
		"apiVersion": kind.apiVersion, "kind": kind.kind,
		"metadata": map[string]string{"namespace": namespace, "name": name}, "spec": spec,
	}
}
