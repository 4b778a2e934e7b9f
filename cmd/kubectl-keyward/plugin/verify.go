package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// verdict is the document that verify prints. The key is not in it.
type verdict struct {
	Valid      bool    `json:"valid"`
	WellFormed bool    `json:"wellFormed"`
	Offline    bool    `json:"offline"`
	Reason     string  `json:"reason"`
	Matches    []match `json:"matches,omitempty"`
}

// match is a version that the key belongs to.
type match struct {
	Valid        bool                  `json:"valid"`
	Reason       string                `json:"reason"`
	Namespace    string                `json:"namespace"`
	Name         string                `json:"name"`
	Group        string                `json:"group"`
	State        v1alpha1.KeyState     `json:"state"`
	Version      int64                 `json:"version"`
	VersionState v1alpha1.VersionState `json:"versionState"`
	Preview      string                `json:"preview"`
	RetiresAt    *metav1.Time          `json:"retiresAt,omitempty"`
	ExpiresAt    *metav1.Time          `json:"expiresAt,omitempty"`
}

func (a *app) verify() *cobra.Command {
	offline, everywhere := false, false
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find out about a key that is given on standard input",
		Long: `Find out about a key: whether it is complete, which ApiKey and version it is, and whether it is valid. The key
is read from standard input, or from a hidden prompt at a terminal; it is sent nowhere (its digest is compared
with those in the status of ApiKeys) and never printed. Exit code 3: it is not valid.`,
		Example: `  kubectl keyward -n acme verify <key.txt
  kubectl keyward verify --offline <key.txt`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := a.readKey(cmd.Context())
			if err != nil {
				return err
			}
			verdict, usable := readable(text)
			if !offline && usable {
				s, err := a.connect()
				if err != nil {
					return err
				}
				if err := a.compare(cmd.Context(), s, &verdict, keyformat.DigestOf(text), everywhere); err != nil {
					return err
				}
			}
			verdict.Offline = offline
			if err := a.print(verdict, func(p *page) { p.verdict(&verdict) }); err != nil {
				return err
			}
			if !verdict.Valid {
				return coded{ExitRefused, errSilent}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "look at its form only, without a cluster: valid then means complete")
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "compare with keys of all namespaces")
	return cmd
}

// readKey reads the key. It is plain text here, and only its digest is used further.
func (a *app) readKey(ctx context.Context) (string, error) {
	if isTerminal(a.streams.In) {
		text, err := a.askHidden(ctx, "Key (it is not shown): ")
		return given(text, err)
	}
	const most = 64 << 10
	text, err := await(ctx, func() (string, error) {
		all, err := io.ReadAll(io.LimitReader(a.streams.In, most))
		return string(all), err
	})
	return given(text, err)
}

func given(text string, err error) (string, error) {
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", usagef("there is no key on standard input: write, for instance, kubectl keyward verify <key.txt")
	}
	return text, nil
}

// readable returns what the form of a text reveals, and reports whether it can be a key.
func readable(text string) (v verdict, usable bool) {
	_, err := keyformat.Parse(text)
	switch {
	case err == nil:
		return verdict{Valid: true, WellFormed: true, Reason: "it is a complete key"}, true
	case errors.Is(err, keyformat.ErrShape) && keyformat.Importable(text):
		return verdict{Valid: false, Reason: "it is not of Keyward's form, or not complete; only a key that was " +
			"imported can look like this, and only a validation server can tell (POST /v1/verify): their digests are keyed"}, true
	default:
		return verdict{Reason: err.Error()}, errors.Is(err, keyformat.ErrChecksum)
	}
}

// compare looks for the digest among the versions of ApiKeys.
func (a *app) compare(ctx context.Context, s *session, v *verdict, digest keyformat.Digest, everywhere bool) error {
	keys, err := s.keys(ctx, everywhere)
	if err != nil {
		return err
	}
	for i := range keys {
		key := &keys[i]
		for j := range key.Status.Versions {
			w := &key.Status.Versions[j]
			if w.Digest != digest.String() && !isImported(key, w, digest) {
				continue
			}
			reason, valid := accepted(key, w, a.now())
			v.Matches = append(v.Matches, match{
				Valid: valid, Reason: reason, Namespace: key.Namespace, Name: key.Name, Group: groupOf(key), State: key.Status.State,
				Version: w.ID, VersionState: w.State, Preview: w.Preview, RetiresAt: w.RetiresAt, ExpiresAt: w.ExpiresAt,
			})
		}
	}
	// It is undefined by which of them a server decides, so each has to be valid; one that is not valid comes first.
	slices.SortStableFunc(v.Matches, func(m, n match) int {
		switch {
		case m.Valid == n.Valid:
			return 0
		case n.Valid:
			return -1
		}
		return 1
	})
	v.Valid = len(v.Matches) > 0 && v.Matches[0].Valid
	where := fmt.Sprintf("namespace %q", s.namespace)
	if everywhere {
		where = "any namespace"
	}
	switch {
	case len(v.Matches) > 0:
		v.Reason = v.Matches[0].Reason
	case v.WellFormed:
		v.Reason = "it is complete, but no ApiKey of " + where +
			" knows it; it may be of another environment, or so old that it is forgotten"
		if !everywhere {
			v.Reason += "; -A looks into all namespaces"
		}
	}
	return nil
}

// isImported reports whether the version was imported by that hash, as far as the ApiKey still says so.
func isImported(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, digest keyformat.Digest) bool {
	imported, problem := lifecycle.ImportDigest(key)
	return v.Cause == v1alpha1.CauseImported && lifecycle.ImportsDigest(key) && problem == nil && imported == digest
}

// accepted reports whether validation servers accept the version now, and why.
func accepted(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion, now time.Time) (reason string, valid bool) {
	switch {
	case lifecycle.Revoked(key), v.State == v1alpha1.VersionRevoked:
		return "it is revoked", false
	case v.State == v1alpha1.VersionExpired, lifecycle.Passed(v.ExpiresAt, now):
		return "it has expired", false
	case v.State == v1alpha1.VersionRetired, lifecycle.Passed(v.RetiresAt, now):
		return "it was replaced by a later version, and its overlap is over", false
	case key.Status.State == v1alpha1.KeySuspended:
		return "it is suspended: its ApiKey or its Group is", false
	case key.Status.State == v1alpha1.KeyBlocked:
		return "its ApiKey is blocked: kubectl keyward status says by what", false
	case v.State == v1alpha1.VersionRetiring:
		return "it is accepted until its overlap is over: its successor is there", true
	default:
		return "it is accepted", true
	}
}

func (p *page) verdict(v *verdict) {
	word, s := "Not valid", red
	switch {
	case v.Valid && v.Offline:
		word, s = "Complete", green
	case v.Valid:
		word, s = "Valid", green
	case v.Offline && !v.WellFormed:
		word = "Not a complete key"
	}
	p.line("%s: %s.", p.paint(s, word), v.Reason)
	for i := range v.Matches {
		m := &v.Matches[i]
		p.line("")
		if i > 0 {
			p.line("Also, %s:", m.Reason)
		}
		facts := [][]cell{
			texts("ApiKey", m.Namespace+"/"+m.Name+", "+string(m.State)), texts("Group", m.Group),
			texts("Version", fmt.Sprintf("%d (%s), %s", m.Version, m.Preview, m.VersionState)),
		}
		if m.RetiresAt != nil {
			facts = append(facts, texts("Retires", p.when(m.RetiresAt, instant)))
		}
		p.table(append(facts, texts("Expires", or(p.when(m.ExpiresAt, instant), "never"))))
	}
}
