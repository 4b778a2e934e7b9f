package plugin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// requestView is what is shown of a KeyRequest or its review, in text and with -o.
type requestView struct {
	// Review is the name of the KeyRequestReview, in the namespace of the Group; empty in the view of who asks.
	Review    string `json:"review,omitempty"`
	Group     string `json:"group"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	By        string `json:"by,omitempty"`
	// Via is how it was created, by what the client says about itself; empty where that is not known.
	Via         v1alpha1.Via `json:"via,omitempty"`
	Projects    []string     `json:"projects"`
	Permissions []string     `json:"permissions,omitempty"`
	UseCase     string       `json:"useCase"`
	Lifetime    string       `json:"lifetime,omitempty"`
	// State is that of the KeyRequest: Pending while nobody has decided. A review does not know whether the key was created.
	State   v1alpha1.KeyRequestState `json:"state"`
	Key     string                   `json:"key,omitempty"`
	Message string                   `json:"message,omitempty"`
	Decided []v1alpha1.Decided       `json:"decided,omitempty"`
	AskedAt *metav1.Time             `json:"askedAt,omitempty"`
}

// viewOfRequest is the view of who asks.
func viewOfRequest(request *v1alpha1.KeyRequest) requestView {
	ref := request.Spec.GroupRef
	v := requestView{
		Group: or(ref.Namespace, request.Namespace) + "/" + ref.Name, Namespace: request.Namespace, Name: request.Name,
		By: request.Annotations[v1alpha1.AnnotationCreatedBy], Projects: names(request.Spec.Projects), Permissions: names(request.Spec.Permissions),
		UseCase: request.Spec.UseCase, Lifetime: string(request.Spec.Lifetime), State: request.Status.State, Decided: request.Status.Decided,
		AskedAt: &request.CreationTimestamp, Via: v1alpha1.Via(request.Annotations[v1alpha1.AnnotationCreatedVia]),
	}
	if v.State == "" {
		v.State = v1alpha1.KeyRequestPending
	}
	if request.Status.Key != nil {
		v.Key = request.Status.Key.Name
	}
	if ready := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		v.Message = ready.Message
	}
	return v
}

// viewOfReview is the view of who decides.
func viewOfReview(review *v1alpha1.KeyRequestReview) requestView {
	of := &review.Spec.Request
	v := requestView{
		Review: review.Name, Group: review.Namespace + "/" + review.Spec.Group.Name, Namespace: of.Namespace, Name: of.Name, By: of.By, Via: of.Via,
		Projects: names(review.Spec.Projects), Permissions: names(review.Spec.Permissions), UseCase: review.Spec.UseCase,
		Lifetime: string(review.Spec.Lifetime), State: v1alpha1.KeyRequestPending, Decided: review.Spec.Decided, AskedAt: &of.At,
	}
	if decision := review.Spec.Decision; decision != nil {
		v.State = v1alpha1.KeyRequestState(decision.Verdict)
	}
	return v
}

func (a *app) requests() *cobra.Command {
	mine, all := false, false
	cmd := &cobra.Command{
		Use:   "requests [GROUP]",
		Short: "List requests for keys to decide about, or your own",
		Long: `List the requests for keys of the Groups of the namespace that nobody has decided about.

With --mine, or if the namespace has no Group, list the KeyRequests of the namespace, with what became of them.`,
		Example: `  kubectl keyward -n acme requests
  kubectl keyward -n acme requests acme --all
  kubectl keyward -n shop requests --mine`,
		Args:              optionalGroupName,
		ValidArgsFunction: a.completeGroups,
		PreRunE: func(_ *cobra.Command, args []string) error {
			if mine && (all || len(args) == 1) {
				return usagef("--mine lists all requests of the namespace: leave GROUP and --all out")
			}
			return nil
		},
		RunE: a.withSession(func(ctx context.Context, s *session, args []string) error {
			if mine {
				return a.ownRequests(ctx, s)
			}
			return a.requestsToDecide(ctx, s, args, all)
		}),
	}
	cmd.Flags().BoolVar(&mine, "mine", false, "the KeyRequests of the namespace, in place of those for keys of its Groups")
	cmd.Flags().BoolVar(&all, "all", false, "also what is decided")
	return cmd
}

// optionalGroupName accepts no argument, or the name of a Group.
func optionalGroupName(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return groupName(cmd, args)
}

// ownRequests lists the KeyRequests of the namespace.
func (a *app) ownRequests(ctx context.Context, s *session) error {
	var list v1alpha1.KeyRequestList
	if err := s.List(ctx, &list, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	views := make([]requestView, 0, len(list.Items))
	for i := range list.Items {
		views = append(views, viewOfRequest(&list.Items[i]))
	}
	if sortRequests(views); len(views) == 0 {
		a.narrate("There are no KeyRequests in namespace %q: kubectl keyward request --help says how to create one.", s.namespace)
	}
	return a.print(map[string]any{"requests": views}, func(p *page) { p.ownRequests(views) })
}

// requestsToDecide lists the reviews of the namespace.
func (a *app) requestsToDecide(ctx context.Context, s *session, args []string, all bool) error {
	name := ""
	if len(args) == 1 {
		name = s.named(args[0])
		if _, err := s.group(ctx, name); err != nil {
			return err
		}
	}
	reviews, err := s.reviews(ctx)
	if err != nil && (!apierrors.IsForbidden(err) || len(args) == 1) {
		return err
	}
	if err != nil || len(reviews) == 0 && len(args) == 0 && s.withoutGroups(ctx) {
		a.narrate("Nothing is to be decided in namespace %q by you; these are the requests that were made in it.", s.namespace)
		return a.ownRequests(ctx, s)
	}
	views := []requestView{}
	for i := range reviews {
		review := &reviews[i]
		if (name == "" || review.Spec.Group.Name == name) && (all || review.Spec.Decision == nil) {
			views = append(views, viewOfReview(review))
		}
	}
	if sortRequests(views); len(views) == 0 {
		a.narrate("Nothing is to be decided in namespace %q.", s.namespace)
	}
	a.sayWhoDecides(ctx, s, views)
	return a.print(map[string]any{"requests": views}, func(p *page) { p.requests(views, reviews) })
}

// reviews lists the KeyRequestReviews of the namespace.
func (s *session) reviews(ctx context.Context) ([]v1alpha1.KeyRequestReview, error) {
	var list v1alpha1.KeyRequestReviewList
	err := s.List(ctx, &list, client.InNamespace(s.namespace))
	return list.Items, err
}

// withoutGroups reports whether the namespace has no Group, as far as the user may know.
func (s *session) withoutGroups(ctx context.Context) bool {
	var groups v1alpha1.GroupList
	return s.List(ctx, &groups, client.InNamespace(s.namespace), client.Limit(1)) != nil || len(groups.Items) == 0
}

// sayWhoDecides says about which of the requests the user may not decide.
func (a *app) sayWhoDecides(ctx context.Context, s *session, views []requestView) {
	var groups []string
	for i := range views {
		groups = append(groups, views[i].Group)
	}
	slices.Sort(groups)
	for _, group := range slices.Compact(groups) {
		_, name, _ := strings.Cut(group, "/")
		access := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: v1alpha1.GroupVersion.Group, Resource: "groups", Verb: v1alpha1.VerbApprove, Namespace: s.namespace, Name: name,
			},
		}}
		if err := s.Create(ctx, access); err == nil && !access.Status.Allowed {
			a.narrate("! You may not decide about keys of Group %s: that needs the verb approve on it, which the ClusterRole keyward-group-owner has.", group)
		}
	}
}

// sortRequests puts the oldest first.
func sortRequests(views []requestView) {
	slices.SortFunc(views, func(a, b requestView) int {
		return cmp.Or(a.AskedAt.Compare(b.AskedAt.Time), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// named returns what approve, refuse and withdraw take for a request: GROUP/NAME, or the name of its review if there are several.
func (v *requestView) named(among []v1alpha1.KeyRequestReview) string {
	_, group, _ := strings.Cut(v.Group, "/")
	if len(reviewsOf(among, group, v.Name)) > 1 {
		return v.Review
	}
	return group + "/" + v.Name
}

// reviewsOf returns the reviews of requests of a name for keys of a Group.
func reviewsOf(reviews []v1alpha1.KeyRequestReview, group, name string) []*v1alpha1.KeyRequestReview {
	var found []*v1alpha1.KeyRequestReview
	for i := range reviews {
		if of := &reviews[i]; of.Spec.Group.Name == group && of.Spec.Request.Name == name {
			found = append(found, of)
		}
	}
	return found
}

// requests writes a table for who decides.
func (p *page) requests(views []requestView, among []v1alpha1.KeyRequestReview) {
	if len(views) == 0 {
		return
	}
	rows := [][]cell{texts("REQUEST", "NAMESPACE", "BY", "PROJECTS", "PERMISSIONS", "LIFETIME", "ASKED", "STATE", "USE CASE")}
	for i := range views {
		v := &views[i]
		row := []cell{{v.named(among), bold}}
		row = append(row, texts(v.Namespace, or(exact(v.By), "-"), brief(v.Projects), brief(v.Permissions), or(v.Lifetime, "default"), p.when(v.AskedAt, minute))...)
		rows = append(rows, append(row, cell{string(v.State), requestStyle(v.State)}, cell{text: shortened(v.UseCase)}))
	}
	p.table(rows)
}

// ownRequests writes a table for who asks.
func (p *page) ownRequests(views []requestView) {
	if len(views) == 0 {
		return
	}
	rows := [][]cell{texts("NAME", "STATE", "GROUP", "PROJECTS", "KEY", "ASKED", "MESSAGE")}
	for i := range views {
		v := &views[i]
		row := []cell{{v.Name, bold}, {string(v.State), requestStyle(v.State)}}
		rows = append(rows, append(row, texts(v.Group, brief(v.Projects), or(v.Key, "-"), p.when(v.AskedAt, minute), or(v.Message, "-"))...))
	}
	p.table(rows)
}

func requestStyle(state v1alpha1.KeyRequestState) style {
	switch state {
	case v1alpha1.KeyRequestIssued, v1alpha1.KeyRequestApproved:
		return green
	case v1alpha1.KeyRequestPending:
		return yellow
	case v1alpha1.KeyRequestRefused, v1alpha1.KeyRequestWithdrawn, v1alpha1.KeyRequestExpired:
		return red
	}
	return plain
}

// shortened is the beginning of a text, for a table. -o json has all of it.
func shortened(text string) string {
	const shown = 60
	if all := []rune(text); len(all) > shown {
		return fmt.Sprintf("%s…", string(all[:shown-1]))
	}
	return text
}
