package apikey

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

const (
	revokedForGood = "the key is revoked for good; create a new ApiKey where one is needed"
	expiredForGood = "the key has expired; create a new ApiKey where one is needed"
)

// summarize describes how far the key is in its declared state. A state that somebody declared is reached when
// validation servers have it in force; an expired key stays as it is.
func summarize(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) conditions.Summary {
	unacknowledged := found.unacknowledged()
	switch {
	case key.DeletionTimestamp != nil:
		summary := conditions.Summary{
			Reconciling: true, Reason: v1alpha1.ReasonDeleting,
			Message: "deleting revokes the key; " + conditions.Waiting(found.enforcement),
		}
		if !controllerutil.ContainsFinalizer(key, v1alpha1.FinalizerEnforcement) {
			summary.Message = "the key is revoked; the ApiKey remains until those remove their finalizers that keep it: " +
				strings.Join(key.Finalizers, ", ")
		}
		return summary
	case outcome.State == v1alpha1.KeyRevoked:
		return conditions.Summary{
			Ready: !unacknowledged, Reconciling: unacknowledged, Reason: v1alpha1.ReasonRevoked, Message: revokedForGood,
		}
	case outcome.State == v1alpha1.KeyExpired:
		return conditions.Summary{Ready: true, Reason: v1alpha1.ReasonExpired, Message: expiredForGood}
	case found.narrowed() && (outcome.Obstacle == nil || declared(outcome.Obstacle.Reason)):
		problem := found.input.Narrowed()
		return conditions.Summary{Stalled: true, Reason: problem.Reason, Message: problem.Error()}
	case outcome.Obstacle != nil && declared(outcome.Obstacle.Reason):
		return conditions.Summary{
			Ready: !unacknowledged, Reconciling: unacknowledged,
			Reason: outcome.Obstacle.Reason, Message: outcome.Obstacle.Error(),
		}
	case outcome.Obstacle != nil:
		return conditions.Summary{Stalled: true, Reason: outcome.Obstacle.Reason, Message: outcome.Obstacle.Error()}
	case found.followUpProblem != nil && !unacknowledged:
		// Not in progress: what is to be rolled or notified may be what a tool creates once the key is ready.
		return conditions.Summary{
			Ready: true, Reason: found.followUpProblem.Reason, Message: found.followUpProblem.Error(),
		}
	case outcome.State == v1alpha1.KeyActive:
		return conditions.Summary{
			Ready:       true,
			Reconciling: unacknowledged || outcome.Action != lifecycle.Keep && outcome.Action != lifecycle.None,
			Reason:      v1alpha1.ReasonReady, Message: describeAccepted(key, outcome),
		}
	case !outcome.ReplacesAt.IsZero():
		return describeLost(key, found, outcome)
	case startsVersion(outcome):
		return conditions.Summary{
			Reconciling: true, Reason: v1alpha1.ReasonPublishing,
			Message: fmt.Sprintf("version %d is minted; it is published to validation servers before it is delivered", outcome.Target),
		}
	default:
		return conditions.Summary{
			Reconciling: true, Reason: v1alpha1.ReasonPublishing,
			Message: fmt.Sprintf("version %d is delivered when every validation server accepts it; %s", outcome.Target,
				conditions.Waiting(found.enforcement)),
		}
	}
}

// setAccepted sets the condition Accepted: by what is declared, and true only once validation servers have
// acknowledged that. While they take over a change of a key that they accept, it stays true.
func setAccepted(set conditions.Setter, key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) {
	reason, message := refusal(key, found, outcome)
	was := meta.IsStatusConditionTrue(key.Status.Conditions, v1alpha1.ConditionAccepted)
	if reason == "" && found.unacknowledged() && !was {
		reason, message = v1alpha1.ReasonPublishing, "the key is accepted when every validation server has the change; "+
			conditions.Waiting(found.enforcement)
	}
	if reason == "" {
		set.Set(v1alpha1.ConditionAccepted, true, v1alpha1.ReasonAccepted, "validation servers accept the key")
		return
	}
	set.Set(v1alpha1.ConditionAccepted, false, reason, message)
}

// refusal is why the key is not to be accepted; the reason is empty where it is.
func refusal(key *v1alpha1.ApiKey, found *facts, outcome lifecycle.Outcome) (reason, message string) {
	problem, obstacle := lifecycle.Refusal(key, found.input.Granted), outcome.Obstacle
	switch {
	case key.DeletionTimestamp != nil:
		return v1alpha1.ReasonDeleting, "deleting revokes the key"
	case outcome.State == v1alpha1.KeyRevoked:
		return v1alpha1.ReasonRevoked, revokedForGood
	case outcome.State == v1alpha1.KeyExpired:
		return v1alpha1.ReasonExpired, expiredForGood
	case problem != nil:
		return problem.Reason, problem.Error()
	case outcome.State == v1alpha1.KeySuspended && obstacle != nil:
		return obstacle.Reason, obstacle.Error()
	case delivered(outcome.Versions):
		return "", ""
	case obstacle != nil:
		return obstacle.Reason, obstacle.Error()
	default:
		return v1alpha1.ReasonPending, "no version of the key is delivered yet"
	}
}

// delivered reports whether a version lives that somebody may have.
func delivered(versions []v1alpha1.KeyVersion) bool {
	for i := range versions {
		if state := versions[i].State; lifecycle.Live(state) && state != v1alpha1.VersionPending {
			return true
		}
	}
	return false
}

// narrowed reports whether the key goes on with a part of what it asks, because its Group does not grant all of it.
func (f *facts) narrowed() bool {
	return f.input.Problem != nil && lifecycle.Refusal(f.input.Key, f.input.Granted) == nil
}

// unacknowledged reports whether a validation server lacks the published record of the key.
func (f *facts) unacknowledged() bool {
	return f.recordID != publish.NoRecord && !f.inForce()
}

// inForce reports whether no server has to be waited for, so that no server allows what the record, or its absence, does not.
// A server that rejects the record allows nothing by it; the text of a key is not delivered then.
func (f *facts) inForce() bool { return f.input.Published || f.enforcement.Complete }

// describeAccepted describes where the text of an accepted key is, and what is in progress.
func describeAccepted(key *v1alpha1.ApiKey, outcome lifecycle.Outcome) string {
	where := fmt.Sprintf("delivered in Secret %s", lifecycle.SecretName(key))
	current := lifecycle.Current(outcome.Versions)
	switch {
	case current == nil, current.State == v1alpha1.VersionRetiring:
		return "the key is accepted until the overlap of its last version ends"
	case current.ClaimedAt != nil && current.Cause == v1alpha1.CauseImported:
		where = "was imported by its hash: its holder has the text, and the first rotation puts a new one into Secret " + lifecycle.SecretName(key)
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
		message += fmt.Sprintf("; version %d is being delivered", outcome.Target)
	}
	return message
}

// setFollowUp sets the condition about what should have followed the delivery.
func setFollowUp(set conditions.Setter, found *facts) {
	if problem := found.followUpProblem; problem != nil {
		set.Set(v1alpha1.ConditionFollowUpPending, true, problem.Reason, problem.Error())
		return
	}
	set.Set(v1alpha1.ConditionFollowUpPending, false, "", "")
}

// setForecasts sets the conditions about what is to come.
func setForecasts(set conditions.Setter, status *v1alpha1.ApiKeyStatus, outcome lifecycle.Outcome) {
	expires := ""
	if outcome.Expiring && status.ExpiresAt != nil {
		expires = fmt.Sprintf("the key ends at %s and does not rotate automatically before; let it rotate "+
			"(spec.rotation.every), or create another",
			status.ExpiresAt.UTC().Format(time.RFC3339))
	}
	set.Set(v1alpha1.ConditionExpiringSoon, expires != "", v1alpha1.ReasonExpiresAt, expires)
	c := outcome.Cutover
	if c == nil {
		set.Set(v1alpha1.ConditionCutoverPending, false, "", "")
		return
	}
	clients := fmt.Sprintf("%d client addresses", c.Clients)
	switch {
	case c.More:
		clients = "more than " + clients
	case c.Clients == 1:
		clients = "1 client address"
	}
	set.Set(v1alpha1.ConditionCutoverPending, true, v1alpha1.ReasonStillUsed, fmt.Sprintf(
		"version %d (%s) is still used, by %s since its successor was available at %s; it is refused from %s on: "+
			"let its users read the Secret again, or extend spec.rotation.overlap",
		c.ID, c.Preview, clients, c.Since.UTC().Format(time.RFC3339), c.Ends.UTC().Format(time.RFC3339)))
}

// declared reports whether the reason is a state that somebody declared, rather than a mistake that somebody has
// to fix.
func declared(reason string) bool {
	switch reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended:
		return true
	}
	return false
}
