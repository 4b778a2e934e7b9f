package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// mostDecisions is how many decisions a server returns at a time.
const mostDecisions = adminv1.MaxDecisions

// explanation is the document that explain prints.
type explanation struct {
	// Key is the ApiKey that was asked about, or whose request it was.
	Key       *keyView    `json:"key,omitempty"`
	Decisions []explained `json:"decisions"`
	// More is how many older ones are left out.
	More int `json:"more,omitempty"`
	// Asked is how many servers answered. Unanswered are the errors of the others.
	Asked      int      `json:"asked"`
	Unanswered []string `json:"unanswered,omitempty"`
}

type explained struct {
	ruling
	Cause string `json:"cause"`
	Hint  string `json:"hint,omitempty"`
}

// decisionsQuery is one run of explain.
type decisionsQuery struct {
	*app
	servers servers
	limit   int
	all     bool
}

func (a *app) explain() *cobra.Command {
	q := &decisionsQuery{app: a}
	cmd := &cobra.Command{
		Use:   "explain REQUEST-ID|KEY-ID|APIKEY",
		Short: "Say why requests were refused, and how to fix it",
		Long: `Say why a request was refused, by the X-Request-Id of its answer, or why requests with a key were, by the id
or the name of its ApiKey. Validation servers remember their last 10,000 decisions, where they are started with
--admin-token-file. They are found by their labels and reached through the API server, or with --url directly.`,
		Example: `  kubectl keyward explain 9f4c2b7d0e1a48c6
  kubectl keyward -n acme explain acme-web
  kubectl keyward explain 9f4c2b7d0e1a48c6 --url http://127.0.0.1:8083 --token-file token`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeKeys,
		PreRunE: func(*cobra.Command, []string) error {
			if q.limit < 1 {
				return usagef("--limit: write a number from 1 on")
			}
			return nil
		},
		RunE: a.withSession(q.run),
	}
	q.servers.addFlags(cmd.Flags())
	cmd.Flags().IntVar(&q.limit, "limit", 5, "how many decisions to show")
	cmd.Flags().BoolVar(&q.all, "all", false, "also show requests that were allowed")
	return cmd
}

func (q *decisionsQuery) run(ctx context.Context, s *session, args []string) error {
	about := args[0]
	validators, err := q.servers.find(ctx, s)
	if err != nil {
		return err
	}
	token, err := q.servers.token(ctx, s)
	if err != nil {
		return err
	}
	result := &explanation{Decisions: []explained{}}
	key, queries, err := resolve(ctx, s, about)
	if err != nil {
		return err
	}
	decisions := result.ask(ctx, s, validators, token, queries)
	for _, problem := range result.Unanswered {
		q.narrate("! %s", problem)
	}
	if result.Asked == 0 {
		return errors.New("no validation server returned its decisions")
	}
	byKey := key != nil || slices.ContainsFunc(decisions, func(d ruling) bool { return d.RequestID != about })
	if key == nil && len(decisions) > 0 {
		key = s.keyOf(ctx, &decisions[0])
	}
	if key != nil {
		view := viewOf(key, q.now())
		result.Key = &view
	}
	if len(decisions) == 0 && result.Key == nil {
		return fmt.Errorf("none of the %d servers that answered remembers a request or a key of this id: each keeps "+
			"its last 10,000 decisions, since it was started", result.Asked)
	}
	result.keep(decisions, q.limit, q.all || !byKey)
	return q.print(result, func(p *page) { p.explanation(result, len(decisions)) })
}

// resolve returns the ApiKey of that name, if there is one, and the queries to send to servers, in this order, until one
// has a result.
func resolve(ctx context.Context, s *session, about string) (*v1alpha1.ApiKey, []url.Values, error) {
	byID := []url.Values{{adminv1.DecisionsRequestID: {about}}, byKey(about)}
	if len(validation.IsDNS1123Subdomain(about)) > 0 {
		return nil, byID, nil // no object has such a name
	}
	key := &v1alpha1.ApiKey{}
	err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: about}, key)
	switch {
	case err == nil && key.Status.KeyID == "":
		return nil, nil, refusedf("the manager has not looked at ApiKey %s/%s yet: kubectl keyward -n %s status %s",
			key.Namespace, key.Name, key.Namespace, key.Name)
	case err == nil:
		return key, []url.Values{byKey(key.Status.KeyID)}, nil
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return nil, byID, nil
	default:
		return nil, nil, err
	}
}

func byKey(id string) url.Values {
	return url.Values{adminv1.DecisionsKeyID: {id}, adminv1.DecisionsLimit: {strconv.Itoa(mostDecisions)}}
}

// ask asks all servers at once, and returns their decisions, the latest first.
func (e *explanation) ask(ctx context.Context, s *session, validators []validator, token string, queries []url.Values) []ruling {
	answers, problems := make([][]ruling, len(validators)), make([]error, len(validators))
	var group sync.WaitGroup
	for i := range validators {
		group.Go(func() { answers[i], problems[i] = validators[i].ask(ctx, s, token, queries) })
	}
	group.Wait()
	for i, err := range problems {
		if err != nil {
			e.Unanswered = append(e.Unanswered, validators[i].name+": "+oneLine(err.Error()))
			continue
		}
		e.Asked++
	}
	all := slices.Concat(answers...)
	slices.SortStableFunc(all, func(a, b ruling) int { return b.Time.Compare(a.Time) })
	return all
}

// keep adds the decisions that are to be shown.
func (e *explanation) keep(decisions []ruling, limit int, all bool) {
	for i := range decisions {
		d := &decisions[i]
		if !all && !d.refused() {
			continue
		}
		if len(e.Decisions) == limit {
			e.More++
			continue
		}
		name := ""
		if e.Key != nil {
			name = "-n " + e.Key.Namespace + " " + e.Key.Name
		}
		cause, hint := d.explain(name)
		e.Decisions = append(e.Decisions, explained{*d, cause, hint})
	}
}

// keyOf returns the ApiKey that a decision is about, or nil if its user may not see it.
func (s *session) keyOf(ctx context.Context, d *ruling) *v1alpha1.ApiKey {
	if d.KeyID == "" {
		return nil
	}
	keys, err := s.keys(ctx, true)
	if err != nil {
		if keys, err = s.keys(ctx, false); err != nil {
			return nil
		}
	}
	for i := range keys {
		if keys[i].Status.KeyID == d.KeyID {
			return &keys[i]
		}
	}
	return nil
}

func (p *page) explanation(e *explanation, known int) {
	for i := range e.Decisions {
		if i > 0 {
			p.line("")
		}
		p.decision(&e.Decisions[i])
	}
	switch servers := plural(e.Asked, "server"); {
	case known == 0:
		p.line("No request with this key is remembered by %s.", servers)
	case len(e.Decisions) == 0:
		p.line("None of the last %s with this key at %s was refused; --all shows them.", plural(known, "request"), servers)
	case e.More > 0:
		p.line("")
		p.line("Left out: %d earlier; --limit shows more.", e.More)
	}
	if e.Key == nil {
		return
	}
	p.line("")
	p.line("ApiKey %s is %s now.", p.paint(bold, e.Key.Namespace+"/"+e.Key.Name), p.paint(stateStyle(e.Key.State), string(e.Key.State)))
	for _, at := range e.Key.Attention {
		p.line("%s %s", p.paint(yellow, "! "+at.Reason+":"), at.Message)
	}
}

func (p *page) decision(d *explained) {
	word, s := "Refused", red
	if !d.refused() {
		word, s = "Not refused", green
	}
	p.line("%s: %s", p.paint(s, word), p.paint(bold, strconv.Itoa(d.Status)+" "+d.Code))
	p.line("  %s", d.Cause)
	if d.Hint != "" {
		p.line("  %s", d.Hint)
	}
	request := strings.TrimSpace(d.Method + " " + d.Host)
	if d.Origin != "" {
		request += " from " + d.Origin
	}
	at := metav1.Time{Time: d.Time}
	facts := [][]cell{
		texts("  When", p.when(&at, instant)), texts("  Request", or(request, "-")+", id "+or(d.RequestID, "-")),
		texts("  Where", d.Validator+", integration "+d.Integration),
	}
	if d.KeyID != "" {
		facts = append(facts, texts("  Key", d.KeyID+" of Group "+d.Group))
	}
	if d.Project != "" {
		facts = append(facts, texts("  Project", d.Project))
	}
	p.table(facts)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
