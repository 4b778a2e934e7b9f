package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// targets are the ApiKeys that a verb is about: those that its arguments name, or those that flags select.
type targets struct {
	selector string
	all      bool
	yes      bool
}

// selected reports whether flags select the keys, so that nobody has written their names.
func (t *targets) selected() bool { return t.all || t.selector != "" }

// withKeys makes a command one about one ApiKey or several.
func (a *app) withKeys(cmd *cobra.Command, t *targets, run func(context.Context, *session, []*v1alpha1.ApiKey) error) *cobra.Command {
	cmd.Flags().StringVarP(&t.selector, "selector", "l", "", "the ApiKeys of the namespace with these labels, such as incident=2026-11")
	cmd.Flags().BoolVar(&t.all, "all", false, "all ApiKeys of the namespace")
	cmd.Flags().BoolVarP(&t.yes, "yes", "y", false, "do not ask")
	cmd.Args, cmd.ValidArgsFunction = t.arguments, a.completeKeys
	cmd.RunE = a.withSession(func(ctx context.Context, s *session, args []string) error {
		keys, err := t.find(ctx, s, args)
		if err != nil {
			return err
		}
		return run(ctx, s, keys)
	})
	return cmd
}

// arguments requires names or one of the flags.
func (t *targets) arguments(cmd *cobra.Command, args []string) error {
	named := len(args) > 0
	selector, err := labels.Parse(t.selector)
	if err != nil {
		return errors.New("--selector: write labels such as incident=2026-11 or team in (web, app)")
	}
	switch given := cmd.Flags().Changed("selector"); {
	case given && selector.Empty(): // it would select everything, as of variables of a script that are not set
		return errors.New("--selector is empty, which selects every ApiKey: write --all if that is intended")
	case given && t.all, t.selected() && named:
		return errors.New("write names, or --selector, or --all, and not two of them")
	case !t.selected() && !named:
		return errors.New("name at least one ApiKey, or select some with --selector or --all")
	}
	for _, name := range args {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			return errors.New("no ApiKey can have such a name; " + mayBeKey)
		}
	}
	return nil
}

// find reads the ApiKeys, in the order in which they are named.
func (t *targets) find(ctx context.Context, s *session, names []string) ([]*v1alpha1.ApiKey, error) {
	if t.selected() {
		return t.list(ctx, s)
	}
	var keys []*v1alpha1.ApiKey
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		key, err := s.key(ctx, name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (t *targets) list(ctx context.Context, s *session) ([]*v1alpha1.ApiKey, error) {
	selector, err := labels.Parse(t.selector)
	if err != nil {
		return nil, usagef("--selector: write labels such as incident=2026-11 or team in (web, app)")
	}
	var list v1alpha1.ApiKeyList
	if err := s.List(ctx, &list, client.InNamespace(s.namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("no ApiKey in namespace %q is selected: kubectl get apikeys --show-labels -A lists those that you may see", s.namespace)
	}
	keys := make([]*v1alpha1.ApiKey, len(list.Items))
	for i := range list.Items {
		keys[i] = &list.Items[i]
	}
	slices.SortFunc(keys, func(a, b *v1alpha1.ApiKey) int { return cmp.Compare(a.Name, b.Name) })
	return keys, nil
}

// applicable returns the keys to which a verb applies. Of selected ones it leaves the others as they are, and says why; if
// one that is named is among those, nothing is changed.
func (a *app) applicable(t *targets, keys []*v1alpha1.ApiKey, check func(*v1alpha1.ApiKey) error) ([]*v1alpha1.ApiKey, error) {
	var apply []*v1alpha1.ApiKey
	for _, key := range keys {
		switch err := check(key); {
		case err == nil:
			apply = append(apply, key)
		case !t.selected():
			return nil, err
		default:
			a.narrate("Left as it is: %s", err.Error())
		}
	}
	if len(apply) == 0 {
		return nil, refusedf("nothing was changed: it applies to none of the %d ApiKeys that are selected", len(keys))
	}
	return apply, nil
}

// confirmAll lists the keys that are hit, and asks once. The word to type is the name of the only key, or their number.
func (a *app) confirmAll(ctx context.Context, t *targets, keys []*v1alpha1.ApiKey) error {
	if len(keys) == 1 && !t.selected() {
		return a.confirm(ctx, t.yes, keys[0].Name)
	}
	for _, key := range keys {
		a.narrate("  %s/%s  %s  %s", key.Namespace, key.Name, or(key.Status.Preview, "without a version"), or(string(key.Status.State), "Pending"))
	}
	return a.confirm(ctx, t.yes, fmt.Sprint(len(keys)))
}

// failure is why a verb has failed for one of several keys.
type failure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
	err   error
}

// outcomes is the document that a command prints which changes several keys.
type outcomes struct {
	Action string    `json:"action"`
	Waited bool      `json:"waited"`
	Keys   []keyView `json:"keys"`
	Failed []failure `json:"failed,omitempty"`
}

func (o *outcomes) fail(key *v1alpha1.ApiKey, err error) {
	line, _ := explainError(err)
	o.Failed = append(o.Failed, failure{Name: key.Name, Error: line, err: err})
}

// conclude prints the result for several keys, each as text describes it, and returns the first error if there was one.
func (a *app) conclude(o *outcomes, text func(*page, *keyView)) error {
	err := a.print(o, func(p *page) {
		for i := range o.Keys {
			text(p, &o.Keys[i])
		}
	})
	if err != nil || len(o.Failed) == 0 {
		return err
	}
	lines := make([]string, 0, len(o.Failed))
	for _, f := range o.Failed {
		lines = append(lines, f.Name+": "+f.Error)
	}
	_, code := explainError(o.Failed[0].err)
	return coded{code, fmt.Errorf("%d ApiKeys: %s", len(o.Failed), strings.Join(lines, "; "))}
}
