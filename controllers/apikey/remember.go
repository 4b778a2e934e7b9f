package apikey

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/revoked"
	"github.com/keyward-dev/keyward/controllers/seal"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// rememberRetry is how soon to ask again whether ended versions are remembered.
const rememberRetry = 50 * time.Millisecond

// remember has the texts of versions that ended before their expiry remembered beyond the ApiKey, and reports whether
// they are. Until then nothing is recorded that follows from their end; validation servers know of it already.
func (r *Reconciler) remember(ctx context.Context, key *v1alpha1.ApiKey, versions []v1alpha1.KeyVersion) (kept bool, err error) {
	return r.Memory.Remember(ctx, ended(key, versions)...)
}

// ended are the entries to remember: versions that were revoked or retired and, if the key is revoked, all that live. A
// key that was deleted rather than revoked may be restored from a backup, if the platform allows that.
func ended(key *v1alpha1.ApiKey, versions []v1alpha1.KeyVersion) (entries []revoked.Entry) {
	onlyDeleted := key.DeletionTimestamp != nil && (key.Spec.Revoked == nil || !*key.Spec.Revoked)
	for i := range versions {
		v := &versions[i]
		if v.State == v1alpha1.VersionExpired || lifecycle.Live(v.State) && !lifecycle.Revoked(key) {
			continue
		}
		digest, err := keyformat.ReadDigest(v.Digest)
		if err != nil {
			continue // the schema admits no other form
		}
		entry := revoked.Entry{Digest: digest.Digest, Cause: revoked.Ended}
		if onlyDeleted && v.State != v1alpha1.VersionRetired {
			// A version that was revoked before its ApiKey was deleted is remembered as revoked already.
			entry.Cause = revoked.Deleted
		}
		if v.ExpiresAt != nil {
			entry.Until = v.ExpiresAt.Time
		}
		entries = append(entries, entry)
	}
	return entries
}

// endedEarlier describes how the text of that plain digest ended earlier, and what allows it again; either is empty if there is no
// such thing.
func (r *Reconciler) endedEarlier(ctx context.Context, key *v1alpha1.ApiKey, keys *seal.Keys, plain keyformat.Digest) (over, allowed string, err error) {
	deleted := false
	for _, digest := range keys.Identities(plain) {
		cause, known, err := r.Memory.Recall(ctx, digest)
		switch {
		case err != nil:
			return "", "", err
		case known && cause != revoked.Deleted:
			return "was revoked or retired", "", nil
		}
		deleted = deleted || known
	}
	if !deleted {
		return "", "", nil
	}
	until, err := r.restoringUntil(ctx, key.Namespace)
	if until != "" {
		allowed = "holds the key of an ApiKey that was deleted; it is taken over because its namespace allows that until " + until
	}
	return "was revoked, for its ApiKey was deleted", allowed, err
}

// rememberDeleted remembers ApiKeys that were deleted without being finalized, because somebody removed the finalizer.
func (r *Reconciler) rememberDeleted() handler.EventHandler {
	return handler.Funcs{
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			key, ok := e.Object.(*v1alpha1.ApiKey)
			if !ok {
				return
			}
			gone := key.DeepCopy()
			if gone.DeletionTimestamp == nil {
				now := metav1.NewTime(r.Clock.Now())
				gone.DeletionTimestamp = &now
			}
			if _, err := r.remember(ctx, gone, gone.Status.Versions); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "The versions of a deleted ApiKey are not remembered", "namespace", key.Namespace, "name", key.Name)
			}
		},
	}
}
