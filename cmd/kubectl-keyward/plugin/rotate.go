package plugin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/declare"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// rotation is one run of rotate.
type rotation struct {
	*app
	overlap string
	which   targets
	waiting patience
}

func (a *app) rotate() *cobra.Command {
	r := &rotation{app: a}
	cmd := a.withKeys(&cobra.Command{
		Use:   "rotate KEY... | -l SELECTOR | --all",
		Short: "Replace keys by a new version",
		Long: `Replace keys by a new version, by the annotation keyward.dev/rotate-requested-at; spec stays as it is in
Git. The earlier version stays accepted for the overlap, after the new one was delivered.

--overlap is the overlap of this rotation only. With 0s, the earlier versions are refused as soon as the new
one is delivered: for a key that has leaked. Several keys rotate one after the other.`,
		Example: `  kubectl keyward -n acme rotate acme-web
  kubectl keyward -n acme rotate acme-web --overlap 0s
  kubectl keyward -n acme rotate -l team=web`,
		PreRunE: func(*cobra.Command, []string) error {
			if _, err := model.ParseDuration(r.overlap); r.overlap != "" && err != nil {
				return usagef("--overlap: write a duration such as 24h, 15m or 0s")
			}
			return nil
		},
	}, &r.which, r.run)
	cmd.Flags().StringVar(&r.overlap, "overlap", "", "how long the earlier version stays accepted, such as 1h; 0s ends it at once")
	r.waiting.flags(cmd)
	return cmd
}

func (r *rotation) run(ctx context.Context, s *session, keys []*v1alpha1.ApiKey) error {
	keys, err := r.applicable(&r.which, keys, func(key *v1alpha1.ApiKey) error {
		if err := requireLive(key); err != nil {
			return err
		}
		if obstacle := blocked(key); obstacle != nil {
			return refusedf("nothing was changed, for the key would not rotate: %w", obstacle)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		r.announce(key)
	}
	if r.abrupt() || r.which.selected() {
		if err := r.confirmAll(ctx, &r.which, keys); err != nil {
			return err
		}
	}
	if len(keys) == 1 && !r.which.selected() {
		if err := r.one(ctx, s, keys[0]); err != nil {
			return err
		}
		view := viewOf(keys[0], r.now())
		return r.print(outcome{"rotate", r.waiting.wait, view}, func(p *page) { r.describe(p, &view) })
	}
	done := &outcomes{Action: "rotate", Waited: r.waiting.wait}
	for _, key := range keys {
		if err := r.one(ctx, s, key); err != nil {
			done.fail(key, err)
			if ctx.Err() != nil {
				break
			}
		}
		done.Keys = append(done.Keys, viewOf(key, r.now()))
	}
	return r.conclude(done, r.describe)
}

// abrupt reports whether earlier versions are refused at once.
func (r *rotation) abrupt() bool { return isZero(r.overlap) }

// one requests the rotation of a key, and waits for it.
func (r *rotation) one(ctx context.Context, s *session, key *v1alpha1.ApiKey) error {
	earlier := key.Annotations[v1alpha1.AnnotationRotateRequestedAt]
	name := grant.NameRotateRequest(r.now(), strings.ToLower(rand.Text()[:6]))
	request := grant.NewRotateRequest(name, v1alpha1.Duration(r.overlap))
	before := key.DeepCopy()
	declare.Rotation(key, request)
	if err := s.Patch(ctx, key, client.MergeFrom(before), fieldOwner); err != nil {
		return err
	}
	err := r.await(ctx, s, key, request)
	if errors.Is(err, errBlocked) && minted(key, request) == nil {
		return r.withdraw(ctx, s, key, earlier, err)
	}
	return err
}

// announce says what will happen to a key.
func (r *rotation) announce(key *v1alpha1.ApiKey) {
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
		case once && v.State != v1alpha1.VersionRetiring && v.ClaimedAt == nil:
			r.narrate("Version %d (%s) is not claimed, and is refused as soon as the new one is there, also to those who have read it.",
				v.ID, v.Preview)
		case r.abrupt():
			r.narrate("Version %d (%s) is refused as soon as the new one is %s: an app that has not read it by then "+
				"is locked out until it does.", v.ID, v.Preview, there)
		case v.State == v1alpha1.VersionRetiring && r.overlap == "":
			r.narrate("Version %d (%s) stays accepted until %s, as before.", v.ID, v.Preview, v.RetiresAt.UTC().Format(instant))
		case v.State == v1alpha1.VersionRetiring:
			r.narrate("Version %d (%s) stays accepted until %s, and at most %s after %s.", v.ID, v.Preview,
				v.RetiresAt.UTC().Format(instant), r.overlap, after)
		default:
			r.narrate("Version %d (%s) stays accepted for %s after %s.", v.ID, v.Preview,
				or(r.overlap, or(string(key.Spec.Rotation.Overlap), "the default overlap")), after)
		}
	}
}

// await waits until the version of the request is delivered and, without an overlap, the earlier versions are refused
// everywhere.
func (r *rotation) await(ctx context.Context, s *session, key *v1alpha1.ApiKey, request string) error {
	if !r.waiting.wait {
		return nil
	}
	before := ""
	return r.follow(ctx, s, key, r.waiting.timeout, func(key *v1alpha1.ApiKey) string { return r.progress(key, request) },
		func(key *v1alpha1.ApiKey) (bool, error) {
			if err := requireLive(key); err != nil {
				return false, err
			}
			if obstacle := blocked(key); obstacle != nil && keystate.Observed(key) {
				return false, coded{ExitTimeout, fmt.Errorf("it is declared, and goes on once the key may: %w", obstacle)}
			}
			v := minted(key, request)
			if v == nil || v.State != v1alpha1.VersionActive || v.DeliveredAt == nil {
				return false, nil
			}
			if !r.abrupt() || key.Spec.Secret.Reveal == v1alpha1.RevealOnce {
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

func (r *rotation) progress(key *v1alpha1.ApiKey, request string) string {
	v := minted(key, request)
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

// minted returns the version that a request has created, or nil.
func minted(key *v1alpha1.ApiKey, request string) *v1alpha1.KeyVersion {
	for i := range key.Status.Versions {
		if v := &key.Status.Versions[i]; v.RotateRequest == request {
			return v
		}
	}
	return nil
}

func (r *rotation) describe(p *page, view *keyView) {
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
}

// isZero reports whether a duration is given and zero.
func isZero(text string) bool {
	d, err := model.ParseDuration(text)
	return err == nil && d == 0
}
