package lifecycle_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func group() *v1alpha1.Group {
	return &v1alpha1.Group{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "acme"},
		Spec:       v1alpha1.GroupSpec{State: v1alpha1.GroupActive, KeyPolicy: v1alpha1.KeyPolicy{DefaultLifetime: "90d"}},
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// soon is how long after the start a version made by version counts as expiring soon.
const soon = 30 * time.Minute

func because(cause v1alpha1.VersionCause, v v1alpha1.KeyVersion) v1alpha1.KeyVersion {
	v.Cause = cause
	return v
}

// version is a version that was minted at the start, for an hour.
func version(id int64, state v1alpha1.VersionState) v1alpha1.KeyVersion {
	return v1alpha1.KeyVersion{
		ID: id, State: state, Preview: fmt.Sprintf("kw_…000%d", id), Digest: digest(fmt.Sprint(id)),
		MintedAt:  metav1.Time{Time: start},
		ExpiresAt: &metav1.Time{Time: start.Add(time.Hour)},
	}
}

func carrying(id int64) lifecycle.Secret {
	return lifecycle.Secret{Found: true, Digest: digest(fmt.Sprint(id))}
}

// input is a key with the versions, which an active Group grants.
func input(versions ...v1alpha1.KeyVersion) lifecycle.Input {
	key := &v1alpha1.ApiKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "web"},
		Spec: v1alpha1.ApiKeySpec{
			GroupRef: v1alpha1.GroupReference{Name: "acme"}, Projects: []v1alpha1.ProjectName{v1alpha1.DefaultProject},
		},
	}
	key.Status.Versions = versions
	return lifecycle.Input{Key: key, Group: group()}
}

func TestPlan(t *testing.T) {
	missing := &grant.Problem{Reason: v1alpha1.ReasonGroupNotFound, Field: "spec.groupRef", Message: "there is none"}
	tests := map[string]struct {
		in       lifecycle.Input
		with     func(*lifecycle.Input)
		at       time.Duration
		action   lifecycle.Action
		target   int64
		state    v1alpha1.KeyState
		obstacle string
		versions []v1alpha1.VersionState
		wake     time.Duration // after the start; 0 for none
	}{
		"a new key is minted": {
			in: input(), action: lifecycle.Mint, target: 1, state: v1alpha1.KeyPending,
		},
		"a pending version waits until servers accept it": {
			in: input(version(1, v1alpha1.VersionPending)), with: func(in *lifecycle.Input) { in.Pending = 1 },
			action: lifecycle.Publish, target: 1, state: v1alpha1.KeyPending,
			versions: []v1alpha1.VersionState{v1alpha1.VersionPending}, wake: time.Hour,
		},
		"an accepted version is delivered": {
			in: input(version(1, v1alpha1.VersionPending)), with: func(in *lifecycle.Input) { in.Pending, in.Published = 1, true },
			action: lifecycle.Deliver, target: 1, state: v1alpha1.KeyPending,
			versions: []v1alpha1.VersionState{v1alpha1.VersionPending}, wake: time.Hour,
		},
		"a delivered version is active": {
			in: input(version(1, v1alpha1.VersionPending)), with: func(in *lifecycle.Input) { in.Pending, in.Secret = 1, carrying(1) },
			action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: soon,
		},
		"after a crash before delivery the version is dropped and minted again": {
			in: input(version(1, v1alpha1.VersionPending)), action: lifecycle.Mint, target: 2, state: v1alpha1.KeyPending,
		},
		"after a crash past delivery the version is adopted from the Secret": {
			in: input(version(1, v1alpha1.VersionPending)), with: func(in *lifecycle.Input) { in.Secret = carrying(1) },
			action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: soon,
		},
		"a lost Secret calls for a new version beside the old": {
			in: input(version(1, v1alpha1.VersionActive)), action: lifecycle.Mint, target: 2, state: v1alpha1.KeyPending,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: soon,
		},
		"a tampered Secret calls for a new version, too": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) { in.Secret = carrying(7) },
			action: lifecycle.Mint, target: 2, state: v1alpha1.KeyPending,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: soon,
		},
		"a Secret that is restored makes the replacement unnecessary": {
			in:     input(version(1, v1alpha1.VersionActive), because(v1alpha1.CauseReplaced, version(2, v1alpha1.VersionPending))),
			with:   func(in *lifecycle.Input) { in.Pending, in.Secret = 2, carrying(1) },
			action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: soon,
		},
		"a delivered replacement revokes the version that it replaces": {
			in:     input(version(1, v1alpha1.VersionActive), because(v1alpha1.CauseReplaced, version(2, v1alpha1.VersionPending))),
			with:   func(in *lifecycle.Input) { in.Pending, in.Secret = 2, carrying(2) },
			action: lifecycle.Keep, target: 2, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionRevoked, v1alpha1.VersionActive}, wake: soon,
		},
		"a key lives until the instant before its expiry": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) { in.Secret = carrying(1) },
			at: time.Hour - 1, action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: time.Hour,
		},
		"a key ends at its expiry, for good": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) { in.Secret = carrying(1) },
			at: time.Hour, state: v1alpha1.KeyExpired, versions: []v1alpha1.VersionState{v1alpha1.VersionExpired},
		},
		"an earlier expiry applies to existing versions": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) {
				in.Key.Spec.ExpiresAfter, in.Secret = "30m", carrying(1)
			},
			action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: 15 * time.Minute,
		},
		"an instant in the past ends the key": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) {
				in.Key.Spec.ExpiresAt, in.Secret = &metav1.Time{Time: start.Add(-time.Hour)}, carrying(1)
			},
			state: v1alpha1.KeyExpired, versions: []v1alpha1.VersionState{v1alpha1.VersionExpired},
		},
		"no version is minted for an instant in the past": {
			in:    input(),
			with:  func(in *lifecycle.Input) { in.Key.Spec.ExpiresAt = &metav1.Time{Time: start.Add(-time.Hour)} },
			state: v1alpha1.KeyExpired,
		},
		"a key that was over before its first version stays over": {
			in: input(),
			with: func(in *lifecycle.Input) {
				in.Key.Spec.ExpiresAt, in.Key.Status.State = &metav1.Time{Time: start.Add(time.Hour)}, v1alpha1.KeyExpired
			},
			state: v1alpha1.KeyExpired, wake: time.Hour,
		},
		"a blocked key is over at its instant": {
			in: input(),
			with: func(in *lifecycle.Input) {
				in.Key.Spec.ExpiresAt, in.Problem = &metav1.Time{Time: start.Add(time.Hour)}, missing
			},
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonGroupNotFound, wake: time.Hour,
		},
		"a key whose lifetime is beyond a tightened policy is kept, and extended to what the policy allows": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) {
				in.Key.Spec.ExpiresAfter, in.Secret = "60d", carrying(1)
				in.Group.Spec.KeyPolicy.MaxLifetime = "30d"
			},
			action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: 16 * 24 * time.Hour,
		},
		"a key without expiry is not minted if the policy forbids it": {
			in: input(), with: func(in *lifecycle.Input) { in.Key.Spec.ExpiresAfter = v1alpha1.LifetimeNever },
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonLifetimeNotAllowed,
		},
		"a key without expiry, which the policy allows, has no wake": {
			in: input(version(1, v1alpha1.VersionActive)), with: func(in *lifecycle.Input) {
				in.Key.Spec.ExpiresAfter, in.Secret = v1alpha1.LifetimeNever, carrying(1)
				in.Group.Spec.KeyPolicy.AllowNever = ptr.To(true)
			},
			action: lifecycle.Keep, target: 1, state: v1alpha1.KeyActive,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive},
		},
		"revoking revokes every live version": {
			in:    input(version(1, v1alpha1.VersionExpired), version(2, v1alpha1.VersionActive), version(3, v1alpha1.VersionPending)),
			with:  func(in *lifecycle.Input) { in.Key.Spec.Revoked, in.Secret = ptr.To(true), carrying(2) },
			state: v1alpha1.KeyRevoked,
			versions: []v1alpha1.VersionState{
				v1alpha1.VersionExpired, v1alpha1.VersionRevoked, v1alpha1.VersionRevoked,
			},
		},
		"deleting revokes": {
			in:    input(version(1, v1alpha1.VersionActive)),
			with:  func(in *lifecycle.Input) { in.Key.DeletionTimestamp = &metav1.Time{Time: start} },
			state: v1alpha1.KeyRevoked, versions: []v1alpha1.VersionState{v1alpha1.VersionRevoked},
		},
		"a key that is revoked before it was minted is never minted": {
			in: input(), with: func(in *lifecycle.Input) { in.Key.Spec.Revoked = ptr.To(true) }, state: v1alpha1.KeyRevoked,
		},
		"a suspended key is not minted": {
			in: input(), with: func(in *lifecycle.Input) { in.Key.Spec.Suspended = ptr.To(true) },
			state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonSuspended,
		},
		"a suspended key is not delivered": {
			in: input(version(1, v1alpha1.VersionPending)), with: func(in *lifecycle.Input) {
				in.Pending, in.Published, in.Key.Spec.Suspended = 1, true, ptr.To(true)
			},
			state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonSuspended,
			versions: []v1alpha1.VersionState{v1alpha1.VersionPending}, wake: time.Hour,
		},
		"a key of a frozen Group is not minted": {
			in: input(), with: func(in *lifecycle.Input) { in.Group.Spec.State = v1alpha1.GroupFrozen },
			state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonGroupFrozen,
		},
		"a key that its Group does not grant is not minted": {
			in: input(), with: func(in *lifecycle.Input) { in.Group, in.Problem = nil, missing },
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonGroupNotFound,
		},
		"a Secret of somebody else is left unchanged": {
			in: input(), with: func(in *lifecycle.Input) { in.Secret = lifecycle.Secret{Found: true, Foreign: true} },
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonSecretConflict,
		},
		"no Secret of somebody else is changed to replace a lost one": {
			in:    input(version(1, v1alpha1.VersionActive)),
			with:  func(in *lifecycle.Input) { in.Secret = lifecycle.Secret{Found: true, Foreign: true} },
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonSecretConflict,
			versions: []v1alpha1.VersionState{v1alpha1.VersionActive}, wake: soon,
		},
		"a Secret of somebody else with the same text is left unchanged": {
			in: input(version(1, v1alpha1.VersionPending)), with: func(in *lifecycle.Input) {
				in.Secret = carrying(1)
				in.Secret.Foreign = true
			},
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonSecretConflict,
		},
		"a key with a template that cannot be rendered is not minted": {
			in: input(), with: func(in *lifecycle.Input) {
				in.Template = &grant.Problem{Reason: v1alpha1.ReasonSecretTemplateInvalid, Field: "spec.secret.template.data", Message: "no"}
			},
			state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonSecretTemplateInvalid,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.with != nil {
				test.with(&test.in)
			}
			out := lifecycle.Plan(test.in, start.Add(test.at))
			if out.Action != test.action || out.Target != test.target || out.State != test.state {
				t.Errorf("action %v of version %d, state %s; want %v of %d, %s", out.Action, out.Target, out.State, test.action, test.target,
					test.state)
			}
			reason := ""
			if out.Obstacle != nil {
				reason = out.Obstacle.Reason
			}
			if reason != test.obstacle {
				t.Errorf("obstacle %q, want %q", reason, test.obstacle)
			}
			if got := fmt.Sprint(states(out.Versions)); got != fmt.Sprint(test.versions) {
				t.Errorf("versions %v, want %v", got, test.versions)
			}
			want := time.Time{}
			if test.wake > 0 {
				want = start.Add(test.wake)
			}
			if !out.Wake.Equal(want) {
				t.Errorf("wake at %v, want %v", out.Wake, want)
			}
		})
	}
}

func states(versions []v1alpha1.KeyVersion) []v1alpha1.VersionState {
	var all []v1alpha1.VersionState
	for i := range versions {
		all = append(all, versions[i].State)
	}
	return all
}
