package plugin

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

func (a *app) leaks() *cobra.Command {
	cmd := &cobra.Command{
		Use: "leaks", Short: "Find keys that have leaked", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.leakPatterns())
	return cmd
}

// detectors print the rules of a scanner for the prefixes of keys.
var detectors = map[string]func(prefixes []string) string{
	"gitleaks":   gitleaksRules,
	"trufflehog": trufflehogDetectors,
	"github":     githubPatterns,
	"gitlab":     gitlabRuleset,
}

func (a *app) leakPatterns() *cobra.Command {
	scanner, prefixes := "", []string(nil)
	names := strings.Join(slices.Sorted(maps.Keys(detectors)), ", ")
	cmd := &cobra.Command{
		Use:   "patterns --for SCANNER",
		Short: "Print the rules by which a scanner finds keys",
		Long: `Print the rules by which a scanner finds keys of this cluster: one for each prefix that a Group has, and the
default one. Scanners: ` + names + `. With --prefix, no cluster is asked.`,
		Example: `  kubectl keyward leaks patterns --for gitleaks >.gitleaks.toml
  kubectl keyward leaks patterns --for github --prefix acme`,
		Args: noArguments,
		PreRunE: func(*cobra.Command, []string) error {
			if detectors[scanner] == nil {
				return usagef("--for: write one of %s", names)
			}
			for _, prefix := range prefixes {
				if !keyPrefix.MatchString(prefix) {
					return usagef("--prefix: write 2 to 16 lower-case letters and digits, as in keyPolicy.prefix")
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(prefixes) == 0 {
				var err error
				if prefixes, err = a.usedPrefixes(cmd.Context()); err != nil {
					return err
				}
			}
			slices.Sort(prefixes)
			_, err := io.WriteString(a.streams.Out, detectors[scanner](slices.Compact(prefixes)))
			return err
		},
	}
	cmd.Flags().StringVar(&scanner, "for", "", "the scanner: "+names)
	cmd.Flags().StringSliceVar(&prefixes, "prefix", nil, "a prefix of keys; may be repeated; default: those of all Groups that you may list")
	return cmd
}

// keyPrefix is what the schema admits as keyPolicy.prefix.
var keyPrefix = regexp.MustCompile(keyformat.PrefixPattern)

// usedPrefixes returns the prefixes of all Groups, or of those of the namespace if the user may list no others.
func (a *app) usedPrefixes(ctx context.Context) ([]string, error) {
	s, err := a.connect()
	if err != nil {
		return nil, err
	}
	prefixes := []string{grant.DefaultPrefix}
	var groups v1alpha1.GroupList
	err = s.List(ctx, &groups)
	if apierrors.IsForbidden(err) {
		a.narrate("Only Groups of namespace %q: you may not list others.", s.namespace)
		err = s.List(ctx, &groups, client.InNamespace(s.namespace))
	}
	if err != nil {
		return nil, err
	}
	for i := range groups.Items {
		if prefix := groups.Items[i].Spec.KeyPolicy.Prefix; keyPrefix.MatchString(prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, nil
}

// keyBody matches what follows the prefix.
var keyBody = fmt.Sprintf("_[0-9A-Za-z]{%d}", keyformat.TailLen)

func gitleaksRules(prefixes []string) string {
	return "[extend]\nuseDefault = true\n" + gitleaksRulesOnly(prefixes)
}

func gitleaksRulesOnly(prefixes []string) string {
	var all strings.Builder
	for _, prefix := range prefixes {
		fmt.Fprintf(&all, `
[[rules]]
id = "keyward-%[1]s"
description = "API key of Keyward with the prefix %[1]s"
regex = '''\b(%[1]s%[2]s)\b'''
secretGroup = 1
keywords = ["%[1]s_"]
entropy = 3.0
`, prefix, keyBody)
	}
	return all.String()
}

func trufflehogDetectors(prefixes []string) string {
	all := strings.Builder{}
	all.WriteString("detectors:\n")
	for _, prefix := range prefixes {
		fmt.Fprintf(&all, `  - name: keyward-%[1]s
    keywords: [%[1]s_]
    regex:
      key: '\b(%[1]s%[2]s)\b'
`, prefix, keyBody)
	}
	return all.String()
}

func githubPatterns(prefixes []string) string {
	all := strings.Builder{}
	for _, prefix := range prefixes {
		fmt.Fprintf(&all, `Pattern name:   Keyward API key, prefix %[1]s
Secret format:  %[1]s%[2]s
Before secret:  \A|[^0-9A-Za-z_]
After secret:   \z|[^0-9A-Za-z_]

`, prefix, keyBody)
	}
	return all.String()
}

func gitlabRuleset(prefixes []string) string {
	return `# .gitlab/secret-detection-ruleset.toml
[secrets]
  [[secrets.passthrough]]
    type   = "raw"
    target = "gitleaks.toml"
    value  = """
[extend]
path = "/gitleaks.toml"
` + strings.ReplaceAll(gitleaksRulesOnly(prefixes), `\`, `\\`) + `"""
`
}
