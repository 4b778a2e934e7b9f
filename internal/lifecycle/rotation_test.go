package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

const day = 24 * time.Hour

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: start.Add(d)} }

// delivered is a version of 90 days that was minted and delivered at an instant.
func delivered(id int64, state v1alpha1.VersionState, when time.Duration) v1alpha1.KeyVersion {
	v := version(id, state)
	v.MintedAt, v.DeliveredAt, v.ExpiresAt = *at(when), at(when), at(when+90*day)
	v.Cause = v1alpha1.CauseScheduled
	return v
}

// retiring is a version whose successor was delivered at the start.
func retiring(id int64) v1alpha1.KeyVersion {
	v := delivered(id, v1alpha1.VersionRetiring, -60*day)
	if id > 1 {
		v.DeliveredAt = at(0)
	}
	v.ReplacedAt, v.RetiresAt = at(0), at(day+time.Second)
	return v
}

func claimed(v v1alpha1.KeyVersion, when time.Duration) v1alpha1.KeyVersion {
	v.ClaimedAt = at(when)
	return v
}

// step is what is planned for a key that rotates every 60 days with a day of overlap, and whose version 1 was delivered at
// the start.
type step struct {
	versions []v1alpha1.KeyVersion
	carries  int64 // the version in the Secret; 0 is no Secret
	with     func(*lifecycle.Input)
	at       time.Duration

	action lifecycle.Action
	cause  v1alpha1.VersionCause
	want   string // states
	state  v1alpha1.KeyState
	wake   time.Duration // 0 is none
	note   string        // part of a note; "" is no note
	check  func(*testing.T, lifecycle.Outcome)
}

func TestRotation(t *testing.T) {
	one := []v1alpha1.KeyVersion{delivered(1, v1alpha1.VersionActive, 0)}
	pair := []v1alpha1.KeyVersion{retiring(1), delivered(2, v1alpha1.VersionActive, 0)}
	pending := delivered(2, v1alpha1.VersionPending, 60*day)
	pending.DeliveredAt = nil
	used := func(through, first, second time.Duration) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Key.Spec.Rotation.RetireWhenUnusedFor = "1h"
			in.Usage = lifecycle.Usage{Since: start.Add(-day), Of: map[string]lifecycle.Use{
				pair[0].Digest: {Last: start.Add(first), Clients: 3}, pair[1].Digest: {Last: start.Add(second)},
			}}
			if through != 0 {
				in.Usage.Through = start.Add(through)
			}
		}
	}
	rotation := func(change func(*v1alpha1.Rotation)) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) { change(&in.Key.Spec.Rotation) }
	}
	run(t, map[string]step{
		"a version is kept until its age is due": {
			versions: one, carries: 1, at: 60*day - 1, action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive, wake: 60 * day,
			check: func(t *testing.T, out lifecycle.Outcome) {
				if !out.RotatesAt.Equal(start.Add(60*day)) || out.Expiring {
					t.Errorf("rotates at %v, expiring %v", out.RotatesAt, out.Expiring)
				}
			},
		},
		"a version whose age is due is replaced, and stays accepted": {
			versions: one, carries: 1, at: 60 * day, action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Active",
			state: v1alpha1.KeyActive, wake: 90 * day,
		},
		"a missed rotation happens once": {
			versions: one, carries: 1, at: 89 * day, action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Active",
			state: v1alpha1.KeyActive, wake: 90 * day,
		},
		"a missed rotation happens after the expiry, too": {
			versions: one, carries: 1, at: 200 * day, action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Expired",
			state: v1alpha1.KeyPending, note: "has expired",
		},
		"a key that had ended before does not rotate": {
			versions: one, carries: 1, at: 200 * day, want: "Expired", state: v1alpha1.KeyExpired, note: "has expired",
			with: func(in *lifecycle.Input) { in.Key.Status.State = v1alpha1.KeyExpired },
		},
		"a key that expired at a declared instant does not rotate": {
			versions: one, carries: 1, at: 200 * day, want: "Expired", state: v1alpha1.KeyExpired, note: "has expired",
			with: func(in *lifecycle.Input) { in.Key.Spec.ExpiresAt = at(90 * day) },
		},
		"the new version is published before it is delivered": {
			versions: append(one[:1:1], pending), carries: 1, at: 60 * day, action: lifecycle.Publish, want: "Active Pending",
			state: v1alpha1.KeyActive, wake: 90 * day,
			with: func(in *lifecycle.Input) { in.Pending = 2 },
		},
		"the new version is delivered when all servers accept it": {
			versions: append(one[:1:1], pending), carries: 1, at: 60 * day, action: lifecycle.Deliver, want: "Active Pending",
			state: v1alpha1.KeyActive, wake: 90 * day,
			with: func(in *lifecycle.Input) { in.Pending, in.Published = 2, true },
		},
		"the overlap begins at the delivery, and is a second longer because instants are truncated": {
			versions: append(one[:1:1], pending), carries: 2, at: 60 * day, action: lifecycle.Keep, want: "Retiring Active",
			state: v1alpha1.KeyActive, wake: 60*day + 3*(day+time.Second)/4, note: "which is accepted until 2027-01-21T12:00:01Z",
			check: func(t *testing.T, out lifecycle.Outcome) {
				if got := out.Versions[0].RetiresAt; !got.Equal(at(61*day + time.Second)) {
					t.Errorf("retires at %v", got)
				}
			},
		},
		"without an overlap the earlier version retires at the delivery": {
			versions: append(one[:1:1], pending), carries: 2, at: 60 * day, action: lifecycle.Keep, want: "Retired Active",
			state: v1alpha1.KeyActive, wake: 120 * day, note: "is retired",
			with: rotation(func(r *v1alpha1.Rotation) { r.Overlap = "0s" }),
		},
		"a process that dies before delivery leaves the rotation due": {
			versions: append(one[:1:1], pending), carries: 1, at: 60 * day, action: lifecycle.Mint, cause: v1alpha1.CauseScheduled,
			want: "Active", state: v1alpha1.KeyActive, wake: 90 * day, note: "never delivered",
		},
		"the overlap ends to the second": {
			versions: pair, carries: 2, at: day + time.Second, action: lifecycle.Keep, want: "Retired Active", state: v1alpha1.KeyActive,
			wake: 60 * day, note: "overlap has ended",
		},
		"the overlap does not end earlier": {
			versions: pair, carries: 2, at: day, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive, wake: day + time.Second,
		},
		"a longer overlap applies to overlaps that have begun": {
			versions: pair, carries: 2, at: day, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 3 * (2*day + time.Second) / 4,
			with: rotation(func(r *v1alpha1.Rotation) { r.Overlap = "2d" }),
		},
		"a longer overlap does not apply to overlaps that have ended": {
			versions: pair, carries: 2, at: 2 * day, action: lifecycle.Keep, want: "Retired Active", state: v1alpha1.KeyActive,
			wake: 60 * day, note: "overlap has ended",
			with: rotation(func(r *v1alpha1.Rotation) { r.Overlap = "3d" }),
		},
		"a shorter overlap applies to overlaps that have begun": {
			versions: pair, carries: 2, at: 2 * time.Hour, action: lifecycle.Keep, want: "Retired Active", state: v1alpha1.KeyActive,
			wake: 60 * day, note: "overlap has ended",
			with: rotation(func(r *v1alpha1.Rotation) { r.Overlap = "1h" }),
		},
		"a trigger rotates": {
			versions: one, carries: 1, at: day, action: lifecycle.Mint, cause: v1alpha1.CauseTriggered, want: "Active",
			state: v1alpha1.KeyActive, wake: 90 * day,
			with: rotation(func(r *v1alpha1.Rotation) { r.Trigger = "leak" }),
		},
		"a trigger rotates once": {
			versions: func() []v1alpha1.KeyVersion { v := one[0]; v.Trigger = "leak"; return []v1alpha1.KeyVersion{v} }(), carries: 1, at: day,
			action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive, wake: 60 * day,
			with: rotation(func(r *v1alpha1.Rotation) { r.Trigger = "leak" }),
		},
		"a text that is lost while its successor is pending is revoked by it": {
			versions: append(one[:1:1], pending), carries: 9, at: 60 * day, action: lifecycle.Publish, want: "Active Pending",
			state: v1alpha1.KeyPending, wake: 90 * day,
			with: func(in *lifecycle.Input) { in.Pending = 2 },
			check: func(t *testing.T, out lifecycle.Outcome) {
				if out.Versions[1].Cause != v1alpha1.CauseReplaced {
					t.Errorf("cause %s", out.Versions[1].Cause)
				}
			},
		},
		"an overlap does not depend on a successor that is forgotten": {
			versions: []v1alpha1.KeyVersion{retiring(1), delivered(7, v1alpha1.VersionActive, time.Hour)}, carries: 7, at: 2 * time.Hour,
			action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive, wake: 3 * (day + time.Second) / 4,
			check: func(t *testing.T, out lifecycle.Outcome) {
				if got := out.Versions[0].RetiresAt; !got.Equal(at(day + time.Second)) {
					t.Errorf("retires at %v", got)
				}
			},
		},
		"a key that declares to live for seconds does not rotate automatically": {
			versions: one, carries: 1, at: time.Second, want: "Active", state: v1alpha1.KeyActive, wake: 2 * time.Second,
			with: func(in *lifecycle.Input) {
				in.Key.Spec.Rotation.Every, in.Key.Spec.Rotation.Overlap = "1m", "1m"
				in.Key.Spec.ExpiresAfter = "2s"
			},
			check: obstacle(v1alpha1.ReasonInvalidSpec),
		},
		"a key goes on whose Group was changed to let keys live for seconds": {
			versions: one, carries: 1, at: day, action: lifecycle.Mint, cause: v1alpha1.CauseScheduled,
			want: "Active", state: v1alpha1.KeyActive, wake: 90 * day,
			with: func(in *lifecycle.Input) {
				in.Key.Spec.Rotation.Every, in.Key.Spec.Rotation.Overlap = "1m", "1m"
				in.Group.Spec.KeyPolicy.DefaultLifetime = "2s"
			},
		},
		"a suspended key waits for its rotation": {
			versions: one, carries: 1, at: 61 * day, want: "Active", state: v1alpha1.KeySuspended, wake: 90 * day,
			with: func(in *lifecycle.Input) { in.Key.Spec.Suspended = new(true) },
		},
		"a key with many overlaps waits for its rotation": {
			versions: []v1alpha1.KeyVersion{retiring(1), retiring(2), retiring(3), retiring(4), delivered(5, v1alpha1.VersionActive, 0)},
			carries:  5, at: time.Hour,
			action: lifecycle.Keep, want: "Retiring Retiring Retiring Retiring Active", state: v1alpha1.KeyActive, wake: 3 * (day + time.Second) / 4,
			with: rotation(func(r *v1alpha1.Rotation) { r.Trigger = "leak" }),
			check: func(t *testing.T, out lifecycle.Outcome) {
				if !out.Postponed {
					t.Error("does not say so")
				}
			},
		},
		"a key whose Group caps its versions does not expire soon while it renews": {
			versions: one, carries: 1, at: 77 * day, action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive, wake: 85 * day,
			with: func(in *lifecycle.Input) {
				in.Key.Spec.Rotation.Every, in.Key.Spec.ExpiresAt = "85d", at(300*day)
				in.Group.Spec.KeyPolicy.MaxLifetime = "90d"
			},
			check: func(t *testing.T, out lifecycle.Outcome) {
				if out.Expiring || !out.RotatesAt.Equal(start.Add(85*day)) {
					t.Errorf("expiring %t, rotates at %v", out.Expiring, out.RotatesAt)
				}
			},
		},
		"the last version of a key expires soon, even if it rotates before": {
			versions: one, carries: 1, at: 77 * day, action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive, wake: 85 * day,
			with: func(in *lifecycle.Input) { in.Key.Spec.Rotation.Every, in.Key.Spec.ExpiresAt = "85d", at(90*day) },
			check: func(t *testing.T, out lifecycle.Outcome) {
				if !out.Expiring || !out.RotatesAt.Equal(start.Add(85*day)) {
					t.Errorf("expiring %t, rotates at %v", out.Expiring, out.RotatesAt)
				}
			},
		},
		"a rotation comes in time for its overlap": {
			versions: one, carries: 1, at: 89 * day, action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Active",
			state: v1alpha1.KeyActive, wake: 90 * day,
			with: rotation(func(r *v1alpha1.Rotation) { r.Every = "120d" }),
		},
		"an overlap longer than the schedule is refused": {
			versions: one, carries: 1, at: 61 * day, want: "Active", state: v1alpha1.KeyActive, wake: 76 * day,
			with:  rotation(func(r *v1alpha1.Rotation) { r.Every = "12h" }),
			check: obstacle(v1alpha1.ReasonInvalidSpec),
		},
		"a version that is not used any more retires early": {
			versions: pair, carries: 2, at: 3 * time.Hour, action: lifecycle.Keep, want: "Retired Active", state: v1alpha1.KeyActive,
			wake: 60 * day, note: "was not used for 1h",
			with: used(3*time.Hour, 2*time.Hour, 2*time.Hour),
		},
		"no early retirement before it is unused for long enough": {
			versions: pair, carries: 2, at: 3*time.Hour - 1, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 3 * time.Hour,
			with: used(3*time.Hour-1, 2*time.Hour, 2*time.Hour),
		},
		"no early retirement while a server is disconnected": {
			versions: pair, carries: 2, at: 3 * time.Hour, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 3*time.Hour + 10*time.Second,
			with: used(0, 2*time.Hour, 2*time.Hour),
		},
		"no early retirement before the new version is used": {
			versions: pair, carries: 2, at: 3 * time.Hour, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 3 * (day + time.Second) / 4,
			with: used(3*time.Hour, -time.Hour, -time.Hour),
		},
		"no early retirement by a time without reports": {
			versions: pair, carries: 2, at: 3 * time.Hour, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 3*time.Hour + 30*time.Minute,
			with: func(in *lifecycle.Input) {
				used(3*time.Hour, 0, 2*time.Hour)(in)
				in.Usage.Since = start.Add(150 * time.Minute)
			},
		},
		"a version that is still used near the end is reported": {
			versions: pair, carries: 2, at: 20 * time.Hour, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 20*time.Hour + 10*time.Second,
			with: used(0, 19*time.Hour, 2*time.Hour),
			check: func(t *testing.T, out lifecycle.Outcome) {
				if c := out.Cutover; c == nil || c.ID != 1 || c.Clients != 3 || !c.Since.Equal(start) || !c.Ends.Equal(start.Add(day+time.Second)) {
					t.Errorf("cut-over: %+v", c)
				}
			},
		},
		"a version that is unused near the end is checked again": {
			versions: pair, carries: 2, at: 20 * time.Hour, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 20*time.Hour + (day+time.Second)/4/8,
		},
		"a version that is still used in the middle is not reported": {
			versions: pair, carries: 2, at: 12 * time.Hour, action: lifecycle.Keep, want: "Retiring Active", state: v1alpha1.KeyActive,
			wake: 12*time.Hour + 10*time.Second,
			with: used(0, 11*time.Hour, 2*time.Hour),
			check: func(t *testing.T, out lifecycle.Outcome) {
				if out.Cutover != nil {
					t.Error("reported")
				}
			},
		},
		"a key that will not rotate expires soon, two weeks before": {
			versions: one, carries: 1, at: 76 * day, action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive, wake: 90 * day,
			with: rotation(func(r *v1alpha1.Rotation) { r.Every = "" }),
			check: func(t *testing.T, out lifecycle.Outcome) {
				if !out.Expiring || !out.RotatesAt.IsZero() {
					t.Error("does not say so")
				}
			},
		},
	})
}

// TestKeysThatAreGrantedAPart: one that was delivered goes on as if all were granted.
func TestKeysThatAreGrantedAPart(t *testing.T) {
	one := []v1alpha1.KeyVersion{delivered(1, v1alpha1.VersionActive, 0)}
	pending := delivered(1, v1alpha1.VersionPending, 0)
	pending.DeliveredAt = nil
	part := func(change ...func(*lifecycle.Input)) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Granted = grant.Granted{
				Projects: []v1alpha1.ProjectName{"a"}, Permissions: []v1alpha1.PermissionName{"read"},
				Problem: &grant.Problem{Reason: v1alpha1.ReasonProjectNotFound},
			}
			for _, c := range change {
				c(in)
			}
		}
	}
	missing := func(t *testing.T, out lifecycle.Outcome) {
		if out.Obstacle == nil || out.Obstacle.Reason != v1alpha1.ReasonProjectNotFound {
			t.Errorf("obstacle %v", out.Obstacle)
		}
	}
	run(t, map[string]step{
		"it is kept": {
			versions: one, carries: 1, at: day, with: part(), action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive, wake: 60 * day,
		},
		"it rotates by its schedule": {
			versions: one, carries: 1, at: 60 * day, with: part(), action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Active",
			state: v1alpha1.KeyActive, wake: 90 * day,
		},
		"it rotates on request, as after a leak": {
			versions: one, carries: 1, at: day, action: lifecycle.Mint, cause: v1alpha1.CauseRequested, want: "Active",
			state: v1alpha1.KeyActive, wake: 90 * day,
			with: part(func(in *lifecycle.Input) {
				in.Key.Annotations = map[string]string{v1alpha1.AnnotationRotateRequestedAt: "leaked;overlap=0s"}
			}),
		},
		"it expires": {
			versions: one, at: 90 * day, want: "Expired", state: v1alpha1.KeyExpired, note: "has expired",
			with: part(func(in *lifecycle.Input) { in.Key.Spec.Rotation.Every = "" }),
		},
		"it is suspended": {
			versions: one, carries: 1, at: day, want: "Active", state: v1alpha1.KeySuspended, wake: 90 * day,
			with: part(func(in *lifecycle.Input) { in.Key.Spec.Suspended = ptr.To(true) }),
		},
		"before it is delivered it waits for all": {
			versions: []v1alpha1.KeyVersion{pending}, at: 1, want: "Pending", state: v1alpha1.KeyBlocked, wake: 90 * day, check: missing,
			with: part(func(in *lifecycle.Input) { in.Pending, in.Published = 1, true }),
		},
		"before it is minted it waits for all": {state: v1alpha1.KeyBlocked, with: part(), check: missing},
		"without any project it is refused": {
			versions: one, carries: 1, at: 60 * day, want: "Active", state: v1alpha1.KeyBlocked, wake: 90 * day, check: missing,
			with: part(func(in *lifecycle.Input) { in.Projects = nil }),
		},
		"without any permission it is refused": {
			versions: one, carries: 1, at: 60 * day, want: "Active", state: v1alpha1.KeyBlocked, wake: 90 * day, check: missing,
			with: part(func(in *lifecycle.Input) { in.Permissions = nil }),
		},
	})
}

func TestReveal(t *testing.T) {
	one := []v1alpha1.KeyVersion{delivered(1, v1alpha1.VersionActive, 0)}
	old := claimed(delivered(1, v1alpha1.VersionActive, -day), -day)
	two := []v1alpha1.KeyVersion{old, delivered(2, v1alpha1.VersionActive, 0)}
	once := func(change func(*lifecycle.Input)) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Key.Spec.Rotation.Every = ""
			in.Key.Spec.Secret.Reveal = v1alpha1.RevealOnce
			if change != nil {
				change(in)
			}
		}
	}
	run(t, map[string]step{
		"a text waits to be claimed": {
			versions: one, carries: 1, at: time.Hour - 1, with: once(nil), action: lifecycle.Keep, want: "Active", state: v1alpha1.KeyActive,
			wake: time.Hour,
		},
		"a claim is recorded": {
			versions: one, carries: 1, at: time.Minute, with: once(func(in *lifecycle.Input) { in.Secret.Claimed = true }),
			want: "Active", state: v1alpha1.KeyActive, wake: 76 * day, note: "was claimed",
		},
		"a claimed text is removed": {
			versions: []v1alpha1.KeyVersion{claimed(one[0], time.Minute)}, carries: 1, at: time.Minute, with: once(nil),
			action: lifecycle.DeleteSecret, want: "Active", state: v1alpha1.KeyActive, wake: 76 * day,
		},
		"a removed text is not minted again": {
			versions: []v1alpha1.KeyVersion{claimed(one[0], time.Minute)}, at: time.Hour, with: once(nil), want: "Active",
			state: v1alpha1.KeyActive, wake: 76 * day,
		},
		"a text that is not claimed within an hour is removed": {
			versions: one, carries: 1, at: time.Hour, with: once(nil), want: "Active", state: v1alpha1.KeyActive, wake: 76 * day,
			note: "was not claimed",
		},
		"removing the Secret by hand counts as claiming": {
			versions: one, at: time.Minute, with: once(nil), want: "Active", state: v1alpha1.KeyActive, wake: 76 * day, note: "counts as claiming",
		},
		"a rotation waits for the claim": {
			versions: two, carries: 2, at: time.Minute, with: once(nil), action: lifecycle.Keep, want: "Active Active",
			state: v1alpha1.KeyActive, wake: time.Hour,
		},
		"the overlap begins with the claim": {
			versions: two, carries: 2, at: time.Minute, with: once(func(in *lifecycle.Input) { in.Secret.Claimed = true }),
			want: "Retiring Active", state: v1alpha1.KeyActive, wake: time.Minute + 3*(day+time.Second)/4, note: "replaces version 1",
		},
		"a new version that is not claimed is revoked, and the earlier one stays": {
			versions: two, carries: 2, at: time.Hour, with: once(nil), want: "Active Revoked", state: v1alpha1.KeyActive, wake: 75 * day,
			note: "the earlier version stays",
		},
		"a second unclaimed version revokes the first, which nobody has": {
			versions: append(two[:2:2], delivered(3, v1alpha1.VersionActive, time.Minute)), carries: 3, at: 2 * time.Minute, with: once(nil),
			action: lifecycle.Keep, want: "Active Revoked Active", state: v1alpha1.KeyActive, wake: time.Hour + time.Minute,
			note: "version 2 (kw_…0002) is revoked",
		},
		"an edit of the Secret does not claim it": {
			versions: two, carries: 9, at: time.Minute, with: once(nil), want: "Active Revoked", state: v1alpha1.KeyActive, wake: 75 * day,
			note: "was edited",
		},
		"an edit of the first Secret does not claim it: a new text is minted": {
			versions: one, carries: 9, at: time.Minute, with: once(nil), action: lifecycle.Mint, cause: v1alpha1.CauseReplaced,
			want: "Active", state: v1alpha1.KeyPending, wake: time.Hour, note: "no longer holds",
		},
		"a Secret with any content left is deleted": {
			versions: []v1alpha1.KeyVersion{claimed(one[0], time.Minute)}, at: time.Minute,
			with:   once(func(in *lifecycle.Input) { in.Secret.Found = true }),
			action: lifecycle.DeleteSecret, want: "Active", state: v1alpha1.KeyActive, wake: 76 * day,
		},
		"the Secret is deleted when the key is revoked": {
			versions: one, carries: 1, at: time.Minute, with: once(func(in *lifecycle.Input) { in.Key.Spec.Revoked = new(true) }),
			action: lifecycle.DeleteSecret, want: "Revoked", state: v1alpha1.KeyRevoked, note: "is revoked",
		},
		"the Secret is deleted when the key has expired": {
			versions: one, carries: 1, at: 90 * day, with: once(nil), action: lifecycle.DeleteSecret, want: "Expired",
			state: v1alpha1.KeyExpired, note: "has expired",
		},
		"the Secret of a version that was revoked unclaimed is deleted": {
			versions: []v1alpha1.KeyVersion{old, delivered(2, v1alpha1.VersionRevoked, 0)}, carries: 2, at: time.Hour, with: once(nil),
			action: lifecycle.DeleteSecret, want: "Active Revoked", state: v1alpha1.KeyActive, wake: 75 * day,
		},
	})
}

func TestRestoreAndImport(t *testing.T) {
	left := delivered(7, "", -day)
	left.DeliveredAt, left.Cause, left.Digest = nil, "", ""
	restored := func(change func(*lifecycle.Input)) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Secret.Restorable = left.DeepCopy()
			if change != nil {
				change(in)
			}
		}
	}
	imports := func(change func(*lifecycle.Input)) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Key.Spec.ImportFrom = &v1alpha1.ImportSource{}
			if change != nil {
				change(in)
			}
		}
	}
	byHash := func(change func(*lifecycle.Input)) func(*lifecycle.Input) {
		return func(in *lifecycle.Input) {
			in.Key.Spec.ImportFrom = &v1alpha1.ImportSource{SHA256: "a hash"}
			in.Pending, in.WithoutText = 1, true
			if change != nil {
				change(in)
			}
		}
	}
	hashed := func(state v1alpha1.VersionState) v1alpha1.KeyVersion {
		v := delivered(1, state, 0)
		v.Cause, v.ClaimedAt = v1alpha1.CauseImported, at(0)
		if state == v1alpha1.VersionPending {
			v.DeliveredAt, v.ClaimedAt = nil, nil
		}
		return v
	}
	pendingRotation := func() v1alpha1.KeyVersion {
		v := delivered(2, v1alpha1.VersionPending, 0)
		v.Cause, v.DeliveredAt = v1alpha1.CauseScheduled, nil
		return v
	}
	refused := &grant.Problem{Reason: v1alpha1.ReasonImportRefused, Field: "spec.importFrom", Message: "no"}
	run(t, map[string]step{
		"a Secret that outlived its status keeps its key": {
			carries: 7, with: restored(nil), want: "Active", state: v1alpha1.KeyActive, wake: 59 * day, note: "version 7 (kw_…0007) is taken over",
			check: func(t *testing.T, out lifecycle.Outcome) {
				v := out.Versions[0]
				if v.ID != 7 || v.Digest != digest("7") || v.Cause != v1alpha1.CauseRestored || !v.ExpiresAt.Equal(at(89*day)) || v.DeliveredAt == nil {
					t.Errorf("%+v", v)
				}
			},
		},
		"a Secret that outlived its status keeps its key if nothing can be minted now": {
			carries: 7, with: restored(func(in *lifecycle.Input) { in.Key.Spec.Suspended = new(true) }), want: "Active",
			state: v1alpha1.KeySuspended, wake: 89 * day, note: "is taken over",
		},
		"a Secret that outlived its status keeps its expiry": {
			carries: 7, at: 89 * day, with: restored(nil), want: "Expired", state: v1alpha1.KeyPending, note: "has expired",
		},
		"a Secret without a key is not taken over": {
			carries: 7, with: restored(func(in *lifecycle.Input) {
				in.Secret.RestoreProblem = &grant.Problem{Reason: v1alpha1.ReasonRestoreRefused}
			}),
			state: v1alpha1.KeyBlocked, check: obstacle(v1alpha1.ReasonRestoreRefused),
		},
		"without its Secret a copy is minted again, with an event": {
			with:   func(in *lifecycle.Input) { in.Key.Annotations = map[string]string{v1alpha1.AnnotationRestored: "ada"} },
			action: lifecycle.Mint, cause: v1alpha1.CauseCreated, state: v1alpha1.KeyPending, note: "holders of an earlier one are refused",
		},
		"an existing key becomes the first version": {
			with: imports(nil), action: lifecycle.Import, cause: v1alpha1.CauseImported, state: v1alpha1.KeyPending,
		},
		"a key of which only the hash is known is published first": {
			versions: []v1alpha1.KeyVersion{hashed(v1alpha1.VersionPending)}, with: byHash(nil), action: lifecycle.Publish, want: "Pending",
			state: v1alpha1.KeyPending, wake: 90 * day,
		},
		"a key of which only the hash is known is accepted without a Secret": {
			versions: []v1alpha1.KeyVersion{hashed(v1alpha1.VersionPending)},
			with:     byHash(func(in *lifecycle.Input) { in.Published = true }), action: lifecycle.None, want: "Active", state: v1alpha1.KeyActive,
			wake: 60 * day,
			check: func(t *testing.T, out lifecycle.Outcome) {
				if v := out.Versions[0]; v.DeliveredAt == nil || v.ClaimedAt == nil {
					t.Errorf("%+v", v)
				}
			},
		},
		"the first rotation of a key without a Secret mints one": {
			versions: []v1alpha1.KeyVersion{hashed(v1alpha1.VersionActive)}, with: byHash(nil), at: 60 * day,
			action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Active", state: v1alpha1.KeyActive, wake: 90 * day,
		},
		"the version that replaces a key without a Secret has an overlap": {
			versions: []v1alpha1.KeyVersion{hashed(v1alpha1.VersionActive), pendingRotation()},
			with: byHash(func(in *lifecycle.Input) {
				in.Pending, in.WithoutText, in.Published = 2, false, true
			}),
			action: lifecycle.Deliver, want: "Active Pending", state: v1alpha1.KeyActive, wake: 60 * day,
			check: func(t *testing.T, out lifecycle.Outcome) {
				if cause := out.Versions[1].Cause; cause != v1alpha1.CauseScheduled {
					t.Errorf("its cause is %s: its holders would be refused at once", cause)
				}
			},
		},
		"a text that is no key is not imported": {
			with: imports(func(in *lifecycle.Input) { in.Import = refused }), state: v1alpha1.KeyBlocked,
			check: obstacle(v1alpha1.ReasonImportRefused),
		},
		"later versions are minted": {
			versions: []v1alpha1.KeyVersion{delivered(1, v1alpha1.VersionActive, 0)}, carries: 1, at: 60 * day,
			with:   imports(func(in *lifecycle.Input) { in.Import = refused }),
			action: lifecycle.Mint, cause: v1alpha1.CauseScheduled, want: "Active", state: v1alpha1.KeyActive, wake: 90 * day,
		},
	})
}

func obstacle(reason string) func(*testing.T, lifecycle.Outcome) {
	return func(t *testing.T, out lifecycle.Outcome) {
		t.Helper()
		if out.Obstacle == nil || out.Obstacle.Reason != reason {
			t.Errorf("obstacle %v, want %s", out.Obstacle, reason)
		}
	}
}

func run(t *testing.T, steps map[string]step) {
	t.Helper()
	for name, s := range steps {
		t.Run(name, func(t *testing.T) {
			in := input(s.versions...)
			in.Key.Spec.Rotation = v1alpha1.Rotation{Every: "60d", Overlap: "24h", Jitter: "0s"}
			if s.carries > 0 {
				in.Secret = carrying(s.carries)
			}
			if s.with != nil {
				s.with(&in)
			}
			out := lifecycle.Plan(in, start.Add(s.at))
			if out.Action != s.action || out.Cause != s.cause || out.State != s.state {
				t.Errorf("action %v for %q, state %s; want %v for %q, %s; obstacle %v", out.Action, out.Cause, out.State, s.action, s.cause,
					s.state, out.Obstacle)
			}
			if got := strings.Trim(fmt.Sprint(states(out.Versions)), "[]"); got != s.want {
				t.Errorf("versions %s, want %s", got, s.want)
			}
			notes := fmt.Sprint(out.Notes)
			if s.note == "" && len(out.Notes) > 0 || !strings.Contains(notes, s.note) {
				t.Errorf("notes %s, want %q", notes, s.note)
			}
			want := time.Time{}
			if s.wake > 0 {
				want = start.Add(s.wake)
			}
			if !out.Wake.Equal(want) {
				t.Errorf("wake %v after the start, want %v", out.Wake.Sub(start), s.wake)
			}
			if s.check != nil {
				s.check(t, out)
			}
		})
	}
}
