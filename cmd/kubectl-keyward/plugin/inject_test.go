package plugin

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// contentTemplate is that of a content server with a named port.
func contentTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "content"}},
		Spec: corev1.PodSpec{ServiceAccountName: "content", Containers: []corev1.Container{
			{Name: "content", Image: "acme/content:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}},
		}},
	}
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := admin.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

func deployment(namespace string, change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "content"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "content"}}
	d.Spec.Template = contentTemplate()
	for _, f := range change {
		f(d)
	}
	return d
}

func service(namespace, name string, port corev1.ServicePort) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Selector, s.Spec.Ports = map[string]string{"app": "content"}, []corev1.ServicePort{port}
	return s
}

func groupNamed(namespace, name string, projects ...v1alpha1.ProjectName) *v1alpha1.Group {
	g := &v1alpha1.Group{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, project := range projects {
		g.Spec.Projects = append(g.Spec.Projects, v1alpha1.Project{Name: project})
	}
	return g
}

// applied applies documents as kubectl apply --server-side does.
func applied(t *testing.T, documents string) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(documents), 4096)
	for range strings.Split(documents, "---\n") {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); err != nil {
			t.Fatal(err)
		}
		err := admin.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"))
		if err != nil {
			t.Fatalf("%s: %v", object.GetKind(), err)
		}
	}
}

// TestInject prints what a server-side apply accepts, and changes nothing else of the workload.
func TestInject(t *testing.T) {
	namespace(t, "inject")
	create(t, groupNamed("inject", "acme", "marketing"), deployment("inject"),
		service("inject", "content", corev1.ServicePort{Port: 80, TargetPort: intstr.FromString("http")}),
		service("inject", "direct", corev1.ServicePort{Port: 8080}))
	r := keyward(t, "", "inject", "-n", "inject", "--for", "deploy/content", "--group", "acme", "--project", "marketing")
	r.golden(t, "inject")
	applied(t, r.out)
	after := &appsv1.Deployment{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: "inject", Name: "content"}, after); err != nil {
		t.Fatal(err)
	}
	template := after.Spec.Template
	if template.Labels[v1alpha1.LabelInject] != v1alpha1.InjectValidator || template.Labels["app"] != "content" ||
		template.Annotations[v1alpha1.AnnotationGroup] != "acme" || template.Spec.Containers[0].Image != "acme/content:1" {
		t.Errorf("%+v", template)
	}

	create(t, deployment("inject", func(d *appsv1.Deployment) { d.Name = "other" }))
	list := read[struct {
		Kind  string
		Items []map[string]any
	}](t, keyward(t, "", "inject", "-n", "inject", "--for", "deployment/other", "--group", "tenants/globex", "-o", "json").
		expect(t, 0, "! There is no Group tenants/globex."))
	if list.Kind != "List" || len(list.Items) != 3 || fmt.Sprint(list.Items[1]["metadata"]) !=
		"map[name:keyward-validator-globex-inject-content namespace:tenants]" {
		t.Errorf("%+v", list)
	}
}

// TestInjectOtherWorkloads: each kind has its pod template elsewhere.
func TestInjectOtherWorkloads(t *testing.T) {
	namespace(t, "workloads")
	meta := metav1.ObjectMeta{Namespace: "workloads", Name: "content"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "content"}}
	sts := &appsv1.StatefulSet{ObjectMeta: meta}
	sts.Spec.Selector, sts.Spec.Template = selector, contentTemplate()
	ds := &appsv1.DaemonSet{ObjectMeta: meta}
	ds.Spec.Selector, ds.Spec.Template = selector, contentTemplate()
	cron := &batchv1.CronJob{ObjectMeta: meta}
	cron.Spec.Schedule, cron.Spec.JobTemplate.Spec.Template = "@hourly", contentTemplate()
	cron.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	create(t, groupNamed("workloads", "acme"), sts, ds, cron)
	for _, workload := range []string{"sts/content", "daemonset/content", "cj/content"} {
		applied(t, keyward(t, "", "inject", "-n", "workloads", "--for", workload, "--group", "acme").expect(t, 0).out)
	}
	for _, object := range []client.Object{sts, ds, cron} {
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
	}
	for _, template := range []corev1.PodTemplateSpec{sts.Spec.Template, ds.Spec.Template, cron.Spec.JobTemplate.Spec.Template} {
		if template.Labels[v1alpha1.LabelInject] != v1alpha1.InjectValidator {
			t.Errorf("%+v", template.ObjectMeta)
		}
	}
}

// TestInjectSaysWhatIsMissing: nothing is printed for a workload that could not have a sidecar.
func TestInjectSaysWhatIsMissing(t *testing.T) {
	namespace(t, "missing")
	create(t, deployment("missing", func(d *appsv1.Deployment) {
		c := &d.Spec.Template.Spec.Containers[0]
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: "metrics", ContainerPort: 9090})
		d.Spec.Template.Spec.ServiceAccountName = ""
	}), groupNamed("missing", "acme", "marketing"))
	missing := func(args ...string) result {
		return keyward(t, "", append([]string{"inject", "-n", "missing", "--for", "deploy/content"}, args...)...)
	}
	if r := missing().expect(t, ExitRefused, "keyward.dev/group", "tenants/acme"); r.out != "" {
		t.Error(r.out)
	}
	missing("--group", "acme").expect(t, ExitRefused, "keyward.dev/upstream-port", "http, metrics")
	missing("--group", "acme", "--upstream-port", "http", "--project", "sales").expect(t, 0,
		"! Namespace missing does not allow sidecars yet", "kubectl label namespace missing keyward.dev/injection=enabled",
		"has no project sales", "ServiceAccount default")
	missing("--group", "Acme").expect(t, ExitRefused, "keyward.dev/group", "namespace/name")
	keyward(t, "", "inject", "-n", "missing", "--for", "deploy/none", "--group", "acme").expect(t, ExitError, "kubectl -n missing get deployments")
	for _, workload := range []string{"", "content", "pod/content", "deploy/", "deploy/a/b"} {
		keyward(t, "", "inject", "--for", workload).expect(t, ExitUsage, "--for: write a workload such as deploy/content")
	}
	key := mint(t, 7).Reveal()
	for _, flag := range []string{"--for=deploy/", "--for=", "--group=", "--group=acme/", "--upstream-port=", "--project="} {
		keyward(t, "", "inject", "--for=deploy/content", flag+key).expect(t, ExitUsage).lacks(t, key)
	}
}
