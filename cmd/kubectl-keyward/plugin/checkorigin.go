package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// originChecks is the document that check-origin prints.
type originChecks struct {
	Origin string           `json:"origin"`
	Checks []serversOfCheck `json:"checks"`
	// More is how many Groups are left out.
	More int `json:"more,omitempty"`
	// Asked is how many servers answered. Unanswered are the errors of the others.
	Asked      int      `json:"asked"`
	Unanswered []string `json:"unanswered,omitempty"`
}

// serversOfCheck is the answer of some servers: of all that answered, unless a change is on its way.
type serversOfCheck struct {
	adminv1.OriginCheck

	// Allowlists are the DomainAllowlists, namespace/name, that have the domain.
	Allowlists []string `json:"allowlists,omitempty"`
	Validators []string `json:"validators"`
}

// originQuery is one run of check-origin.
type originQuery struct {
	*app
	servers        servers
	project, group string
}

func (a *app) checkOrigin() *cobra.Command {
	q := &originQuery{app: a}
	cmd := &cobra.Command{
		Use:   "check-origin ORIGIN --project PROJECT",
		Short: "Say whether a website may use a project, and which allowlist decides that",
		Long: `Say whether pages of a website may present keys of a project, as validation servers enforce it now, by which domain of
which DomainAllowlist, or why not. Servers are asked like for explain, and need --admin-token-file. The exit code is 3 if it is
not allowed.`,
		Example: `  kubectl keyward check-origin https://www.acme.com --project marketing
  kubectl keyward check-origin capacitor://localhost --project marketing --group acme/acme`,
		Args: cobra.ExactArgs(1),
		PreRunE: func(*cobra.Command, []string) error {
			switch {
			case q.project == "":
				return usagef("--project: name the project that the site is to use")
			case q.group != "" && strings.Count(q.group, "/") != 1:
				return usagef("--group: write NAMESPACE/NAME")
			}
			return nil
		},
		RunE: a.withSession(q.run),
	}
	cmd.Flags().StringVar(&q.project, "project", "", "the project that the site is to use")
	cmd.Flags().StringVar(&q.group, "group", "", "NAMESPACE/NAME of its Group; default: all that have such a project")
	q.servers.addFlags(cmd.Flags())
	return cmd
}

func (q *originQuery) run(ctx context.Context, s *session, args []string) error {
	validators, err := q.servers.find(ctx, s)
	if err != nil {
		return err
	}
	token, err := q.servers.token(ctx, s)
	if err != nil {
		return err
	}
	query := url.Values{adminv1.CheckOriginOrigin: {args[0]}, adminv1.CheckOriginProject: {q.project}}
	if q.group != "" {
		query.Set(adminv1.CheckOriginGroup, q.group)
	}
	result := &originChecks{Checks: []serversOfCheck{}}
	result.ask(ctx, s, validators, token, query)
	for _, problem := range result.Unanswered {
		q.narrate("! %s", problem)
	}
	switch {
	case result.Asked == 0:
		return errors.New("no validation server checked the origin")
	case len(result.Checks) == 0:
		return fmt.Errorf("the %s that answered know no Group with a project of this name", plural(result.Asked, "server"))
	}
	allowed := true
	for i := range result.Checks {
		check := &result.Checks[i]
		check.Allowlists = s.allowlistsOf(ctx, &check.OriginCheck)
		allowed = allowed && check.Allowed
	}
	if err := q.print(result, func(p *page) { p.originChecks(result) }); err != nil || allowed {
		return err
	}
	return coded{ExitRefused, errSilent}
}

// ask asks all servers at once. Equal answers become one.
func (c *originChecks) ask(ctx context.Context, s *session, validators []validator, token string, query url.Values) {
	answers, problems := make([]adminv1.OriginChecks, len(validators)), make([]error, len(validators))
	var group sync.WaitGroup
	for i := range validators {
		group.Go(func() { problems[i] = validators[i].checkOrigin(ctx, s, token, query, &answers[i]) })
	}
	group.Wait()
	for i, err := range problems {
		if err != nil {
			c.Unanswered = append(c.Unanswered, validators[i].name+": "+oneLine(err.Error()))
			continue
		}
		c.Asked++
		c.Origin, c.More = answers[i].Origin, max(c.More, answers[i].More)
		for _, check := range answers[i].Checks {
			at := slices.IndexFunc(c.Checks, func(other serversOfCheck) bool { return sameCheck(&other.OriginCheck, &check) })
			if at < 0 {
				at = len(c.Checks)
				c.Checks = append(c.Checks, serversOfCheck{OriginCheck: check})
			}
			c.Checks[at].Validators = append(c.Checks[at].Validators, validators[i].name)
		}
	}
	slices.SortStableFunc(c.Checks, func(a, b serversOfCheck) int { return cmp.Compare(a.Group, b.Group) })
}

func sameCheck(a, b *adminv1.OriginCheck) bool {
	return a.Group == b.Group && a.Project == b.Project && a.Allowed == b.Allowed && a.Domain == b.Domain &&
		a.Localhost == b.Localhost && a.Domains == b.Domains && slices.Equal(a.Near, b.Near)
}

func (v *validator) checkOrigin(ctx context.Context, s *session, token string, query url.Values, answer *adminv1.OriginChecks) error {
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	base, err := v.base(ctx, s)
	if err != nil {
		return err
	}
	return get(ctx, base+adminv1.CheckOriginPath+"?"+query.Encode(), token,
		"it checks no origins: it is of an earlier release, or runs without --admin-token-file", answer)
}

// allowlistsOf returns the DomainAllowlists that have the domain which allows an origin, as far as its user may see them.
func (s *session) allowlistsOf(ctx context.Context, check *adminv1.OriginCheck) (names []string) {
	var lists v1alpha1.DomainAllowlistList
	if !check.Allowed || s.List(ctx, &lists) != nil {
		groupNamespace, _, _ := strings.Cut(check.Group, "/")
		if !check.Allowed || s.List(ctx, &lists, client.InNamespace(groupNamespace)) != nil {
			return nil
		}
	}
	for i := range lists.Items {
		list := &lists.Items[i]
		namespace, name := grant.GroupKey(list.Spec.GroupRef, list.Namespace)
		if namespace+"/"+name == check.Group && slices.Contains(list.Spec.Projects, v1alpha1.ProjectName(check.Project)) && has(list, check) {
			names = append(names, list.Namespace+"/"+list.Name)
		}
	}
	slices.Sort(names)
	return names
}

func has(list *v1alpha1.DomainAllowlist, check *adminv1.OriginCheck) bool {
	if check.Localhost {
		return list.Spec.AllowLocalhost == nil || *list.Spec.AllowLocalhost
	}
	return slices.ContainsFunc(list.Spec.Domains, func(domain string) bool {
		pattern, err := grant.ParseDomain(domain)
		return err == nil && pattern.String() == check.Domain
	})
}

func (p *page) originChecks(c *originChecks) {
	for i := range c.Checks {
		check := &c.Checks[i]
		where := "Group " + check.Group
		if len(check.Validators) < c.Asked {
			where += ", as " + strings.Join(check.Validators, ", ") + " has it"
		}
		if check.Allowed {
			p.line("%s: %s may use project %s of %s", p.paint(green, "Allowed"), c.Origin, check.Project, where)
			p.line("  %s", check.because())
			continue
		}
		p.line("%s: %s may not use project %s of %s", p.paint(red, "Not allowed"), c.Origin, check.Project, where)
		for _, near := range check.Near {
			p.line("  %s is listed, but %s", near.Domain, near.Reason)
		}
		switch {
		case len(check.Near) > 0:
		case check.Domains == 0:
			p.line("  No domain is listed. Add it to spec.domains of a DomainAllowlist of the project.")
		default:
			p.line("  None of the %s of its DomainAllowlists is like it. Add it to spec.domains of one.", plural(check.Domains, "domain"))
		}
	}
	if c.More > 0 {
		p.line("Left out: %s; --group names one.", plural(c.More, "Group"))
	}
}

// because says what allows an origin.
func (c *serversOfCheck) because() string {
	lists := ""
	if len(c.Allowlists) > 0 {
		lists = " of DomainAllowlist " + strings.Join(c.Allowlists, ", ")
	}
	switch {
	case !c.Localhost:
		return "by the domain " + c.Domain + lists
	case lists == "":
		return "by localhost, which a project without any DomainAllowlist allows, too"
	default:
		return "by allowLocalhost" + lists
	}
}
