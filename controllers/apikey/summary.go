package apikey

import (
	"fmt"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// summarize says how the key is.
func summarize(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) conditions.Summary {
	waiting := found.recordID != publish.NoRecord && !found.input.Published
	switch {
	case key.DeletionTimestamp != nil:
		return conditions.Summary{
			Reconciling: true, Reason: v1alpha1.ReasonDeleting,
			Message: "deleting revokes the key; " + conditions.Waiting(found.enforcement),
		}
	case outcome.State == v1alpha1.KeyRevoked:
		return conditions.Summary{
			Reconciling: waiting, Reason: v1alpha1.ReasonRevoked,
			Message: "the key is revoked for good; create a new ApiKey where one is needed",
		}
	case outcome.State == v1alpha1.KeyExpired:
		return conditions.Summary{
			Stalled: true, Reason: v1alpha1.ReasonExpired,
			Message: "the key's time is over; create a new ApiKey where one is needed",
		}
	case outcome.Obstacle != nil:
		return conditions.Summary{
			Reconciling: waiting && declared(outcome.Obstacle.Reason),
			Stalled:     !declared(outcome.Obstacle.Reason),
			Reason:      outcome.Obstacle.Reason, Message: outcome.Obstacle.Error(),
		}
	case found.restartProblem != nil:
		return conditions.Summary{Ready: true, Reconciling: true, Reason: found.restartProblem.Reason, Message: found.restartProblem.Error()}
	case outcome.State == v1alpha1.KeyActive:
		return conditions.Summary{Ready: true, Reconciling: waiting || outcome.Action != lifecycle.Keep && outcome.Action != lifecycle.None, Reason: v1alpha1.ReasonReady, Message: describeAccepted(key, outcome)}
	case startsVersion(outcome):
		return conditions.Summary{
			Reconciling: true, Reason: v1alpha1.ReasonPublishing,
			Message: fmt.Sprintf("version %d is minted; validation servers are told before it is delivered", outcome.Target),
		}
	default:
		return conditions.Summary{
			Reconciling: true, Reason: v1alpha1.ReasonPublishing,
			Message: fmt.Sprintf("version %d is delivered when every validation server accepts it; %s", outcome.Target, conditions.Waiting(found.enforcement)),
		}
	}
}

// works says of a key that is accepted where its text is, and what goes on.
func describeAccepted(key *v1alpha1.ApiKey, outcome lifecycle.Outcome) string {
	where := fmt.Sprintf("delivered in Secret %s", lifecycle.SecretName(key))
	current := lifecycle.Current(outcome.Versions)
	switch {
	case current == nil, current.State == v1alpha1.VersionRetiring:
		return "the key is accepted until the overlap of its last version ends"
	case current.ClaimedAt != nil:
		where = "its text was revealed, and is not in the cluster any more"
	case key.Spec.Secret.Reveal == v1alpha1.RevealOnce:
		where = fmt.Sprintf("waits in Secret %s to be claimed, until %s", lifecycle.SecretName(key),
			current.DeliveredAt.Add(lifecycle.ClaimWithin).UTC().Format(time.RFC3339))
	}
	message := "the key is accepted, and " + where
	switch {
	case outcome.Postponed:
		message += fmt.Sprintf("; the next rotation waits until one of %d overlaps ends", lifecycle.MaxRetiring)
	case startsVersion(outcome), outcome.Action == lifecycle.Publish, outcome.Action == lifecycle.Deliver:
		message += fmt.Sprintf("; version %d is on its way", outcome.Target)
	}
	return message
}

// foretell sets the conditions about what is to come.
func setForecasts(set conditions.Setter, status *v1alpha1.ApiKeyStatus, outcome lifecycle.Outcome) {
	expires := ""
	if outcome.Expiring && status.ExpiresAt != nil {
		expires = fmt.Sprintf("the key ends at %s and does not rotate by itself before; let it rotate (spec.rotation.every), or create another",
			status.ExpiresAt.UTC().Format(time.RFC3339))
	}
	set.Only(v1alpha1.ConditionExpiringSoon, expires != "", v1alpha1.ReasonExpiresAt, expires)
	c := outcome.Cutover
	if c == nil {
		set.Only(v1alpha1.ConditionCutoverPending, false, "", "")
		return
	}
	clients := fmt.Sprintf("%d client addresses", c.Clients)
	switch {
	case c.More:
		clients = "more than " + clients
	case c.Clients == 1:
		clients = "1 client address"
	}
	set.Only(v1alpha1.ConditionCutoverPending, true, v1alpha1.ReasonStillUsed, fmt.Sprintf(
		"version %d (%s) is still used, by %s since its successor was there at %s; it is refused from %s on: let its users read the Secret again, or extend spec.rotation.overlap",
		c.ID, c.Preview, clients, c.Since.UTC().Format(time.RFC3339), c.Ends.UTC().Format(time.RFC3339)))
}

// declared is whether the reason is a state that somebody declared, rather than a mistake
// that somebody has to mend.
func declared(reason string) bool {
	switch reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended:
		return true
	}
	return false
}
