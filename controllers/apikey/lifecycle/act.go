package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grant"
)

// act chooses the action.
func (p *planner) act() {
	if Revoked(p.in.Key) {
		return
	}
	p.out.Obstacle = p.obstacle()
	current := Current(p.out.Versions)
	switch {
	case current == nil && p.over():
		p.out.Obstacle = nil
	case current != nil && p.carries(current):
		p.out.Target = current.ID
		p.endOthers()
		if p.out.Obstacle == nil {
			p.out.Action = Keep
		}
	case p.out.Obstacle != nil:
	case p.pending() != nil:
		p.out.Target = p.pending().ID
		p.out.Action = Publish
		if p.in.Published {
			p.out.Action = Deliver
		}
	default:
		p.mint(current)
	}
}

// mint plans a new version: the first, or one in place of a version whose text was lost.
func (p *planner) mint(lost *v1alpha1.KeyVersion) {
	expiresAt, problem := grant.Expiry(p.in.Key, p.in.Group, p.now)
	if problem != nil {
		p.out.Obstacle = problem
		return
	}
	if lost != nil {
		p.note(true, v1alpha1.ReasonMinted, "Secret %s no longer holds version %d (%s), whose text is stored nowhere else; a new version takes its place, and revokes it once delivered",
			SecretName(p.in.Key), lost.ID, lost.Preview)
	}
	p.out.Action = Mint
	p.out.ExpiresAt = expiresAt
	p.out.Target = 1
	for i := range p.in.Key.Status.Versions {
		p.out.Target = max(p.out.Target, p.in.Key.Status.Versions[i].ID+1)
	}
}

// obstacles are what keeps a key from being minted and delivered, in order; the first is
// reported. A key is not delivered while validation servers would refuse it.
var obstacles = []func(*Input) *grant.Problem{
	notGranted,
	groupInactive,
	suspended,
	expiryNotAllowed,
	secretForeign,
	templateInvalid,
}

func (p *planner) obstacle() *grant.Problem {
	for _, check := range obstacles {
		if problem := check(&p.in); problem != nil {
			return problem
		}
	}
	return nil
}

func notGranted(in *Input) *grant.Problem { return in.Problem }

func groupInactive(in *Input) *grant.Problem {
	reason := ""
	switch in.Group.Spec.State {
	case v1alpha1.GroupFrozen:
		reason = v1alpha1.ReasonGroupFrozen
	case v1alpha1.GroupSuspended:
		reason = v1alpha1.ReasonGroupSuspended
	default:
		return nil
	}
	return &grant.Problem{
		Reason: reason, Field: "spec.groupRef",
		Message: fmt.Sprintf("Group %s/%s is %s: all its keys are refused until its spec.state is Active again",
			in.Group.Namespace, in.Group.Name, in.Group.Spec.State),
	}
}

func suspended(in *Input) *grant.Problem {
	if !isTrue(in.Key.Spec.Suspended) {
		return nil
	}
	return &grant.Problem{
		Reason: v1alpha1.ReasonSuspended, Field: "spec.suspended",
		Message: "the key is refused until this is false again",
	}
}

// expiryNotAllowed reports an edit that existing versions do not follow.
func expiryNotAllowed(in *Input) *grant.Problem {
	current := Current(in.Key.Status.Versions)
	if current == nil || !grant.DeclaresExpiry(in.Key) {
		return nil
	}
	if at := in.Key.Spec.ExpiresAt; at != nil && !at.After(current.MintedAt.Time) {
		return nil // over, not too long
	}
	_, problem := grant.Expiry(in.Key, in.Group, current.MintedAt.Time)
	return problem
}

func secretForeign(in *Input) *grant.Problem {
	if !in.Secret.Foreign {
		return nil
	}
	return &grant.Problem{
		Reason: v1alpha1.ReasonSecretConflict, Field: "spec.secret.name",
		Message: fmt.Sprintf("Secret %q exists and does not belong to this ApiKey; it is left alone. Remove it, or create the ApiKey with another secret.name",
			SecretName(in.Key)),
	}
}

func templateInvalid(in *Input) *grant.Problem { return in.Template }

// pending is the version that is on its way to the Secret, which is the held one.
func (p *planner) pending() *v1alpha1.KeyVersion {
	for i := range p.out.Versions {
		if p.out.Versions[i].State == v1alpha1.VersionPending {
			return &p.out.Versions[i]
		}
	}
	return nil
}

// endOthers leaves the target as the only version. What was on its way to the Secret is given
// up. What the target took the place of, since its text was no longer in the Secret, is
// revoked: whoever removed it may have had a reason.
func (p *planner) endOthers() {
	p.out.Versions = slices.DeleteFunc(p.out.Versions, func(v v1alpha1.KeyVersion) bool {
		return v.State == v1alpha1.VersionPending
	})
	for i := range p.out.Versions {
		if v := &p.out.Versions[i]; Live(v.State) && v.ID != p.out.Target {
			p.end(v, v1alpha1.VersionRevoked)
		}
	}
	p.trim()
}

// over is whether the key had its time: it does not start again by itself.
func (p *planner) over() bool {
	for i := range p.out.Versions {
		if !Live(p.out.Versions[i].State) {
			return true
		}
	}
	return false
}

func (p *planner) state() v1alpha1.KeyState {
	current := Current(p.out.Versions)
	switch {
	case Revoked(p.in.Key):
		return v1alpha1.KeyRevoked
	case current == nil && p.over():
		return v1alpha1.KeyExpired
	case p.in.Problem != nil:
		return v1alpha1.KeyBlocked
	case groupInactive(&p.in) != nil, suspended(&p.in) != nil:
		return v1alpha1.KeySuspended
	case current != nil && current.State == v1alpha1.VersionActive && p.carries(current):
		return v1alpha1.KeyActive
	case p.out.Obstacle != nil:
		return v1alpha1.KeyBlocked
	}
	return v1alpha1.KeyPending
}

// wake is the earliest expiry of a live version.
func (p *planner) wake() time.Time {
	var next time.Time
	for i := range p.out.Versions {
		v := &p.out.Versions[i]
		at := timeOf(v.ExpiresAt)
		if Live(v.State) && !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}
