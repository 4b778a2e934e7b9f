package apikey

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// suspendUnused suspends a key because it was not used. That it was for this reason, and when, is written with it: whoever resumes the key
// is not to see it suspended again at the next look.
func (r *Reconciler) suspendUnused(ctx context.Context, key *v1alpha1.ApiKey) error {
	before := key.DeepCopy()
	key.Spec.Suspended = ptr.To(true)
	if key.Annotations == nil {
		key.Annotations = map[string]string{}
	}
	key.Annotations[v1alpha1.AnnotationSuspendedUnused] = r.Clock.Now().UTC().Format(time.RFC3339)
	if err := r.Client.Patch(ctx, key, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("suspending a key that is not used: %w", err)
	}
	return nil
}

// setUnused sets the condition about a key that is not used.
func setUnused(set conditions.Setter, outcome lifecycle.Outcome) {
	unused := outcome.Unused
	if unused == nil {
		set.Set(v1alpha1.ConditionUnused, false, "", "")
		return
	}
	message := fmt.Sprintf("no request was allowed with the key since %s; revoke it if nobody needs it",
		unused.Since.UTC().Format(time.RFC3339))
	if at := unused.SuspendsAt; !at.IsZero() {
		message += "; it is suspended at " + at.UTC().Format(time.RFC3339) + " unless it is used before"
	}
	set.Set(v1alpha1.ConditionUnused, true, v1alpha1.ReasonNotUsed, message)
}
