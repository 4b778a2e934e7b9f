package apikey

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

func kstatusOf(t *testing.T, key *v1alpha1.ApiKey) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(key)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// situation is what a reconciliation has found and decided.
type situation struct {
	deleting bool
	state    v1alpha1.KeyState
	obstacle string
	problem  bool // the obstacle is that the Group does not grant what the key asks
	action   lifecycle.Action
	version  v1alpha1.VersionState // of its one version; empty without one
	lacking  bool                  // a server lacks the record
	restart  bool                  // a workload cannot be rolled
	accepted bool                  // it was accepted before
	narrowed bool                  // the Group grants a part of what the delivered key asks
}

// reconciled is the key with the status that is to be written.
func (s situation) reconciled() *v1alpha1.ApiKey {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	key := &v1alpha1.ApiKey{ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 2}}
	key.Status.ObservedGeneration = 1
	if s.deleting {
		key.DeletionTimestamp = &metav1.Time{Time: now}
	}
	if s.accepted {
		conditions.Setter{Conditions: &key.Status.Conditions, Generation: 1, Now: now}.
			Set(v1alpha1.ConditionAccepted, true, v1alpha1.ReasonAccepted, "")
	}
	found := &facts{recordID: publish.NoRecord, input: lifecycle.Input{Key: key, Published: !s.lacking}}
	outcome := lifecycle.Outcome{State: s.state, Action: s.action, Target: 2}
	if s.version != "" {
		version := v1alpha1.KeyVersion{ID: 1, State: s.version, MintedAt: metav1.Time{Time: now}}
		if s.version != v1alpha1.VersionPending {
			version.DeliveredAt = &metav1.Time{Time: now}
		}
		found.recordID = "record"
		outcome.Versions = []v1alpha1.KeyVersion{version}
	}
	if s.obstacle != "" {
		outcome.Obstacle = &grant.Problem{Reason: s.obstacle, Message: "what is in the way"}
		if s.problem {
			found.input.Problem, found.recordID = outcome.Obstacle, publish.NoRecord
		}
	}
	if s.narrowed && !s.problem {
		key.Status.Versions = []v1alpha1.KeyVersion{{ID: 1, State: v1alpha1.VersionActive, DeliveredAt: &metav1.Time{Time: now}}}
		found.input.Granted = grant.Granted{
			Projects: []v1alpha1.ProjectName{"marketing"}, Permissions: []v1alpha1.PermissionName{"read"},
			Problem: &grant.Problem{Reason: v1alpha1.ReasonProjectNotFound, Message: "there is none"},
		}
	}
	if s.restart {
		found.followUpProblem = &grant.Problem{Reason: v1alpha1.ReasonRestartRefused}
	}
	key.Status = (&Reconciler{}).desiredStatus(key, found, outcome, now)
	return key
}

// TestStatusForTools goes through all ways in which a key can be, and asks the real kstatus.
func TestStatusForTools(t *testing.T) {
	const yes, no = true, false
	for name, test := range map[string]struct {
		situation
		want     status.Status
		accepted bool
		reason   string // of Accepted
	}{
		"minted": {situation{state: v1alpha1.KeyPending, action: lifecycle.Mint},
			status.InProgressStatus, no, v1alpha1.ReasonPending},
		"being published": {situation{state: v1alpha1.KeyPending, action: lifecycle.Publish, version: v1alpha1.VersionPending, lacking: true},
			status.InProgressStatus, no, v1alpha1.ReasonPending},
		"being delivered": {situation{state: v1alpha1.KeyPending, action: lifecycle.Deliver, version: v1alpha1.VersionPending},
			status.InProgressStatus, no, v1alpha1.ReasonPending},
		"delivered": {situation{state: v1alpha1.KeyActive, action: lifecycle.Keep, version: v1alpha1.VersionActive},
			status.CurrentStatus, yes, v1alpha1.ReasonAccepted},
		"edited, and not acknowledged": {situation{state: v1alpha1.KeyActive, action: lifecycle.Keep, version: v1alpha1.VersionActive,
			lacking: true, accepted: true},
			status.InProgressStatus, yes, v1alpha1.ReasonAccepted},
		"resumed, and not acknowledged": {situation{state: v1alpha1.KeyActive, action: lifecycle.Keep, version: v1alpha1.VersionActive,
			lacking: true},
			status.InProgressStatus, no, v1alpha1.ReasonPublishing},
		"rotating": {situation{state: v1alpha1.KeyActive, action: lifecycle.Mint, version: v1alpha1.VersionActive, accepted: true},
			status.InProgressStatus, yes, v1alpha1.ReasonAccepted},
		"with a workload that cannot be rolled": {situation{state: v1alpha1.KeyActive, action: lifecycle.Keep,
			version: v1alpha1.VersionActive, restart: true},
			status.CurrentStatus, yes, v1alpha1.ReasonAccepted},
		"without its Secret, minted again": {situation{state: v1alpha1.KeyPending, action: lifecycle.Mint, version: v1alpha1.VersionActive,
			accepted: true},
			status.InProgressStatus, yes, v1alpha1.ReasonAccepted},
		"without its Secret, whose name is taken": {situation{state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonSecretConflict,
			version: v1alpha1.VersionActive, accepted: true},
			status.FailedStatus, yes, v1alpha1.ReasonAccepted},
		"active, with an expiry that is not allowed": {situation{state: v1alpha1.KeyActive, obstacle: v1alpha1.ReasonLifetimeNotAllowed,
			version: v1alpha1.VersionActive, accepted: true},
			status.FailedStatus, yes, v1alpha1.ReasonAccepted},
		"never minted, with an obstacle": {situation{state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonKeyLimitReached},
			status.FailedStatus, no, v1alpha1.ReasonKeyLimitReached},
		"not granted": {situation{state: v1alpha1.KeyBlocked, obstacle: v1alpha1.ReasonProjectNotFound, problem: true,
			version: v1alpha1.VersionActive, accepted: true},
			status.FailedStatus, no, v1alpha1.ReasonProjectNotFound},
		"granted a part": {situation{state: v1alpha1.KeyActive, action: lifecycle.Keep, version: v1alpha1.VersionActive, narrowed: true,
			accepted: true},
			status.FailedStatus, yes, v1alpha1.ReasonAccepted},
		"granted a part again, and not acknowledged": {situation{state: v1alpha1.KeyActive, action: lifecycle.Keep,
			version: v1alpha1.VersionActive, narrowed: true, lacking: true},
			status.FailedStatus, no, v1alpha1.ReasonPublishing},
		"granted a part, and rotating": {situation{state: v1alpha1.KeyActive, action: lifecycle.Mint, version: v1alpha1.VersionActive,
			narrowed: true, accepted: true},
			status.FailedStatus, yes, v1alpha1.ReasonAccepted},
		"granted a part, and suspended": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonSuspended,
			version: v1alpha1.VersionActive, narrowed: true},
			status.FailedStatus, no, v1alpha1.ReasonSuspended},
		"granted a part, and revoked": {situation{state: v1alpha1.KeyRevoked, version: v1alpha1.VersionRevoked, narrowed: true},
			status.CurrentStatus, no, v1alpha1.ReasonRevoked},
		"suspended, and not acknowledged": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonSuspended,
			version: v1alpha1.VersionActive, lacking: true, accepted: true},
			status.InProgressStatus, no, v1alpha1.ReasonSuspended},
		"suspended": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonSuspended, version: v1alpha1.VersionActive},
			status.CurrentStatus, no, v1alpha1.ReasonSuspended},
		"suspended from the beginning": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonSuspended},
			status.CurrentStatus, no, v1alpha1.ReasonSuspended},
		"of a frozen Group": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonGroupFrozen, version: v1alpha1.VersionActive},
			status.CurrentStatus, no, v1alpha1.ReasonGroupFrozen},
		"of a suspended Group": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonGroupSuspended,
			version: v1alpha1.VersionActive},
			status.CurrentStatus, no, v1alpha1.ReasonGroupSuspended},
		"suspended, with a Secret that cannot be taken over": {situation{state: v1alpha1.KeySuspended, obstacle: v1alpha1.ReasonRestoreRefused},
			status.FailedStatus, no, v1alpha1.ReasonRestoreRefused},
		"revoked, and not acknowledged": {situation{state: v1alpha1.KeyRevoked, version: v1alpha1.VersionRevoked, lacking: true, accepted: true},
			status.InProgressStatus, no, v1alpha1.ReasonRevoked},
		"revoked": {situation{state: v1alpha1.KeyRevoked, version: v1alpha1.VersionRevoked},
			status.CurrentStatus, no, v1alpha1.ReasonRevoked},
		"revoked before it was minted": {situation{state: v1alpha1.KeyRevoked},
			status.CurrentStatus, no, v1alpha1.ReasonRevoked},
		"expired": {situation{state: v1alpha1.KeyExpired, version: v1alpha1.VersionExpired, lacking: true, accepted: true},
			status.CurrentStatus, no, v1alpha1.ReasonExpired},
		"deleted": {situation{deleting: true, state: v1alpha1.KeyRevoked, version: v1alpha1.VersionRevoked, lacking: true, accepted: true},
			status.TerminatingStatus, no, v1alpha1.ReasonDeleting},
	} {
		t.Run(name, func(t *testing.T) {
			key := test.reconciled()
			if got := kstatusOf(t, key); got != test.want {
				t.Errorf("%s, want %s: %+v", got, test.want, key.Status.Conditions)
			}
			accepted := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionAccepted)
			if accepted == nil || (accepted.Status == metav1.ConditionTrue) != test.accepted || accepted.Reason != test.reason {
				t.Errorf("%+v", accepted)
			}
			key.Generation++
			if got := kstatusOf(t, key); got != status.InProgressStatus && !test.deleting {
				t.Errorf("%s between an edit and its reconcile", got)
			}
		})
	}
}

// TestEverySituationIsInTheTable: in each combination of facts and decisions the key is Ready, Reconciling or Stalled, and
// the table has all conditions with their reasons.
func TestEverySituationIsInTheTable(t *testing.T) {
	const bits = 6
	obstacles := []string{""}
	for _, kind := range conditions.Types() {
		if kind.Name != v1alpha1.ConditionStalled {
			continue
		}
		for _, reason := range kind.Reasons {
			if !conditions.OnlyOfRequests(reason.Name) {
				obstacles = append(obstacles, reason.Name)
			}
		}
	}
	obstacles = append(obstacles, v1alpha1.ReasonSuspended, v1alpha1.ReasonGroupFrozen, v1alpha1.ReasonGroupSuspended)
	states := []v1alpha1.KeyState{v1alpha1.KeyPending, v1alpha1.KeyActive, v1alpha1.KeySuspended, v1alpha1.KeyBlocked,
		v1alpha1.KeyExpired, v1alpha1.KeyRevoked}
	versions := []v1alpha1.VersionState{
		"", v1alpha1.VersionPending, v1alpha1.VersionActive, v1alpha1.VersionRetiring, v1alpha1.VersionRetired, v1alpha1.VersionExpired,
		v1alpha1.VersionRevoked,
	}
	for _, state := range states {
		for _, obstacle := range obstacles {
			for _, version := range versions {
				for _, action := range []lifecycle.Action{lifecycle.None, lifecycle.Mint, lifecycle.Keep} {
					for bit := range 1 << bits {
						s := situation{
							state: state, obstacle: obstacle, version: version, action: action,
							deleting: bit&1 > 0, problem: bit&2 > 0, lacking: bit&4 > 0, restart: bit&8 > 0, accepted: bit&16 > 0,
							narrowed: bit&32 > 0,
						}
						checkSituation(t, s)
					}
				}
			}
		}
	}
}

func checkSituation(t *testing.T, s situation) {
	t.Helper()
	key := s.reconciled()
	is := func(kind string) bool { return meta.IsStatusConditionTrue(key.Status.Conditions, kind) }
	ready, reconciling, stalled := is(v1alpha1.ConditionReady), is(v1alpha1.ConditionReconciling), is(v1alpha1.ConditionStalled)
	if stalled && (ready || reconciling) || !stalled && !ready && !reconciling {
		t.Fatalf("%+v: ready %t, reconciling %t, stalled %t", s, ready, reconciling, stalled)
	}
	for _, c := range key.Status.Conditions {
		if c.ObservedGeneration != key.Generation {
			t.Fatalf("%+v: %+v is about an earlier generation", s, c)
		}
		if problem := notInTable(c); problem != "" {
			t.Fatalf("%+v: %s", s, problem)
		}
	}
}

func notInTable(c metav1.Condition) string {
	for _, kind := range conditions.Types() {
		if kind.Name != c.Type {
			continue
		}
		switch {
		case !slices.Contains(kind.Kinds, conditions.ApiKey):
			return c.Type + " is not for ApiKeys"
		case kind.OnlyWhileTrue && c.Status != metav1.ConditionTrue:
			return c.Type + " is there and not true"
		case !slices.ContainsFunc(kind.Reasons, func(r conditions.Reason) bool { return r.Name == c.Reason }):
			return fmt.Sprintf("%s has no reason %s", c.Type, c.Reason)
		}
		return ""
	}
	return c.Type + " is not in the table"
}
