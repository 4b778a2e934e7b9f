package lifecycle

import (
	"fmt"
	"slices"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

// obstacles prevent a key from being minted and delivered, in order; the first is reported. A key is not delivered while
// validation servers would refuse it.
var obstacles = []func(*planner) *grant.Problem{
	notGranted,
	groupInactive,
	suspended,
	rotationInvalid,
	secretForeign,
	templateInvalid,
	unverifiable,
	noSlot,
}

func (p *planner) obstacle() *grant.Problem {
	for _, check := range obstacles {
		if problem := check(p); problem != nil {
			return problem
		}
	}
	return nil
}

// Refusal returns why validation servers are not sent a key at all, because of its Group; nil if they are. A key that was
// delivered goes on with what is granted of what it asks, if that is of use: otherwise an edit of the key that arrives before
// one of its Group, or a misspelt name, would take it from those who have it. Whoever waits for a first version expects all.
func Refusal(key *v1alpha1.ApiKey, granted grant.Granted) *grant.Problem {
	if granted.Partly() && wasDelivered(key) {
		return nil
	}
	return granted.Problem
}

// wasDelivered reports whether the status has a version that was delivered.
func wasDelivered(key *v1alpha1.ApiKey) bool {
	return slices.ContainsFunc(key.Status.Versions, func(v v1alpha1.KeyVersion) bool { return v.DeliveredAt != nil })
}

func notGranted(p *planner) *grant.Problem { return Refusal(p.in.Key, p.in.Granted) }

func groupInactive(p *planner) *grant.Problem {
	group, reason := p.in.Group, ""
	switch group.Spec.State {
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
			group.Namespace, group.Name, group.Spec.State),
	}
}

func suspended(p *planner) *grant.Problem {
	if !isTrue(p.in.Key.Spec.Suspended) {
		return nil
	}
	message := "the key is refused until this is false again"
	if at := p.in.Key.Annotations[v1alpha1.AnnotationSuspendedUnused]; at != "" {
		message += "; it was suspended at " + at + " because it was not used (keyPolicy.suspendUnusedFor)"
	}
	return &grant.Problem{Reason: v1alpha1.ReasonSuspended, Field: "spec.suspended", Message: message}
}

func rotationInvalid(p *planner) *grant.Problem { return p.rotationProblem }

func secretForeign(p *planner) *grant.Problem {
	if !p.in.Secret.Foreign {
		return nil
	}
	message := fmt.Sprintf("Secret %q exists and does not belong to this ApiKey; it is left unchanged. Remove it, or create the "+
		"ApiKey with another secret.name", SecretName(p.in.Key))
	if owner := p.in.Secret.Owner; owner != "" {
		message = fmt.Sprintf("Secret %q is that of ApiKey %q, whose apps use the key in it; it is left unchanged. Create this ApiKey "+
			"with another secret.name", SecretName(p.in.Key), owner)
	}
	return &grant.Problem{Reason: v1alpha1.ReasonSecretConflict, Field: "spec.secret.name", Message: message}
}

func templateInvalid(p *planner) *grant.Problem { return p.in.Template }

func unverifiable(p *planner) *grant.Problem { return p.in.Unverifiable }

func noSlot(p *planner) *grant.Problem { return p.in.NoSlot }
