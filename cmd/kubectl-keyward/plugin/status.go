package plugin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

func (a *app) status() *cobra.Command {
	everywhere := false
	cmd := &cobra.Command{
		Use:   "status [KEY]",
		Short: "Show how a key is, or all keys of the namespace",
		Example: `  kubectl keyward -n acme status
  kubectl keyward -n acme status acme-web
  kubectl keyward status -A -o json`,
		Args:              optionalKeyName,
		ValidArgsFunction: a.completeKeys,
		PreRunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && everywhere {
				return usagef("name a key, or write -A for all: not both")
			}
			return nil
		},
		RunE: a.withSession(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 0 {
				return a.statusOfAll(ctx, s, everywhere)
			}
			key, err := s.key(ctx, args[0])
			if err != nil {
				return err
			}
			view := viewOf(key, a.now())
			if view.RefusedLately, err = s.refusals(ctx, key, a.now()); err != nil { // the rest is known all the same
				a.narrate("Whether the key was refused lately is not known: %v", err)
			}
			return a.print(view, func(p *page) { p.key(&view) })
		}),
	}
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "keys of all namespaces")
	return cmd
}

func (a *app) statusOfAll(ctx context.Context, s *session, everywhere bool) error {
	keys, err := s.keys(ctx, everywhere)
	if err != nil {
		return err
	}
	views := make([]keyView, 0, len(keys))
	for i := range keys {
		views = append(views, viewOf(&keys[i], a.now()))
	}
	if len(views) == 0 {
		where := "this cluster"
		if !everywhere {
			where = fmt.Sprintf("namespace %q; -A looks into all", s.namespace)
		}
		a.narrate("There are no ApiKeys in %s.", where)
	}
	return a.print(map[string]any{"keys": views}, func(p *page) { p.keys(views, everywhere) })
}

// keys lists the ApiKeys of the namespace, or of all.
func (s *session) keys(ctx context.Context, everywhere bool) ([]v1alpha1.ApiKey, error) {
	var keys v1alpha1.ApiKeyList
	var options []client.ListOption
	if !everywhere {
		options = append(options, client.InNamespace(s.namespace))
	}
	err := s.List(ctx, &keys, options...)
	return keys.Items, err
}

// keys writes a table.
func (p *page) keys(views []keyView, everywhere bool) {
	if len(views) == 0 {
		return
	}
	header := texts("NAME", "STATE", "GROUP", "PROJECTS", "PREVIEW", "EXPIRES", "ROTATES", "LAST USED", "ENFORCED", "ATTENTION")
	if everywhere {
		header = append(texts("NAMESPACE"), header...)
	}
	rows := [][]cell{header}
	for i := range views {
		v := &views[i]
		_, group, _ := strings.Cut(v.Group, "/")
		if !strings.HasPrefix(v.Group, v.Namespace+"/") {
			group = v.Group
		}
		var row []cell
		if everywhere {
			row = texts(v.Namespace)
		}
		row = append(row, cell{v.Name, bold}, cell{string(v.State), stateStyle(v.State)})
		expires, rotates := or(p.when(v.ExpiresAt, time.DateOnly), "never"), or(p.when(v.NextRotationAt, time.DateOnly), "when asked")
		if v.over() {
			expires, rotates = "over", "-"
		}
		row = append(row, texts(group, brief(v.Projects), or(v.Preview, "-"), expires, rotates,
			or(p.when(v.LastUsedAt, minute), "-"), fraction(v.Enforcement))...)
		var reasons []string
		worst := plain
		for _, at := range v.Attention {
			reasons = append(reasons, at.Reason)
			if worst = yellow; at.Urgent {
				worst = red
			}
		}
		rows = append(rows, append(row, cell{or(strings.Join(reasons, ","), "-"), worst}))
	}
	p.table(rows)
}

// brief names the first projects, and counts the others.
func brief(projects []string) string {
	const shown = 2
	if more := len(projects) - shown; more > 0 {
		return fmt.Sprintf("%s,+%d", strings.Join(projects[:shown], ","), more)
	}
	return strings.Join(projects, ",")
}

func fraction(e *enforcementView) string {
	if e == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", e.Acknowledged, e.Servers)
}

// key writes all about one key.
func (p *page) key(v *keyView) {
	p.line("ApiKey %s: %s", p.paint(bold, v.Namespace+"/"+v.Name), p.paint(stateStyle(v.State), string(v.State)))
	for _, at := range v.Attention {
		s := yellow
		if at.Urgent {
			s = red
		}
		p.line("%s %s", p.paint(s, "! "+at.Reason+":"), at.Message)
	}
	if len(v.Attention) == 0 && v.Message != "" {
		p.line("%s", v.Message)
	}
	p.line("")
	secret := v.Secret
	if v.Reveal == v1alpha1.RevealOnce {
		secret += ", revealed once"
	}
	facts := [][]cell{
		texts("Group", v.Group), texts("Projects", strings.Join(v.Projects, ", ")), texts("Permissions", strings.Join(v.Permissions, ", ")),
	}
	if v.Clients != "" && v.Clients != v1alpha1.ClientsAny {
		facts = append(facts, texts("Clients", string(v.Clients)))
	}
	if len(v.Addresses) > 0 {
		facts = append(facts, texts("Addresses", brief(v.Addresses)))
	}
	if v.Description != "" {
		facts = append(facts, texts("Description", v.Description))
	}
	facts = append(facts, texts("Key id", or(v.KeyID, "-")), texts("Secret", secret), texts("Created by", or(v.CreatedBy, "-")))
	if !v.over() {
		facts = append(facts, texts("Expires", or(p.when(v.ExpiresAt, instant), "never")))
		facts = append(facts, p.schedule(v)...)
	}
	if v.Quota != nil && v.Quota.Limit != nil {
		facts = append(facts, p.quota(v.Quota))
	}
	facts = append(facts, texts("Last used", or(p.when(v.LastUsedAt, instant), "not as far as is known")),
		texts("Enforcement", describeEnforcement(v.Enforcement)))
	p.table(facts)
	p.versions(v)
	p.refusals(v.RefusedLately)
}

func (p *page) versions(v *keyView) {
	if len(v.Versions) == 0 {
		return
	}
	p.line("")
	rows := [][]cell{texts("VERSION", "STATE", "PREVIEW", "CAUSE", "MINTED", "LAST USED", "ENDS")}
	for i := range v.Versions {
		w := &v.Versions[i]
		row := append(texts(strconv.FormatInt(w.ID, 10)), cell{string(w.State), versionStyle(w.State)})
		rows = append(rows, append(row, texts(w.Preview, string(w.Cause), p.when(&w.MintedAt, minute),
			or(p.when(w.LastUsedAt, minute), "-"), p.end(w))...))
	}
	p.table(rows)
}

// quota says what is used of the quota of a key, and until when.
func (p *page) quota(quota *v1alpha1.KeyQuota) []cell {
	used := useOf(quota.Used, quota.Limit, nil)
	return texts("Quota", fmt.Sprintf("%s, of %s, reset %s", used.text(numbers(true)), quota.Period, p.when(&quota.ResetsAt, instant)))
}

// end says when a version ends, or that it has.
func (p *page) end(w *versionView) string {
	if lifecycle.Over(w.State) {
		at := w.RetiresAt
		if w.State == v1alpha1.VersionExpired {
			at = w.ExpiresAt
		}
		if w.State == v1alpha1.VersionRevoked || at == nil {
			return "over"
		}
		return strings.ToLower(string(w.State)) + " " + p.when(at, minute)
	}
	if at := w.RetiresAt; at != nil && (w.ExpiresAt == nil || at.Before(w.ExpiresAt)) {
		return p.ahead("retire", at)
	}
	if w.ExpiresAt == nil {
		return "never"
	}
	return p.ahead("expire", w.ExpiresAt)
}

func (p *page) ahead(verb string, at *metav1.Time) string {
	if lifecycle.Passed(at, p.now) {
		return verb + "d " + p.when(at, minute)
	}
	return verb + "s " + p.when(at, minute)
}

func stateStyle(state v1alpha1.KeyState) style {
	switch state {
	case v1alpha1.KeyActive:
		return green
	case v1alpha1.KeyPending:
		return yellow
	case v1alpha1.KeySuspended, v1alpha1.KeyBlocked, v1alpha1.KeyExpired, v1alpha1.KeyRevoked:
		return red
	}
	return plain
}

func versionStyle(state v1alpha1.VersionState) style {
	switch state {
	case v1alpha1.VersionActive:
		return green
	case v1alpha1.VersionPending, v1alpha1.VersionRetiring:
		return yellow
	case v1alpha1.VersionRetired, v1alpha1.VersionExpired, v1alpha1.VersionRevoked:
	}
	return plain
}
