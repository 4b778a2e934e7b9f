// Package lifecycle decides the life of an ApiKey's versions. Plan is a pure function of
// what is declared, what was done so far, and the time: no clients, no clock, no randomness.
//
// A version is published first (Pending: validation servers accept it), then delivered
// (Active: its text is in the Secret). When a successor was delivered in its place it stays
// accepted for an overlap (Retiring). It ends as Retired, Expired or Revoked, which are
// final. A process can die between any two steps. What it leaves behind is one of two
// things: a Pending version whose text is nowhere, which is dropped and minted again, or a
// Pending version whose text is in the Secret already, which is adopted.
package lifecycle

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

const (
	// MaxEnded is how many ended versions are remembered, for their codes: a holder of an
	// older version reads key_unknown.
	MaxEnded = 8
	// MaxRetiring is how many versions may be in their overlap before the next rotation waits.
	MaxRetiring = 4
	// ClaimWithin is how long the text of a key that is revealed once waits to be claimed.
	ClaimWithin = time.Hour
)

// Action is the one thing to do next.
type Action int

// Actions.
const (
	// None leaves everything as it is, beside the status.
	None Action = iota
	// Mint makes a new version, to be recorded as Pending before anything else.
	Mint
	// Import takes the key that spec.importFrom names as the first version, to be recorded
	// as Pending before anything else.
	Import
	// Publish waits until every connected validation server accepts the Target version.
	Publish
	// Deliver writes the held text of the Target version into the Secret.
	Deliver
	// Keep sees to it that the Secret, which carries the Target version, is in shape.
	Keep
	// Conceal removes the Secret, whose text was claimed or is over.
	DeleteSecret
)

// Note is something worth an event.
type Note struct {
	Warning bool
	Reason  string
	Message string
}

// Outcome is what Plan decides.
type Outcome struct {
	// Versions to record.
	Versions []v1alpha1.KeyVersion
	// Action to take, and the version that it is about (of Mint and Import: the new one's id).
	Action Action
	Target int64
	// Cause is, for Mint and Import, why; ExpiresAt is when the new version ends; zero means
	// never.
	Cause     v1alpha1.VersionCause
	ExpiresAt time.Time
	// Restart is, for Keep, whether workloads are still to be rolled for the Target version.
	Restart bool
	// State and Obstacle summarize. The obstacle is why the key is not, or not yet again,
	// accepted or delivered, as far as somebody has to act.
	State    v1alpha1.KeyState
	Obstacle *grant.Problem
	// RotatesAt is when the key rotates by itself; zero if never. Postponed is whether a
	// rotation is due and waits for the end of an overlap.
	RotatesAt time.Time
	Postponed bool
	// Expiring is whether the key ends soon and will not rotate by itself before.
	Expiring bool
	// Cutover is the version that is still used though its overlap is about to end, or nil.
	Cutover *Cutover
	// Notes are worth an event each.
	Notes []Note
	// Wake is the next instant at which time alone changes the plan; zero if there is none.
	Wake time.Time
}

// Plan decides what becomes of a key at the instant now.
func Plan(in Input, now time.Time) Outcome {
	p := &planner{in: in, now: now}
	p.rotation, p.rotationProblem = grant.RotationUnder(in.Key, in.Group)
	for i := range in.Key.Status.Versions {
		version := *in.Key.Status.Versions[i].DeepCopy()
		if p.advance(&version) {
			p.out.Versions = append(p.out.Versions, version)
		}
	}
	p.retireEarlier()
	p.act()
	p.trim()
	p.out.State = p.state()
	p.forecast()
	return p.out
}

type planner struct {
	in  Input
	now time.Time
	out Outcome

	rotation        grant.Rotation
	rotationProblem *grant.Problem
}

// Live is whether a version in this state is accepted by validation servers.
func Live(state v1alpha1.VersionState) bool {
	return state == v1alpha1.VersionPending || state == v1alpha1.VersionActive || state == v1alpha1.VersionRetiring
}

// Revoked is whether the key is revoked, which a deletion is too.
func Revoked(key *v1alpha1.ApiKey) bool {
	return isTrue(key.Spec.Revoked) || key.DeletionTimestamp != nil
}

// Counts is whether the key takes one of the places that its Group has for keys: one that may
// be accepted, now or later.
func Counts(key *v1alpha1.ApiKey) bool {
	return !Revoked(key) && key.Status.State != v1alpha1.KeyExpired
}

// Current is the version that the consumer should be using: the latest that was delivered,
// or failing that one that is to be, or that is in its overlap; nil if none lives.
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

// active is the version that was delivered last, nil where none lives.
func (p *planner) active() *v1alpha1.KeyVersion {
	return latest(p.out.Versions, v1alpha1.VersionActive)
}

// pending is the version that is on its way to the Secret, nil where there is none.
func (p *planner) pending() *v1alpha1.KeyVersion {
	return latest(p.out.Versions, v1alpha1.VersionPending)
}

// once is whether the text is revealed only until it is claimed.
func (p *planner) revealedOnce() bool { return p.in.Key.Spec.Secret.Reveal == v1alpha1.RevealOnce }

func isTrue(b *bool) bool { return b != nil && *b }

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// seconds is an instant as API objects hold it.
func seconds(t time.Time) *metav1.Time { return &metav1.Time{Time: t.Truncate(time.Second)} }

// NewVersion is the version that an outcome with the action Mint or Import calls for. The digest is as
// keyformat.DigestSecret gives it.
func NewVersion(outcome Outcome, key keyformat.Key, digest, trigger string, now time.Time) v1alpha1.KeyVersion {
	version := v1alpha1.KeyVersion{
		ID:       outcome.Target,
		State:    v1alpha1.VersionPending,
		Cause:    outcome.Cause,
		Trigger:  trigger,
		Preview:  key.Preview(),
		Digest:   digest,
		MintedAt: *seconds(now),
	}
	if !outcome.ExpiresAt.IsZero() {
		version.ExpiresAt = seconds(outcome.ExpiresAt)
	}
	return version
}
