// Package keystate reads from the status of an ApiKey what people ask: whether it works, what somebody has to do, and what can be done
// with it. It is for programs of people, and is pure.
package keystate

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// Observed reports whether the manager has looked at the latest edit.
func Observed(key *v1alpha1.ApiKey) bool {
	ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.ObservedGeneration >= key.Generation
}

// Ending is how the life of a key has ended.
type Ending string

// The endings.
const (
	Deleting Ending = "Deleting"
	Revoked  Ending = "Revoked"
	Expired  Ending = "Expired"
)

// Ended returns how the life of a key has ended, so that it can be neither changed nor rotated; empty if it has not.
func Ended(key *v1alpha1.ApiKey) Ending {
	switch {
	case key.DeletionTimestamp != nil:
		return Deleting
	case ptr.Deref(key.Spec.Revoked, false), key.Status.State == v1alpha1.KeyRevoked:
		return Revoked
	case key.Status.State == v1alpha1.KeyExpired:
		return Expired
	}
	return ""
}

// Unclaimed returns the version whose text waits to be claimed, or nil.
func Unclaimed(key *v1alpha1.ApiKey) *v1alpha1.KeyVersion {
	current := lifecycle.Current(key.Status.Versions)
	if key.Spec.Secret.Reveal != v1alpha1.RevealOnce || current == nil || current.State != v1alpha1.VersionActive ||
		current.DeliveredAt == nil || current.ClaimedAt != nil {
		return nil
	}
	return current
}

// Obstacle returns the condition that says why a key does not rotate, as the manager has seen it last; nil if none does, or if the manager has
// not looked at the latest edit, which may have ended it. Whether the spec suspends the key is not asked.
func Obstacle(key *v1alpha1.ApiKey) *metav1.Condition {
	if !Observed(key) || key.Status.State != v1alpha1.KeySuspended && key.Status.State != v1alpha1.KeyBlocked && !stopped(key) {
		return nil
	}
	return meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
}

// stopped reports whether the key is stalled so that it does not rotate. A key that its Group grants a part of what it asks goes on
// with that; one that gets nothing is Blocked.
func stopped(key *v1alpha1.ApiKey) bool {
	stalled := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionStalled)
	return stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason != v1alpha1.ReasonProjectNotFound &&
		stalled.Reason != v1alpha1.ReasonPermissionNotFound && stalled.Reason != v1alpha1.ReasonAddressesRequired &&
		stalled.Reason != v1alpha1.ReasonContextNotAllowed
}
