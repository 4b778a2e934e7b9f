// Package lifecycle decides the life of an ApiKey's versions. Plan is a pure function of the declared state, of what was
// done so far, and of the time: no clients, no clock, no randomness.
//
// A version is first published (Pending: validation servers accept it), then delivered (Active: its text is in the
// Secret). After its successor was delivered it stays accepted for an overlap (Retiring). It ends as Retired, Expired or
// Revoked, which are final. A process can die between any two steps. It leaves one of two things behind: a Pending
// version whose text is lost, which is dropped and minted again, or a Pending version whose text is in the Secret
// already, which is adopted.
package lifecycle

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
)

const (
	// MaxEnded is how many ended versions are remembered, so that their holders get the code for it. The holder of an
	// older version gets key_unknown.
	MaxEnded = 8
	// MaxRetiring is how many versions may be in their overlap; beyond it the next rotation waits.
	MaxRetiring = 4
	// ClaimWithin is how long the text of a key that is revealed once waits to be claimed.
	ClaimWithin = time.Hour
)

// Action is what to do next.
type Action int

// Actions.
const (
	// None changes nothing except the status.
	None Action = iota
	// Mint creates a new version, which is recorded as Pending before anything else.
	Mint
	// Import makes the key that spec.importFrom names the first version, which is recorded as Pending before anything
	// else. If only its digest is known, it is accepted without a delivery.
	Import
	// Publish waits until every connected validation server accepts the Target version.
	Publish
	// Deliver writes the pending plaintext of the Target version into the Secret.
	Deliver
	// Keep keeps the Secret, which carries the Target version, as declared.
	Keep
	// DeleteSecret deletes the Secret, whose text was claimed or has ended.
	DeleteSecret
)

// Note is something that is worth an event.
type Note struct {
	Warning bool
	Reason  string
	Message string
}

// Outcome is what Plan decides.
type Outcome struct {
	// Versions to record.
	Versions []v1alpha1.KeyVersion
	// Action to take, and the version that it is about (for Mint and Import: the id of the new one).
	Action Action
	Target int64
	// Cause is, for Mint and Import, why; ExpiresAt is when the new version expires; zero means never.
	Cause     v1alpha1.VersionCause
	ExpiresAt time.Time
	// Restart reports, for Keep, whether workloads still have to be rolled for the Target version, and Notify whether
	// objects of others still have to be notified of it.
	Restart, Notify bool
	// State and Obstacle summarize the key. The obstacle is why it is not accepted or delivered, if somebody has to act
	// to change that.
	State    v1alpha1.KeyState
	Obstacle *grant.Problem
	// RotatesAt is when the key rotates automatically; zero if never. Postponed reports whether a rotation is due and
	// waits for the end of an overlap.
	RotatesAt time.Time
	Postponed bool
	// Contest is that something else keeps taking the text out of the Secret; nil if nothing does. ReplacesAt is when a
	// version whose text was lost is replaced; zero if none waits for that.
	Contest    *Contest
	ReplacesAt time.Time
	// Expiring reports whether the key expires soon and does not rotate automatically before.
	Expiring bool
	// Cutover is the version that is still used though its overlap is about to end, or nil.
	Cutover *Cutover
	// Unused is that the key is not used for as long as the Group's keyPolicy says; nil if that is not so, or not known.
	Unused *Unused
	// Notes are what is worth an event each.
	Notes []Note
	// Wake is the next instant at which the plan changes without any other change; zero if there is none.
	Wake time.Time
}

// Plan decides what happens to a key at the instant now.
func Plan(in Input, now time.Time) Outcome {
	p := &planner{in: in, now: now}
	p.rotation, p.rotationProblem = grant.RotationUnder(in.Key, in.Group)
	if p.rotationProblem != nil && p.rotationProblem.Elsewhere && len(in.Key.Status.Versions) > 0 {
		p.rotationProblem = nil // the policy was tightened since the key was created: it goes on, and rotates more often
	}
	for i := range in.Key.Status.Versions {
		version := *in.Key.Status.Versions[i].DeepCopy()
		if p.advance(&version) {
			p.out.Versions = append(p.out.Versions, version)
		}
	}
	p.retireEarlier()
	p.out.Contest = p.contest()
	p.act()
	p.trim()
	p.out.State = p.state()
	p.forecast()
	p.unused()
	p.quieten()
	return p.out
}

type planner struct {
	in  Input
	now time.Time
	out Outcome

	rotation        grant.Rotation
	rotationProblem *grant.Problem
}

// Live reports whether validation servers accept a version in this state.
func Live(state v1alpha1.VersionState) bool {
	return state == v1alpha1.VersionPending || state == v1alpha1.VersionActive || state == v1alpha1.VersionRetiring
}

// Over reports whether a version has ended for good: by its overlap, by its expiry, or by revocation.
func Over(state v1alpha1.VersionState) bool {
	return state == v1alpha1.VersionRetired || state == v1alpha1.VersionExpired || state == v1alpha1.VersionRevoked
}

// Passed reports whether there is such an end, of an overlap or a lifetime, and it has come: the instant itself is the first at which the
// version is refused.
func Passed(end *metav1.Time, now time.Time) bool { return end != nil && !now.Before(end.Time) }

// Revoked reports whether the key is revoked; a deletion revokes it, too.
func Revoked(key *v1alpha1.ApiKey) bool {
	return isTrue(key.Spec.Revoked) || key.DeletionTimestamp != nil
}

// Counts reports whether the key counts toward the limit of keys of its Group: whether it may be accepted, now or later.
func Counts(key *v1alpha1.ApiKey) bool {
	return !Revoked(key) && key.Status.State != v1alpha1.KeyExpired
}

// Current is the version that the consumer should use: the latest that was delivered; otherwise one that will be
// delivered, or that is in its overlap; nil if no version lives.
func Current(versions []v1alpha1.KeyVersion) *v1alpha1.KeyVersion {
	for _, state := range []v1alpha1.VersionState{v1alpha1.VersionActive, v1alpha1.VersionPending, v1alpha1.VersionRetiring} {
		if v := latest(versions, state); v != nil {
			return v
		}
	}
	return nil
}

func latest(versions []v1alpha1.KeyVersion, state v1alpha1.VersionState) *v1alpha1.KeyVersion {
	for i := range slices.Backward(versions) {
		if versions[i].State == state {
			return &versions[i]
		}
	}
	return nil
}

// active is the version that was delivered last; nil if there is none.
func (p *planner) active() *v1alpha1.KeyVersion {
	return latest(p.out.Versions, v1alpha1.VersionActive)
}

// pending is the version that is not in the Secret yet; nil if there is none.
func (p *planner) pending() *v1alpha1.KeyVersion {
	return latest(p.out.Versions, v1alpha1.VersionPending)
}

// revealedOnce reports whether the text is revealed only until it is claimed.
func (p *planner) revealedOnce() bool { return p.in.Key.Spec.Secret.Reveal == v1alpha1.RevealOnce }

func isTrue(b *bool) bool { return b != nil && *b }

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// seconds is an instant as API objects store it, in whole seconds.
func seconds(t time.Time) *metav1.Time { return &metav1.Time{Time: t.Truncate(time.Second)} }

// NewVersion is the version of an ApiKey for an outcome with the action Mint or Import. The digest is in the form of
// keyformat.DigestSecret.
func NewVersion(of *v1alpha1.ApiKey, outcome Outcome, preview, digest string, now time.Time) v1alpha1.KeyVersion {
	version := v1alpha1.KeyVersion{
		ID:       outcome.Target,
		State:    v1alpha1.VersionPending,
		Cause:    outcome.Cause,
		Trigger:  of.Spec.Rotation.Trigger,
		Preview:  preview,
		Digest:   digest,
		MintedAt: *seconds(now),
	}
	version.RotateRequest = unhandledRequest(of, outcome.Versions)
	if grant.RequestedOverlap(version.RotateRequest) != nil {
		version.DeclaredOverlap = grant.DeclaredOverlap(of)
	}
	if !outcome.ExpiresAt.IsZero() {
		version.ExpiresAt = seconds(outcome.ExpiresAt)
	}
	return version
}
