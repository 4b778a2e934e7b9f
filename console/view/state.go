package view

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// keyState is the state of a key in a word. What somebody has to know first comes before the state as such.
func (s *Sight) keyState(key *v1alpha1.ApiKey) page.State {
	conditions := key.Status.Conditions
	switch state := key.Status.State; {
	case key.DeletionTimestamp != nil:
		return page.State{Text: "Being deleted", Tone: page.Off}
	case state == v1alpha1.KeyRevoked:
		return page.State{Text: "Revoked", Tone: page.Off}
	case state == v1alpha1.KeyExpired, state == v1alpha1.KeyActive && lifecycle.Passed(key.Status.ExpiresAt, s.Now):
		return page.State{Text: "Expired", Tone: page.Off}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionLeaked):
		return page.State{Text: "Leaked", Tone: page.Bad}
	case state == v1alpha1.KeySuspended, state == v1alpha1.KeyBlocked:
		return page.State{Text: string(state), Tone: page.Bad}
	case state != v1alpha1.KeyActive:
		return page.State{Text: "Pending", Tone: page.Warn}
	case keystate.Unclaimed(key) != nil:
		return page.State{Text: "To be claimed", Tone: page.Warn}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionExpiringSoon):
		return page.State{Text: "Expires soon", Tone: page.Warn}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionCutoverPending):
		return page.State{Text: "Rotation not taken over", Tone: page.Warn}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionUnused):
		return page.State{Text: "Unused", Tone: page.Warn}
	}
	return page.State{Text: "Active", Tone: page.Good}
}

// versionState is the state of a version in a word.
func versionState(state v1alpha1.VersionState) page.State {
	tone := page.Off
	switch state {
	case v1alpha1.VersionActive:
		tone = page.Good
	case v1alpha1.VersionPending, v1alpha1.VersionRetiring:
		tone = page.Warn
	case v1alpha1.VersionRetired, v1alpha1.VersionExpired, v1alpha1.VersionRevoked:
	}
	return page.State{Text: string(state), Tone: tone}
}

// groupState is the state of a Group in a word.
func groupState(group *v1alpha1.Group) page.State {
	conditions := group.Status.Conditions
	switch {
	case group.Spec.State == v1alpha1.GroupFrozen, group.Spec.State == v1alpha1.GroupSuspended:
		return page.State{Text: string(group.Spec.State), Tone: page.Bad}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionQuotaExceeded):
		return page.State{Text: "Quota used", Tone: page.Bad}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled):
		return page.State{Text: "Needs attention", Tone: page.Bad}
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionQuotaLow):
		return page.State{Text: "Quota nearly used", Tone: page.Warn}
	}
	return page.State{Text: "Active", Tone: page.Good}
}
