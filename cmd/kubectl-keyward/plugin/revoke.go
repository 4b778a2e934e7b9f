package plugin

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/keystate"
)

// outcome is the document that a command prints which changes a key.
type outcome struct {
	Action string  `json:"action"`
	Waited bool    `json:"waited"`
	Key    keyView `json:"key"`
}

func (a *app) revoke() *cobra.Command {
	var which targets
	var waiting patience
	cmd := a.withKeys(&cobra.Command{
		Use:   "revoke KEY... | -l SELECTOR | --all",
		Short: "Refuse keys for good, and wait until all servers do",
		Example: `  kubectl keyward -n acme revoke acme-web
  kubectl keyward -n acme revoke acme-web --yes -o json
  kubectl keyward -n acme revoke -l incident=2026-11`,
	}, &which, func(ctx context.Context, s *session, keys []*v1alpha1.ApiKey) error {
		d := declaration{
			action: "revoke", waiting: &waiting,
			change:  func(spec *v1alpha1.ApiKeySpec) { spec.Revoked = ptr.To(true) },
			reached: func(key *v1alpha1.ApiKey) bool { return key.Status.State == v1alpha1.KeyRevoked },
		}
		if len(keys) == 1 && !which.selected() {
			key := keys[0]
			if !ptr.Deref(key.Spec.Revoked, false) {
				a.narrate("All versions of ApiKey %s/%s are refused for good from now on. This cannot be undone.", key.Namespace, key.Name)
				if err := a.confirmAll(ctx, &which, keys); err != nil {
					return err
				}
			}
			return a.one(ctx, s, key, d)
		}
		keys, err := a.applicable(&which, keys, func(key *v1alpha1.ApiKey) error {
			if which.selected() && key.Status.State == v1alpha1.KeyRevoked {
				return refusedf("ApiKey %s/%s is revoked already", key.Namespace, key.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		a.narrate("All versions of these %d ApiKeys are refused for good from now on. This cannot be undone.", len(keys))
		if err := a.confirmAll(ctx, &which, keys); err != nil {
			return err
		}
		return a.several(ctx, s, keys, d)
	})
	waiting.flags(cmd)
	return cmd
}

func (a *app) suspend() *cobra.Command {
	return a.suspension("suspend", "Refuse keys until they are resumed", true, func(key *v1alpha1.ApiKey) bool {
		return key.Status.State != v1alpha1.KeyActive && key.Status.State != v1alpha1.KeyPending
	})
}

func (a *app) resume() *cobra.Command {
	return a.suspension("resume", "Accept suspended keys again", false, func(key *v1alpha1.ApiKey) bool {
		accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted)
		if accepted == nil {
			return false
		}
		switch accepted.Reason {
		case v1alpha1.ReasonSuspended, v1alpha1.ReasonPublishing, v1alpha1.ReasonPending:
			return false
		}
		return true
	})
}

func (a *app) suspension(action, short string, suspended bool, reached func(*v1alpha1.ApiKey) bool) *cobra.Command {
	var which targets
	var waiting patience
	cmd := a.withKeys(&cobra.Command{
		Use: action + " KEY... | -l SELECTOR | --all", Short: short,
	}, &which, func(ctx context.Context, s *session, keys []*v1alpha1.ApiKey) error {
		keys, err := a.applicable(&which, keys, requireLive)
		if err != nil {
			return err
		}
		d := declaration{
			action: action, waiting: &waiting, reached: reached,
			change: func(spec *v1alpha1.ApiKeySpec) { spec.Suspended = &suspended },
		}
		if !suspended {
			d.after = notAccepted
		}
		if len(keys) == 1 && !which.selected() {
			return a.one(ctx, s, keys[0], d)
		}
		if which.selected() {
			a.narrate("To %s these %d ApiKeys:", action, len(keys))
			if err := a.confirmAll(ctx, &which, keys); err != nil {
				return err
			}
		}
		return a.several(ctx, s, keys, d)
	})
	waiting.flags(cmd)
	return cmd
}

// notAccepted returns an error if validation servers do not accept the key. Somebody who resumes a key wants to use it, and
// Ready is also true for a key that is refused as declared, such as a key of a frozen Group.
func notAccepted(key *v1alpha1.ApiKey) error {
	c := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted)
	if c == nil || c.Status == metav1.ConditionTrue {
		return nil
	}
	return refusedf("ApiKey %s/%s is resumed, and still not accepted (%s: %s)", key.Namespace, key.Name, c.Reason, c.Message)
}

// requireLive returns an error if the key is revoked, expired or being deleted.
func requireLive(key *v1alpha1.ApiKey) error {
	switch keystate.Ended(key) {
	case keystate.Deleting:
		return refusedf("ApiKey %s/%s is being deleted, which revokes it", key.Namespace, key.Name)
	case keystate.Revoked:
		return refusedf("ApiKey %s/%s is revoked for good: create a new ApiKey", key.Namespace, key.Name)
	case keystate.Expired:
		return refusedf("ApiKey %s/%s has expired: create a new ApiKey", key.Namespace, key.Name)
	}
	return nil
}
