package apikey

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/grant"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// leakOverlap is how long a text that was found in public stays accepted at most beside its successor: long enough for apps that
// read their Secret.
const leakOverlap = time.Hour

// respond does what the Group's keyPolicy says about a leak that a replica has reported in the status, and reports whether it wrote
// anything. It first changes the key and then records that. Both may be repeated, as when the process dies in between: a
// request to rotate is named by the report, and so is handled once.
func (r *Reconciler) respond(ctx context.Context, key *v1alpha1.ApiKey) (wrote bool, err error) {
	leak := key.Status.Leak
	if leak == nil || leak.Response != "" {
		return false, nil
	}
	group, _, err := cache.CachedGroupForKey(ctx, r.Client, key)
	if err != nil {
		return false, err
	}
	before := key.DeepCopy()
	response := leakResponse(key, group)
	switch response {
	case v1alpha1.LeakSuspend:
		key.Spec.Suspended = ptr.To(true)
	case v1alpha1.LeakRevoke:
		key.Spec.Revoked = ptr.To(true)
	case v1alpha1.LeakRotate:
		if key.Annotations == nil {
			key.Annotations = map[string]string{}
		}
		name := grant.NameRotateRequest(leak.ReportedAt.Time, fmt.Sprintf("leak%d", leak.Version))
		key.Annotations[v1alpha1.AnnotationRotateRequestedAt] = grant.NewRotateRequest(name, shortOverlap(key))
	case v1alpha1.LeakNotify:
	}
	lock := client.MergeFromWithOptimisticLock{}
	if response != v1alpha1.LeakNotify {
		if err := r.Client.Patch(ctx, key, client.MergeFromWithOptions(before, lock)); err != nil {
			return false, fmt.Errorf("responding to a leak: %w", err)
		}
	}
	if key.Status.Leak == nil { // it ended meanwhile
		return true, nil
	}
	before = key.DeepCopy()
	key.Status.Leak.Response = response
	if err := r.Client.Status().Patch(ctx, key, client.MergeFromWithOptions(before, lock)); err != nil {
		return false, fmt.Errorf("recording the response to a leak: %w", err)
	}
	return true, nil
}

// leakResponse is what to do about the leak. A version that has a successor already is ended by its overlap: another rotation would
// not end it sooner. What has ended needs nothing.
func leakResponse(key *v1alpha1.ApiKey, group *v1alpha1.Group) v1alpha1.LeakResponse {
	version := versionByID(key.Status.Versions, key.Status.Leak.Version)
	if group == nil || version == nil || !lifecycle.Live(version.State) || lifecycle.Revoked(key) {
		return v1alpha1.LeakNotify
	}
	switch response := group.Spec.KeyPolicy.OnLeak; {
	case response == v1alpha1.LeakRotate && version.State == v1alpha1.VersionRetiring, response == "":
		return v1alpha1.LeakNotify
	default:
		return response
	}
}

// shortOverlap is the shortest of leakOverlap, the declared overlap, and the longest that admission allows: see
// grant.RequestedOverlapProblem. A request that admission refused would be written again and again.
func shortOverlap(key *v1alpha1.ApiKey) v1alpha1.Duration {
	short, least := v1alpha1.Duration("1h"), leakOverlap
	for _, text := range []v1alpha1.Duration{
		grant.DeclaredOverlap(key), v1alpha1.Duration(key.Spec.ExpiresAfter), key.Spec.Rotation.Every,
	} {
		if length, err := grant.ParseDuration(text); err == nil && length < least {
			short, least = text, length
		}
	}
	return short
}

// setLeaked sets the condition about a text that was found in public, and forgets the report when that version has ended.
func setLeaked(set conditions.Setter, status *v1alpha1.ApiKeyStatus) {
	leak := status.Leak
	if leak != nil {
		if version := versionByID(status.Versions, leak.Version); version != nil && lifecycle.Live(version.State) {
			set.Set(v1alpha1.ConditionLeaked, true, v1alpha1.ReasonLeakReported, describeLeak(leak, version))
			return
		}
	}
	status.Leak = nil
	set.Set(v1alpha1.ConditionLeaked, false, "", "")
}

func describeLeak(leak *v1alpha1.KeyLeak, version *v1alpha1.KeyVersion) string {
	text := fmt.Sprintf("version %d (%s) was found in public", version.ID, version.Preview)
	if leak.URL != "" {
		text += " at " + leak.URL
	}
	if leak.Source != "" {
		text += ", says " + leak.Source
	}
	switch leak.Response {
	case v1alpha1.LeakSuspend:
		return text + "; the key was suspended: in one edit, set spec.suspended: false, spec.rotation.overlap: 0s and another " +
			"spec.rotation.trigger, so that it is resumed with a successor"
	case v1alpha1.LeakRotate:
		return text + "; the key rotates, and the version is accepted for an hour at most after its successor is delivered"
	case v1alpha1.LeakRevoke:
		return text + "; the key is revoked"
	case v1alpha1.LeakNotify:
	}
	if version.RetiresAt != nil {
		return text + "; it is accepted until " + version.RetiresAt.UTC().Format(time.RFC3339)
	}
	return text + "; it is still accepted: rotate the key with an overlap of 0s, or revoke it"
}
