package plugin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// rotation is one run of rotate.
type rotation struct {
	*app
	overlap string
	yes     bool
	waiting patience
}

func (a *app) rotate() *cobra.Command {
	r := &rotation{app: a}
	cmd := a.withKey(&cobra.Command{
		Use:   "rotate KEY",
		Short: "Replace a key by a new version",
		Long: `Replace a key by a new version, by giving spec.rotation.trigger a new value. The earlier version
stays accepted for the overlap, after the new one was delivered.

--overlap changes spec.rotation.overlap, too. With 0s, the earlier versions are refused as soon as the new
one is delivered: for a key that has leaked. The declared overlap is put back afterwards.`,
		Example: `  kubectl keyward -n acme rotate acme-web
  kubectl keyward -n acme rotate acme-web --overlap 0s`,
		PreRunE: func(*cobra.Command, []string) error {
			if _, err := model.ParseDuration(r.overlap); r.overlap != "" && err != nil {
				return usagef("--overlap: write a duration such as 24h, 15m or 0s")
			}
			return nil
		},
	}, r.run)
	cmd.Flags().StringVar(&r.overlap, "overlap", "", "how long the earlier version stays accepted, such as 1h; 0s ends it at once")
	cmd.Flags().BoolVarP(&r.yes, "yes", "y", false, "do not ask before --overlap 0s")
	r.waiting.flags(cmd)
	return cmd
}

func (r *rotation) run(ctx context.Context, s *session, key *v1alpha1.ApiKey) error {
	if err := requireLive(key); err != nil {
		return err
	}
	if obstacle := blocked(key); obstacle != nil && (r.overlap == "" || !fixable(key)) {
		return refusedf("nothing was changed, for the key would not rotate: %w", obstacle)
	}
	declared, earlier := key.Spec.Rotation.Overlap, key.Spec.Rotation.Trigger
	abrupt := isZero(r.overlap)
	if r.overlap == "" {
		r.overlap = string(declared)
	}
	if err := r.announce(ctx, key, abrupt); err != nil {
		return err
	}
	trigger := r.now().UTC().Format(time.RFC3339) + "-" + strings.ToLower(rand.Text()[:6])
	if err := s.patch(ctx, key, func(spec *v1alpha1.ApiKeySpec) {
		spec.Rotation.Trigger, spec.Rotation.Overlap = trigger, v1alpha1.Duration(r.overlap)
	}); err != nil {
		return err
	}
	// Otherwise the next scheduled rotation would be as abrupt.
	putBack := abrupt && !isZero(string(declared))
	err := r.await(ctx, s, key, trigger, abrupt)
	if errors.Is(err, errBlocked) && minted(key, trigger) == nil {
		return r.withdraw(ctx, s, key, earlier, declared, err)
	}
	if err != nil || !r.waiting.wait || key.Spec.Secret.Reveal == v1alpha1.RevealOnce {
		if putBack {
			r.narrate("spec.rotation.overlap stays %s. When the earlier versions are over, put back what was "+
				"declared: kubectl -n %s patch apikey %s --type=merge -p '{\"spec\":{\"rotation\":{\"overlap\":%q}}}'",
				r.overlap, key.Namespace, key.Name, declared)
		}
		if err != nil {
			return err
		}
	} else if putBack {
		if err := s.patch(ctx, key, func(spec *v1alpha1.ApiKeySpec) { spec.Rotation.Overlap = declared }); err != nil {
			return fmt.Errorf("rotated, but putting spec.rotation.overlap back to %s failed: %w", declared, err)
		}
		r.narrate("spec.rotation.overlap is %s again.", declared)
	}
	return r.conclude(key)
}

// announce says what will happen, and asks for confirmation if somebody is refused at once.
func (r *rotation) announce(ctx context.Context, key *v1alpha1.ApiKey, abrupt bool) error {
	once := key.Spec.Secret.Reveal == v1alpha1.RevealOnce
	after, there := "that", "there"
	if once {
		after, there = "it is claimed", "claimed"
		r.narrate("A new version is minted, and waits up to %s to be claimed: kubectl keyward -n %s reveal %s",
			model.Duration(lifecycle.ClaimWithin), key.Namespace, key.Name)
	} else {
		r.narrate("A new version is minted, and put into Secret %s when every validation server accepts it.", lifecycle.SecretName(key))
	}
	for _, w := range key.Spec.Secret.Restart {
		r.narrate("Then %s %s is rolled.", w.Kind, w.Name)
	}
	for i := range key.Status.Versions {
		v := &key.Status.Versions[i]
		switch {
		case !lifecycle.Live(v.State):
		case abrupt:
			r.narrate("Version %d (%s) is refused as soon as the new one is %s: an app that has not read it by then "+
				"is locked out until it does.", v.ID, v.Preview, there)
		case v.State == v1alpha1.VersionRetiring && r.overlap == string(key.Spec.Rotation.Overlap):
			r.narrate("Version %d (%s) stays accepted until %s, as before.", v.ID, v.Preview, v.RetiresAt.UTC().Format(instant))
		default:
			r.narrate("Version %d (%s) stays accepted for %s after %s.", v.ID, v.Preview, r.overlap, after)
		}
	}
	if r.overlap != string(key.Spec.Rotation.Overlap) && !abrupt {
		r.narrate("spec.rotation.overlap is %s from now on, instead of %s.", r.overlap,
			or(string(key.Spec.Rotation.Overlap), "the default"))
	}
	if !abrupt {
		return nil
	}
	return r.confirm(ctx, r.yes, key.Name)
}

// await waits until the version of the trigger is delivered and, without an overlap, the earlier versions are refused
// everywhere.
func (r *rotation) await(ctx context.Context, s *session, key *v1alpha1.ApiKey, trigger string, abrupt bool) error {
	if !r.waiting.wait {
		return nil
	}
	before := ""
	return r.follow(ctx, s, key, r.waiting.timeout, func(key *v1alpha1.ApiKey) string { return r.progress(key, trigger) },
		func(key *v1alpha1.ApiKey) (bool, error) {
			if err := requireLive(key); err != nil {
				return false, err
			}
			if obstacle := blocked(key); obstacle != nil && observed(key) {
				return false, coded{ExitTimeout, fmt.Errorf("it is declared, and goes on once the key may: %w", obstacle)}
			}
			v := minted(key, trigger)
			if v == nil || v.State != v1alpha1.VersionActive || v.DeliveredAt == nil {
				return false, nil
			}
			if !abrupt || key.Spec.Secret.Reveal == v1alpha1.RevealOnce {
				return true, nil
			}
			if hasLiveBefore(key, v) || key.Status.Enforcement == nil {
				return false, nil
			}
			// Servers are notified only after it is recorded, so the first record is from before the rotation.
			if before == "" {
				before = key.Status.Enforcement.Record
			}
			return key.Status.Enforcement.Record != before && acknowledged(key), nil
		})
}

// hasLiveBefore reports whether a version before this one is still accepted.
func hasLiveBefore(key *v1alpha1.ApiKey, v *v1alpha1.KeyVersion) bool {
	for i := range key.Status.Versions {
		if w := &key.Status.Versions[i]; w.ID < v.ID && lifecycle.Live(w.State) {
			return true
		}
	}
	return false
}

func (r *rotation) progress(key *v1alpha1.ApiKey, trigger string) string {
	v := minted(key, trigger)
	if v == nil {
		return r.pending(key)
	}
	if v.State == v1alpha1.VersionPending {
		text := fmt.Sprintf("Version %d (%s) is minted.", v.ID, v.Preview)
		if view := viewOf(key, r.now()); view.Enforcement != nil && !view.Enforcement.Complete {
			text += " So far " + describeEnforcement(view.Enforcement) + "."
		}
		return text
	}
	return fmt.Sprintf("Version %d (%s) is delivered.", v.ID, v.Preview)
}

// minted returns the version that a trigger has created, or nil.
func minted(key *v1alpha1.ApiKey, trigger string) *v1alpha1.KeyVersion {
	for i := range key.Status.Versions {
		if v := &key.Status.Versions[i]; v.Trigger == trigger {
			return v
		}
	}
	return nil
}

func (r *rotation) conclude(key *v1alpha1.ApiKey) error {
	view := viewOf(key, r.now())
	return r.print(outcome{"rotate", r.waiting.wait, view}, func(p *page) {
		name := p.paint(bold, view.Namespace+"/"+view.Name)
		if !r.waiting.wait {
			p.line("%s: declared; its versions are still as they were", name)
			return
		}
		p.line("%s is rotated: %s", name, describeEnforcement(view.Enforcement))
		for i := range view.Versions {
			if w := &view.Versions[i]; lifecycle.Live(w.State) || i >= len(view.Versions)-2 {
				p.line("  version %d (%s) is %s: %s", w.ID, w.Preview, p.paint(versionStyle(w.State), string(w.State)), p.end(w))
			}
		}
	})
}

// isZero reports whether a duration is given and zero.
func isZero(text string) bool {
	d, err := model.ParseDuration(text)
	return err == nil && d == 0
}
