// Package lifecycle decides the life of an ApiKey's versions. Plan is a pure function of
// what is declared, what was done so far, and the time: no clients, no clock, no randomness.
//
// A version is published first (Pending: validation servers accept it), then delivered
// (Active: its text is in the Secret), and ends as Expired or Revoked, which are final. A
// process can die between any two steps. What it leaves behind is one of two things: a
// Pending version whose text is nowhere, which is dropped and minted again, or a Pending
// version whose text is in the Secret already, which is adopted.
package lifecycle

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keyward-dev/keyward/api/keyformat"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/grant"
)

// MaxEnded is how many ended versions are remembered, for their codes: a holder of an
// older version reads key_unknown.
const MaxEnded = 8

// Input is everything that a plan depends on, beside the time.
type Input struct {
	// Key is the ApiKey with the status that was last written.
	Key *v1alpha1.ApiKey
	// Group is the Group that the key refers to, nil where there is none.
	Group *v1alpha1.Group
	// Problem is why the Group does not grant what the key asks, nil where it does.
	Problem *grant.Problem
	// Secret is what was found under the name of the key's Secret.
	Secret Secret
	// Template is what is wrong with the key's Secret template, nil where nothing is.
	Template *grant.Problem
	// Held is the Pending version whose text this process holds in memory, or 0.
	Held int64
	// Published is whether every connected validation server has acknowledged the versions
	// in Key's status.
	Published bool
}

// Secret is what was found under the name of the key's Secret.
type Secret struct {
	// Found is whether there is a Secret of the name, Foreign whether it is not the key's.
	Found, Foreign bool
	// Digest of the key text in it, in the form of KeyVersion's digest; empty without one.
	Digest string
}

// Action is the one thing to do next.
type Action int

// Actions.
const (
	// None leaves everything as it is, beside the status.
	None Action = iota
	// Mint makes a new version, to be recorded as Pending before anything else.
	Mint
	// Publish waits until every connected validation server accepts the Target version.
	Publish
	// Deliver writes the held text of the Target version into the Secret.
	Deliver
	// Keep sees to it that the Secret, which carries the Target version, is in shape.
	Keep
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
	// Action to take, and the version that it is about (of Mint: the new one's id).
	Action Action
	Target int64
	// ExpiresAt is, for Mint, when the new version ends; zero means never.
	ExpiresAt time.Time
	// State and Obstacle summarize. The obstacle is why the key is not, or not yet again,
	// accepted or delivered, as far as somebody has to act.
	State    v1alpha1.KeyState
	Obstacle *grant.Problem
	// Notes are worth an event each.
	Notes []Note
	// Wake is the next instant at which time alone changes the plan; zero if there is none.
	Wake time.Time
}

// Plan decides what becomes of a key at the instant now.
func Plan(in Input, now time.Time) Outcome {
	p := &planner{in: in, now: now}
	for i := range in.Key.Status.Versions {
		version := *in.Key.Status.Versions[i].DeepCopy()
		if p.settle(&version) {
			p.out.Versions = append(p.out.Versions, version)
		}
	}
	p.trim()
	p.act()
	p.out.State = p.state()
	p.out.Wake = p.wake()
	return p.out
}

type planner struct {
	in  Input
	now time.Time
	out Outcome
}

// Live is whether a version in this state is accepted by validation servers.
func Live(state v1alpha1.VersionState) bool {
	return state == v1alpha1.VersionPending || state == v1alpha1.VersionActive
}

// Revoked is whether the key is revoked, which a deletion is too.
func Revoked(key *v1alpha1.ApiKey) bool {
	return isTrue(key.Spec.Revoked) || key.DeletionTimestamp != nil
}

// Current is the version that the consumer should be using: the latest that was delivered
// and still lives, or failing that the latest that lives; nil if none does.
func Current(versions []v1alpha1.KeyVersion) *v1alpha1.KeyVersion {
	var current *v1alpha1.KeyVersion
	for i := range versions {
		v := &versions[i]
		switch {
		case !Live(v.State):
		case v.State == v1alpha1.VersionActive, current == nil, current.State == v1alpha1.VersionPending:
			current = v
		}
	}
	return current
}

func isTrue(b *bool) bool { return b != nil && *b }

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// NewVersion is the version that an outcome with the action Mint calls for.
func NewVersion(outcome Outcome, key keyformat.Key, now time.Time) v1alpha1.KeyVersion {
	version := v1alpha1.KeyVersion{
		ID:       outcome.Target,
		State:    v1alpha1.VersionPending,
		Preview:  key.Preview(),
		Digest:   key.Digest().String(),
		MintedAt: metav1.Time{Time: now.Truncate(time.Second)},
	}
	if !outcome.ExpiresAt.IsZero() {
		version.ExpiresAt = &metav1.Time{Time: outcome.ExpiresAt.Truncate(time.Second)}
	}
	return version
}
