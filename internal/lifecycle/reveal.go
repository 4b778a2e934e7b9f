package lifecycle

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// deleteSecret removes the text of a key that is revealed once, when it was claimed or the time for claiming it has
// passed. This is recorded first: a text that is missing without such a record counts as lost.
func (p *planner) deleteSecret() bool {
	active := p.active()
	if !p.revealedOnce() || active == nil || p.in.Secret.Foreign {
		return false
	}
	if active.ClaimedAt == nil {
		return p.claim(active)
	}
	if p.in.Secret.Found { // with any content: a template may repeat the text
		p.out.Action, p.out.Target = DeleteSecret, active.ID
		return true
	}
	return false
}

// deleteSecretWhenEnded deletes the Secret of a key that is revealed once and has ended.
func (p *planner) deleteSecretWhenEnded() {
	if p.revealedOnce() && p.in.Secret.Found && !p.in.Secret.Foreign {
		p.out.Action = DeleteSecret
	}
}

// claim ends the wait for a claim of the text, if it is claimed or the time for that has passed.
func (p *planner) claim(active *v1alpha1.KeyVersion) bool {
	switch deadline := active.DeliveredAt.Add(ClaimWithin); {
	case p.carries(active) && p.in.Secret.Claimed:
		p.note(false, v1alpha1.ReasonClaimed, "version %d (%s) was claimed; its text is removed from the cluster", active.ID, active.Preview)
	case p.in.Secret.Found && !p.carries(active):
		// It was edited: nobody has the text, and nobody can get it any more.
		if p.predecessor(active) == nil {
			return false // a new version is minted
		}
		p.note(true, v1alpha1.ReasonUnclaimed, "version %d (%s) is no longer in Secret %s, which was edited, and is revoked; the "+
			"earlier version stays. Change rotation.trigger to try again",
			active.ID, active.Preview, SecretName(p.in.Key))
		active.State = v1alpha1.VersionRevoked
		return true
	case !p.carries(active):
		p.note(false, v1alpha1.ReasonClaimed, "version %d (%s) was taken from Secret %s by hand, which counts as claiming it; "+
			"rotate the key to get another",
			active.ID, active.Preview, SecretName(p.in.Key))
	case p.now.Before(deadline):
		return false
	case p.predecessor(active) != nil:
		// If the earlier version retired, the consumer would have no key.
		p.note(true, v1alpha1.ReasonUnclaimed, "version %d (%s) was not claimed within %s and is revoked; the earlier version "+
			"stays. Change rotation.trigger to try again",
			active.ID, active.Preview, ClaimWithin)
		active.State = v1alpha1.VersionRevoked
		return true
	default:
		p.note(true, v1alpha1.ReasonUnclaimed, "version %d (%s) was not claimed within %s; its text is removed from the cluster. "+
			"Rotate the key to get another",
			active.ID, active.Preview, ClaimWithin)
	}
	active.ClaimedAt = seconds(p.now)
	p.retireEarlier()
	return true
}

// predecessor is an earlier version that must not be replaced before this one is claimed.
func (p *planner) predecessor(active *v1alpha1.KeyVersion) *v1alpha1.KeyVersion {
	for i := range p.out.Versions {
		if v := &p.out.Versions[i]; v.State == v1alpha1.VersionActive && v.ID < active.ID {
			return v
		}
	}
	return nil
}

// claimDeadline is when the wait for a claim ends; zero if nothing waits for one.
func (p *planner) claimDeadline() time.Time {
	if active := p.active(); p.revealedOnce() && active != nil && active.ClaimedAt == nil {
		return active.DeliveredAt.Add(ClaimWithin)
	}
	return time.Time{}
}
