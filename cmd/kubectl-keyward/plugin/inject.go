package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/inject"
)

// injection is what the command line says of a sidecar.
type injection struct {
	workload             string
	group, port, project string
}

// annotations returns what the flags set.
func (i *injection) annotations() map[string]string {
	set := map[string]string{}
	for name, value := range map[string]string{
		v1alpha1.AnnotationGroup: i.group, v1alpha1.AnnotationUpstreamPort: i.port, v1alpha1.AnnotationProject: i.project,
	} {
		if value != "" {
			set[name] = value
		}
	}
	return set
}

func (a *app) inject() *cobra.Command {
	wanted := &injection{}
	cmd := &cobra.Command{
		Use:   "inject --for KIND/NAME",
		Short: "Print what puts a validation server in front of a workload, as a sidecar: labels, annotations and its Role",
		Long: `Print what puts a validation server in front of a workload, as a sidecar: labels, annotations and its Role.

Nothing is changed. Apply the output, or add it to your manifests. What needs attention is on standard error.`,
		Example: `  kubectl keyward -n acme inject --for deploy/content --group acme | kubectl apply --server-side -f -
  kubectl keyward -n acme inject --for sts/content --group tenants/acme --upstream-port http --project marketing`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			for flag, value := range map[string]string{"for": wanted.workload, "group": wanted.group, "upstream-port": wanted.port,
				"project": wanted.project} {
				if strings.Contains(value, "_") { // as no name has, and every key of Keyward's own
					return usagef("--%s: this is no name; %s", flag, mayBeKey)
				}
			}
			_, _, err := parseWorkload(wanted.workload)
			return err
		},
		RunE: a.withSession(func(ctx context.Context, s *session, _ []string) error { return a.printInjection(ctx, s, wanted) }),
	}
	cmd.Flags().StringVar(&wanted.workload, "for", "", "the workload: deploy/NAME, sts/NAME, ds/NAME or cronjob/NAME")
	cmd.Flags().StringVar(&wanted.group, "group", "", "the Group whose keys are accepted: NAME or NAMESPACE/NAME")
	cmd.Flags().StringVar(&wanted.port, "upstream-port", "", "name or number of the content server's port, if the Pods have several")
	cmd.Flags().StringVar(&wanted.project, "project", "", "the project of all requests; without it routes decide")
	return cmd
}

// printInjection prints the documents, after it has checked that the Pods can have a sidecar.
func (a *app) printInjection(ctx context.Context, s *session, wanted *injection) error {
	kind, name, err := parseWorkload(wanted.workload)
	if err != nil {
		return err
	}
	template, err := s.template(ctx, kind, name)
	if err != nil {
		return err
	}
	namespace := &corev1.Namespace{}
	if err := s.Get(ctx, client.ObjectKey{Name: s.namespace}, namespace); err != nil {
		a.narrate("! What Namespace %s allows is not known: %v", s.namespace, err)
	} else if namespace.Labels[v1alpha1.LabelInjection] != v1alpha1.InjectionEnabled {
		a.narrate("! Namespace %s does not allow sidecars yet, and refuses Pods with the label: let the platform run "+
			"kubectl label namespace %s %s=%s", s.namespace, s.namespace, v1alpha1.LabelInjection, v1alpha1.InjectionEnabled)
	}
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	maps.Copy(pod.Annotations, wanted.annotations())
	result, problems := inject.Pod(pod, s.namespace, namespace.Annotations, inject.Config{})
	if len(problems) > 0 {
		return refusedf("%w", problemsOf(problems))
	}
	settings, problems := inject.Parse(pod.Annotations, s.namespace, namespace.Annotations)
	if len(problems) > 0 {
		return refusedf("%w", problemsOf(problems))
	}
	a.checkGroup(ctx, s, settings)
	a.checkServices(ctx, s, pod, result)
	serviceAccount := template.Spec.ServiceAccountName
	if serviceAccount == "" || serviceAccount == "default" {
		serviceAccount = "default"
		a.narrate("! The Pods run as ServiceAccount default, as all Pods of the namespace that name none: give them one of their own.")
	}
	documents := append(roleFor(settings, s.namespace, serviceAccount), patchOf(kind, name, s.namespace, wanted.annotations()))
	return a.printDocuments(documents)
}

// problemsOf joins problems without the values, which may be keys.
func problemsOf(list field.ErrorList) error {
	all := make([]error, 0, len(list))
	for _, problem := range list {
		detail := problem.Detail
		if detail == "" {
			detail = strings.ToLower(problem.Type.String())
		}
		all = append(all, fmt.Errorf("%s: %s", problem.Field, detail))
	}
	return errors.Join(all...)
}

// checkGroup reports a Group or a project that does not exist.
func (a *app) checkGroup(ctx context.Context, s *session, settings *inject.Settings) {
	group := &v1alpha1.Group{}
	err := s.Get(ctx, types.NamespacedName{Namespace: settings.GroupNamespace, Name: settings.GroupName}, group)
	switch {
	case apierrors.IsNotFound(err) && looksLikeKey(settings.GroupName):
		a.narrate("! There is no Group of that name in namespace %s.", settings.GroupNamespace)
	case apierrors.IsNotFound(err):
		a.narrate("! There is no Group %s/%s.", settings.GroupNamespace, settings.GroupName)
	case err != nil:
		a.narrate("! The Group is not known: %v", err)
	}
	if err != nil {
		return
	}
	names := map[string]bool{string(v1alpha1.DefaultProject): len(group.Spec.Projects) == 0}
	for _, project := range group.Spec.Projects {
		names[string(project.Name)] = true
	}
	if settings.Project != "" && !names[settings.Project] {
		a.narrate("! Group %s/%s has no project %s.", settings.GroupNamespace, settings.GroupName, settings.Project)
	}
}

// checkServices reports whether the Services of the Pods reach the sidecar.
func (a *app) checkServices(ctx context.Context, s *session, pod, result *corev1.Pod) {
	services := &corev1.ServiceList{}
	if err := s.List(ctx, services, client.InNamespace(s.namespace)); err != nil {
		a.narrate("! Whether Services reach the sidecar is not known: %v", err)
		return
	}
	for _, finding := range inject.CheckServices(pod, result, services.Items) {
		mark := "  "
		if !finding.ThroughSidecar {
			mark = "! "
		}
		a.narrate("%s%s", mark, finding.Message)
	}
}

// roleFor returns the Role for the Group of the settings, and its RoleBinding.
func roleFor(settings *inject.Settings, namespace, serviceAccount string) []any {
	name := "keyward-validator-" + settings.GroupName
	binding := name + "-" + serviceAccount
	if namespace != settings.GroupNamespace {
		binding = name + "-" + namespace + "-" + serviceAccount
	}
	return []any{
		&rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
			ObjectMeta: metav1.ObjectMeta{Namespace: settings.GroupNamespace, Name: name},
			Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"groups"},
				ResourceNames: []string{settings.GroupName}, Verbs: []string{v1alpha1.VerbValidate},
			}},
		},
		&rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Namespace: settings.GroupNamespace, Name: binding},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: serviceAccount}},
		},
	}
}

// printDocuments prints YAML documents that kubectl apply reads, or with -o one List.
func (a *app) printDocuments(documents []any) error {
	list := map[string]any{"apiVersion": "v1", "kind": "List", "items": documents}
	all := make([]string, 0, len(documents))
	for _, document := range documents {
		encoded, err := json.Marshal(document)
		if err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		text, err := yaml.JSONToYAML([]byte(cleaned(string(encoded), func(rune) string { return "" })))
		if err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		all = append(all, string(text))
	}
	return a.print(list, func(p *page) { p.WriteString(strings.Join(all, "---\n")) })
}
