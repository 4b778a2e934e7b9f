package view

import (
	"fmt"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/console/page"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/role"
)

// actions are what the role of the person includes and the state of the key permits.
func (s *Sight) actions(key *v1alpha1.ApiKey) (actions []page.Action) {
	add := func(o role.Operation, text, verb string, possible, destroys bool) {
		if possible && s.may(o) {
			actions = append(actions, page.Action{Text: text, Href: s.key(key).Of(verb), Destroys: destroys})
		}
	}
	if keystate.Ended(key) != "" {
		return nil
	}
	add(role.ChangeKey, "Claim", "claim", s.ReadsSecret && keystate.Unclaimed(key) != nil, false)
	add(role.RotateKey, "Rotate", "rotate", CannotRotate(key) == "", false)
	add(role.SuspendKey, "Suspend", "suspend", CannotSuspend(key) == "", false)
	add(role.ResumeKey, "Resume", "resume", CannotResume(key) == "", false)
	add(role.RevokeKey, "Revoke", "revoke", true, true)
	return actions
}

// HasEnded says that the life of a key is over, so that it cannot be changed; empty if it is not.
func HasEnded(key *v1alpha1.ApiKey) string {
	switch keystate.Ended(key) {
	case keystate.Deleting:
		return "The key is being deleted, which revokes it."
	case keystate.Revoked:
		return "The key is revoked for good. Create another."
	case keystate.Expired:
		return "The key has expired. Create another."
	}
	return ""
}

// CannotSuspend says why there is nothing to suspend; empty if there is.
func CannotSuspend(key *v1alpha1.ApiKey) string {
	if ended := HasEnded(key); ended != "" {
		return ended
	}
	if ptr.Deref(key.Spec.Suspended, false) {
		return "The key is suspended already."
	}
	return ""
}

// CannotResume says why there is nothing to resume; empty if there is.
func CannotResume(key *v1alpha1.ApiKey) string {
	if ended := HasEnded(key); ended != "" {
		return ended
	}
	if !ptr.Deref(key.Spec.Suspended, false) {
		return "The key is not suspended."
	}
	return ""
}

// CannotRotate says why a key would not rotate; empty if it would.
func CannotRotate(key *v1alpha1.ApiKey) string {
	if ended := HasEnded(key); ended != "" {
		return ended
	}
	if ptr.Deref(key.Spec.Suspended, false) {
		return "The key is suspended. Resume it first."
	}
	if obstacle := keystate.Obstacle(key); obstacle != nil {
		return fmt.Sprintf("The key is %s, and rotates only when that is over: %s", strings.ToLower(string(key.Status.State)), sentence(obstacle.Message))
	}
	return ""
}
