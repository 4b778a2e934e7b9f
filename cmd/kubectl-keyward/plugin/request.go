package plugin

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// maxRequestText is how many characters a use case and a reason have at most.
const maxRequestText = 500

// asking is what the command line says of a request.
type asking struct {
	projects, permissions []string
	useCase, lifetime     string
	dryRun                bool
}

func (a *app) request() *cobra.Command {
	wanted := &asking{}
	cmd := &cobra.Command{
		Use:   "request GROUP [NAME] --project PROJECT --use-case TEXT",
		Short: "Ask the owner of a Group for a key",
		Long: `Ask the owner of a Group for a key, with a KeyRequest in the namespace where the key is needed.

GROUP is NAME or NAMESPACE/NAME. If the request is approved, an ApiKey of the name NAME is created in the namespace; without it,
of the name of the Group. What is asked cannot be changed afterwards: delete the KeyRequest, and create another.`,
		Example: `  kubectl keyward -n shop request acme/acme web --project marketing --use-case "The shop shows scenes" --lifetime 90d
  kubectl keyward -n shop request acme/acme --project marketing --use-case "The shop shows scenes" --dry-run -o yaml`,
		Args:              requestArguments,
		ValidArgsFunction: a.completeGroups,
		PreRunE:           func(*cobra.Command, []string) error { return wanted.check() },
		RunE: a.withSession(func(ctx context.Context, s *session, args []string) error {
			request := wanted.of(s.namespace, args)
			if wanted.dryRun {
				return a.printManifest(request)
			}
			return a.createRequest(ctx, s, request)
		}),
	}
	cmd.Flags().StringSliceVar(&wanted.projects, "project", nil, "a project of the Group that the key is to reach; may be repeated")
	cmd.Flags().StringSliceVar(&wanted.permissions, "permission", nil, "a permission of the key: read, or a capability of the Group; may be repeated; default: read")
	cmd.Flags().StringVar(&wanted.useCase, "use-case", "", "what the key is for, for the owner of the Group; at most 500 characters")
	cmd.Flags().StringVar(&wanted.lifetime, "lifetime", "", "how long the key is to live, such as 90d; default: what the Group says")
	cmd.Flags().BoolVar(&wanted.dryRun, "dry-run", false, "print the KeyRequest, and create nothing; no cluster is asked")
	return cmd
}

// requestArguments requires a Group, and accepts a name.
func requestArguments(cmd *cobra.Command, args []string) error {
	if err := cobra.RangeArgs(1, 2)(cmd, args); err != nil {
		return err
	}
	if parts := strings.Split(args[0], "/"); len(parts) > 2 || slices.ContainsFunc(parts, notName) {
		return errNoGroup
	}
	if len(args) == 2 && notName(args[1]) {
		return errors.New("no KeyRequest can have such a name; " + mayBeKey)
	}
	return nil
}

func notName(text string) bool { return len(validation.IsDNS1123Subdomain(text)) > 0 }

// check refuses what no cluster would accept.
func (w *asking) check() error {
	if len(w.projects) == 0 {
		return usagef("--project: name at least one project of the Group")
	}
	for flag, names := range map[string][]string{"project": w.projects, "permission": w.permissions} {
		if slices.ContainsFunc(names, func(name string) bool { return len(validation.IsDNS1123Label(name)) > 0 }) {
			return usagef("--%s: this is no name; %s", flag, mayBeKey)
		}
	}
	if w.useCase == "" {
		return usagef("--use-case: say what the key is for, so that the owner of the Group can decide")
	}
	if parsed, err := grant.ParseDuration(v1alpha1.Duration(w.lifetime)); w.lifetime != "" && (err != nil || parsed < time.Second) {
		return usagef("--lifetime: write a duration such as 90d")
	}
	return checkText("use-case", w.useCase)
}

// checkText refuses a text that is too long, has what the schema refuses, or would show a key to all who may read requests.
func checkText(flag, text string) error {
	if utf8.RuneCountInString(text) > maxRequestText {
		return usagef("--%s: write at most %d characters", flag, maxRequestText)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) || !utf8.ValidString(text) {
		return usagef("--%s: this has control characters, which would act on the terminals of others; write text", flag)
	}
	if slices.ContainsFunc(strings.Fields(text), keyformat.WellFormed) {
		return usagef("--%s: this has a key, which others would read; leave it out", flag)
	}
	return nil
}

// of returns the KeyRequest.
func (w *asking) of(namespace string, args []string) *v1alpha1.KeyRequest {
	request := &v1alpha1.KeyRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "KeyRequest"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: args[len(args)-1]},
	}
	ref := &request.Spec.GroupRef
	if in, name, qualified := strings.Cut(args[0], "/"); qualified {
		ref.Namespace, ref.Name = in, name
	} else {
		ref.Name = args[0]
	}
	if len(args) == 1 {
		request.Name = ref.Name
	}
	if ref.Namespace == namespace {
		ref.Namespace = ""
	}
	for _, name := range w.projects {
		request.Spec.Projects = append(request.Spec.Projects, v1alpha1.ProjectName(name))
	}
	for _, name := range w.permissions {
		request.Spec.Permissions = append(request.Spec.Permissions, v1alpha1.PermissionName(name))
	}
	request.Spec.UseCase, request.Spec.Lifetime = w.useCase, v1alpha1.Duration(w.lifetime)
	return request
}

// requestDone is the document that a command prints which creates a request, or decides about one.
type requestDone struct {
	Action  string      `json:"action"`
	Request requestView `json:"request"`
}

// printManifest prints a request as it would be applied.
func (a *app) printManifest(request *v1alpha1.KeyRequest) error {
	spec := request.Spec
	manifest := struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string       `json:"metadata"`
		Spec            v1alpha1.KeyRequestSpec `json:"spec"`
	}{request.TypeMeta, map[string]string{"namespace": request.Namespace, "name": request.Name}, spec}
	if a.output == "" {
		a.output = "yaml"
	}
	return a.print(manifest, func(*page) {})
}

// createRequest creates a request.
func (a *app) createRequest(ctx context.Context, s *session, request *v1alpha1.KeyRequest) error {
	err := s.Create(ctx, request, fieldOwner)
	if apierrors.IsAlreadyExists(err) {
		return refusedf("there is a KeyRequest %s/%s: a request stays what it is; write another NAME, or delete it, which revokes its key if it has one",
			request.Namespace, request.Name)
	}
	if err != nil {
		return err
	}
	view := viewOfRequest(request)
	return a.print(requestDone{"request", view}, func(p *page) {
		p.line("%s asks for a key of Group %s, whose owner decides.", p.paint(bold, view.Namespace+"/"+view.Name), view.Group)
		p.line("See what becomes of it: kubectl keyward -n %s requests --mine", view.Namespace)
	})
}
