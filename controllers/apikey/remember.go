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
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

// rememberRetry is how soon to ask again whether what has ended is remembered.
const rememberRetry = 50 * time.Millisecond

// remember has the texts of versions that have ended before their expiry remembered beyond the ApiKey. Until
// they are, nothing is recorded that follows from it; validation servers know already.
func (r *Reconciler) remember(ctx context.Context, key *v1alpha1.ApiKey, versions []v1alpha1.KeyVersion) (kept bool, err error) {
	return r.Memory.Remember(ctx, ended(key, versions)...)
}

// ended are the entries to remember: versions that were revoked or retired, and all that live where the key
// is revoked. What is deleted rather than revoked may come back from a backup, if the platform allows it.
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
			// One that was revoked before its ApiKey was deleted is known as such already.
			entry.Cause = revoked.Deleted
		}
		if v.ExpiresAt != nil {
			entry.Until = v.ExpiresAt.Time
		}
		entries = append(entries, entry)
	}
	return entries
}

// wasOver tells what became of a text earlier, "" where nothing did, and by what it is allowed again, ""
// where it is not.
func (r *Reconciler) endedEarlier(ctx context.Context, key *v1alpha1.ApiKey, digest string) (over, allowed string, err error) {
	read, err := keyformat.ReadDigest(digest)
	if err != nil {
		return "", "", err
	}
	cause, known, err := r.Memory.Recall(ctx, read.Digest)
	switch {
	case err != nil || !known:
		return "", "", err
	case cause != revoked.Deleted:
		return "was revoked or retired", "", nil
	}
	until, err := r.restoringUntil(ctx, key.Namespace)
	if until != "" {
		allowed = "holds the key of an ApiKey that was deleted; it is taken over because its namespace allows that until " + until
	}
	return "was revoked, for its ApiKey was deleted", allowed, err
}

// rememberGone remembers ApiKeys that went without a word, because somebody has removed the finalizer.
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
				ctrl.LoggerFrom(ctx).Error(err, "The versions of an ApiKey that is gone are not remembered", "namespace", key.Namespace, "name", key.Name)
			}
		},
	}
}
