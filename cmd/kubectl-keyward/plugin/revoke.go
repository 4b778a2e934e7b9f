package plugin

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// outcome is the document that a command prints which changes a key.
type outcome struct {
	Action string  `json:"action"`
	Waited bool    `json:"waited"`
	Key    keyView `json:"key"`
}

func (a *app) revoke() *cobra.Command {
	yes := false
	var waiting patience
	cmd := a.withKey(&cobra.Command{
		Use:   "revoke KEY",
		Short: "Refuse a key for good, and wait until all servers do",
		Example: `  kubectl keyward -n acme revoke acme-web
  kubectl keyward -n acme revoke acme-web --yes -o json`,
	}, func(ctx context.Context, s *session, key *v1alpha1.ApiKey) error {
		if !ptr.Deref(key.Spec.Revoked, false) {
			a.narrate("All versions of ApiKey %s/%s are refused for good from now on. This cannot be undone.", key.Namespace, key.Name)
			if err := a.confirm(ctx, yes, key.Name); err != nil {
				return err
			}
		}
		return a.declare(ctx, s, key, "revoke", waiting,
			func(spec *v1alpha1.ApiKeySpec) { spec.Revoked = ptr.To(true) },
			func(key *v1alpha1.ApiKey) bool { return key.Status.State == v1alpha1.KeyRevoked })
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	waiting.flags(cmd)
	return cmd
}

// declare edits the key, waits until the change is in force, and prints the result.
func (a *app) declare(ctx context.Context, s *session, key *v1alpha1.ApiKey, action string, waiting patience,
	change func(*v1alpha1.ApiKeySpec), reached func(*v1alpha1.ApiKey) bool) error {
	if err := s.patch(ctx, key, change); err != nil {
		return err
	}
	if waiting.wait {
		err := a.follow(ctx, s, key, waiting.timeout, a.enforced, func(key *v1alpha1.ApiKey) (bool, error) {
			return acknowledged(key) && reached(key), nil
		})
		if err != nil {
			return err
		}
	}
	view := viewOf(key, a.now())
	err := a.print(outcome{action, waiting.wait, view}, func(p *page) {
		name := p.paint(bold, view.Namespace+"/"+view.Name)
		if !waiting.wait {
			p.line("%s: declared; its state was %s", name, view.State)
			return
		}
		p.line("%s is %s: %s", name, p.paint(stateStyle(view.State), string(view.State)), describeEnforcement(view.Enforcement))
	})
	if err != nil || !waiting.wait {
		return err
	}
	return incomplete(key)
}

func (a *app) suspend() *cobra.Command {
	return a.suspension("suspend KEY", "Refuse a key until it is resumed", "suspend", true, func(key *v1alpha1.ApiKey) bool {
		return key.Status.State != v1alpha1.KeyActive && key.Status.State != v1alpha1.KeyPending
	})
}

func (a *app) resume() *cobra.Command {
	return a.suspension("resume KEY", "Accept a suspended key again", "resume", false, func(key *v1alpha1.ApiKey) bool {
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

func (a *app) suspension(use, short, action string, suspended bool, reached func(*v1alpha1.ApiKey) bool) *cobra.Command {
	var waiting patience
	cmd := a.withKey(&cobra.Command{Use: use, Short: short}, func(ctx context.Context, s *session, key *v1alpha1.ApiKey) error {
		if err := requireLive(key); err != nil {
			return err
		}
		change := func(spec *v1alpha1.ApiKeySpec) { spec.Suspended = &suspended }
		err := a.declare(ctx, s, key, action, waiting, change, reached)
		if err != nil || suspended || !waiting.wait {
			return err
		}
		return notAccepted(key)
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
	switch {
	case key.DeletionTimestamp != nil:
		return refusedf("ApiKey %s/%s is being deleted, which revokes it", key.Namespace, key.Name)
	case ptr.Deref(key.Spec.Revoked, false), key.Status.State == v1alpha1.KeyRevoked:
		return refusedf("ApiKey %s/%s is revoked for good: create a new ApiKey", key.Namespace, key.Name)
	case key.Status.State == v1alpha1.KeyExpired:
		return refusedf("ApiKey %s/%s has expired: create a new ApiKey", key.Namespace, key.Name)
	}
	return nil
}
