package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// deciding is a verb that decides about a request.
type deciding struct {
	verdict     v1alpha1.Verdict
	reason      string
	yes         bool
	needsReason bool
	revokes     bool
}

const decideArgument = " REQUEST"

const decideLong = `

REQUEST is GROUP/NAME, as kubectl keyward requests lists it, or the name of a KeyRequestReview of the namespace. What is decided is the request
as it is listed: one that is created again with the same name is another.`

func (a *app) approve() *cobra.Command {
	return a.deciding("approve", &deciding{verdict: v1alpha1.VerdictApproved}, &cobra.Command{
		Short: "Approve a request, so that its key is created",
		Example: `  kubectl keyward -n acme approve acme/web
  kubectl keyward -n acme approve acme/web --reason "Until the end of the contract"`,
	})
}

func (a *app) refuse() *cobra.Command {
	return a.deciding("refuse", &deciding{verdict: v1alpha1.VerdictRefused, needsReason: true}, &cobra.Command{
		Short:   "Refuse a request for good",
		Example: `  kubectl keyward -n acme refuse acme/web --reason "Use the key that you have"`,
	})
}

func (a *app) withdraw() *cobra.Command {
	return a.deciding("withdraw", &deciding{verdict: v1alpha1.VerdictWithdrawn, revokes: true}, &cobra.Command{
		Short:   "Withdraw an approval, which revokes the key",
		Example: `  kubectl keyward -n acme withdraw acme/web --reason "The contract has ended"`,
	})
}

// deciding makes a command one that decides about the request that its argument names.
func (a *app) deciding(action string, d *deciding, cmd *cobra.Command) *cobra.Command {
	cmd.Use, cmd.Long = action+decideArgument, cmd.Short+"."+decideLong
	cmd.Args = requestOfGroup
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.completeRequests(cmd, args, typed, d)
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if d.needsReason && d.reason == "" {
			return usagef("--reason: say why, for who asks")
		}
		return checkText("reason", d.reason)
	}
	cmd.RunE = a.withSession(func(ctx context.Context, s *session, args []string) error {
		review, err := s.review(ctx, args[0])
		if err != nil {
			return err
		}
		return a.decide(ctx, s, review, action, d)
	})
	cmd.Flags().StringVar(&d.reason, "reason", "", "a text for who asks, at most 500 characters")
	if d.revokes {
		cmd.Flags().BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	}
	return cmd
}

// requestOfGroup requires GROUP/NAME, or the name of a review.
func requestOfGroup(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return err
	}
	group, name, qualified := strings.Cut(args[0], "/")
	if notName(group) || qualified && notName(name) {
		return errors.New("no request has such a name: write GROUP/NAME, as kubectl keyward requests lists it; " + mayBeKey)
	}
	return nil
}

// review reads the review that an argument names.
func (s *session) review(ctx context.Context, argument string) (*v1alpha1.KeyRequestReview, error) {
	group, name, qualified := strings.Cut(argument, "/")
	const list = "kubectl keyward requests --all"
	if !qualified {
		review := &v1alpha1.KeyRequestReview{}
		return review, s.read(ctx, argument, review, "KeyRequestReview", list)
	}
	reviews, err := s.reviews(ctx)
	if err != nil {
		return nil, err
	}
	found := reviewsOf(reviews, group, name)
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) > 1 {
		var named []string
		for _, review := range found {
			named = append(named, review.Name+" (of namespace "+review.Spec.Request.Namespace+")")
		}
		return nil, refusedf("several requests have this name; write one of %s", strings.Join(named, ", "))
	}
	return nil, fmt.Errorf("there is no such request for a key of a Group in namespace %q: %s lists those that you may see", s.namespace, list)
}

// decide writes the decision, of the review as it was read.
func (a *app) decide(ctx context.Context, s *session, review *v1alpha1.KeyRequestReview, action string, d *deciding) error {
	was := viewOfReview(review)
	name := was.Namespace + "/" + was.Name
	switch state := was.State; {
	case state == v1alpha1.KeyRequestState(d.verdict):
		return refusedf("the request %s is %s already", name, state)
	case state == v1alpha1.KeyRequestPending && d.verdict == v1alpha1.VerdictWithdrawn:
		return refusedf("nobody has decided about the request %s: only an approval can be withdrawn; refuse it", name)
	case state == v1alpha1.KeyRequestApproved && d.verdict == v1alpha1.VerdictRefused:
		return refusedf("the request %s is approved: withdraw that, which revokes its key", name)
	case state.Final():
		return refusedf("the request %s is %s, which is final: a key needs another KeyRequest", name, state)
	}
	if d.revokes {
		a.narrate("The key of the request %s is refused for good from now on. This cannot be undone.", name)
		if err := a.confirm(ctx, d.yes, was.Name); err != nil {
			return err
		}
	}
	before := review.DeepCopy()
	review.Spec.Decision = &v1alpha1.Decision{Verdict: d.verdict, Reason: d.reason}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Patch(ctx, review, patch, fieldOwner); err != nil {
		return err
	}
	view := viewOfReview(review)
	return a.print(requestDone{action, view}, func(p *page) { p.decided(&view) })
}

// decided says what was decided about.
func (p *page) decided(v *requestView) {
	p.line("The request %s for a key of Group %s is %s.", p.paint(bold, v.Namespace+"/"+v.Name), v.Group, p.paint(requestStyle(v.State), string(v.State)))
	rows := [][]cell{
		texts("Asked by", or(exact(v.By), "unknown")), texts("Projects", strings.Join(v.Projects, ", ")),
		texts("Permissions", or(strings.Join(v.Permissions, ", "), "read")), texts("Lifetime", or(v.Lifetime, "as the Group says")), texts("Use case", v.UseCase),
	}
	p.table(rows)
}

// completeRequests offers the requests that a verb can decide about.
func (a *app) completeRequests(cmd *cobra.Command, args []string, typed string, d *deciding) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, func(ctx context.Context, s *session) (offered []string) {
		reviews, err := s.reviews(ctx)
		if err != nil {
			return nil
		}
		due := v1alpha1.KeyRequestPending
		if d.revokes {
			due = v1alpha1.KeyRequestApproved
		}
		for i := range reviews {
			view := viewOfReview(&reviews[i])
			if name := view.named(reviews); view.State == due && strings.HasPrefix(name, typed) {
				offered = append(offered, name+"\t"+clean(shortened(view.UseCase)))
			}
		}
		return offered
	})
}
