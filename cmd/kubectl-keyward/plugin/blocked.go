package plugin

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/declare"
	"github.com/keyward-dev/keyward/internal/keystate"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// errBlocked is that the state of a key does not allow it to rotate.
var errBlocked = errors.New("it rotates only when that is over")

// blocked returns an errBlocked that says which state does not allow the key to rotate, and how that ends, or nil.
func blocked(key *v1alpha1.ApiKey) error {
	resume := fmt.Sprintf("resume it first: kubectl keyward -n %s resume %s", key.Namespace, key.Name)
	if ptr.Deref(key.Spec.Suspended, false) {
		return fmt.Errorf("ApiKey %s/%s is suspended; %w; %s", key.Namespace, key.Name, errBlocked, resume)
	}
	ready := keystate.Obstacle(key)
	if ready == nil {
		return nil
	}
	return fmt.Errorf("ApiKey %s/%s is %s (%s: %s); %w", key.Namespace, key.Name, key.Status.State, ready.Reason, ready.Message, errBlocked)
}

// withdraw takes the request back, if the rotation was blocked before it had any effect: nobody might remember it by the
// time that it continues.
func (r *rotation) withdraw(ctx context.Context, s *session, key *v1alpha1.ApiKey, earlier string, why error) error {
	before := key.DeepCopy()
	declare.Rotation(key, earlier)
	// The lock makes sure that nothing was minted in the meantime.
	lock := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.Patch(ctx, key, lock, fieldOwner); err != nil {
		r.narrate("The request could not be taken back: %s", oneLine(err.Error()))
		return why
	}
	return refusedf("nothing was rotated, and the request is taken back: %w", errors.Unwrap(errors.Unwrap(why)))
}

// pending says what a rotation waits for that has no version yet.
func (r *rotation) pending(key *v1alpha1.ApiKey) string {
	if !keystate.Observed(key) {
		return ""
	}
	retiring := 0
	for i := range key.Status.Versions {
		if key.Status.Versions[i].State == v1alpha1.VersionRetiring {
			retiring++
		}
	}
	ready := meta.FindStatusCondition(key.Status.Conditions, v1alpha1.ConditionReady)
	if retiring >= lifecycle.MaxRetiring && !isZero(or(r.overlap, string(key.Spec.Rotation.Overlap))) && ready.Reason == v1alpha1.ReasonReady {
		return fmt.Sprintf("%s; to end those overlaps at once: kubectl keyward -n %s rotate %s --overlap 0s",
			ready.Message, key.Namespace, key.Name)
	}
	if at := attentions(key, r.now()); len(at) > 0 {
		return at[0].Reason + ": " + at[0].Message
	}
	return ""
}
