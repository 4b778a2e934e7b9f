package apikey

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/lifecycle"
)

const (
	// usedInterval is how often reported uses are looked through for what is to be written.
	usedInterval = 10 * time.Second
	// countsAtOnce is of how many keys requests are written in that time, unless their status
	// is written anyway: 40 a second.
	countsAtOnce = 400
)

// used reconciles keys whose last use or requests are to be written. They are spread over the
// time until the next look, so that a busy cluster has no bursts of writes.
func (r *Reconciler) usageReports() source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go wait.UntilWithContext(ctx, func(ctx context.Context) {
			due := append(r.keysWithCounts(ctx), r.keysWithLastUse(ctx)...)
			for i, request := range due {
				queue.AddAfter(request, usedInterval*time.Duration(i)/time.Duration(len(due)))
			}
		}, usedInterval)
		return nil
	})
}

// lastUsed are the keys whose last use has moved on.
func (r *Reconciler) keysWithLastUse(ctx context.Context) (due []reconcile.Request) {
	for _, digest := range r.Usage.Due(r.LastUsedResolution) {
		keys, err := cache.CachedKeysWithDigest(ctx, r.Client, digest)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "The last use of a key is written late")
		}
		due = append(due, requests(keys)...)
	}
	return due
}

// counted are the keys whose requests are to be written. What servers say of keys that are gone,
// or of another Group, is forgotten.
func (r *Reconciler) keysWithCounts(ctx context.Context) (due []reconcile.Request) {
	for _, name := range r.Usage.Keys.Due(r.LastUsedResolution, countsAtOnce) {
		keys, err := cache.CachedKeysWithID(ctx, r.Client, name.ID)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "The requests of a key are written late")
			continue
		}
		if len(keys) != 1 || keyName(&keys[0]) != name {
			r.Usage.Keys.Forget(name)
			continue
		}
		due = append(due, requests(keys)...)
	}
	return due
}

func keyName(key *v1alpha1.ApiKey) usage.KeyName {
	return usage.KeyName{Group: cache.GroupName(key.Spec.GroupRef, key.Namespace).String(), ID: publish.KeyID(key.UID)}
}

// noteUse writes when versions were last used, where that has moved on by the resolution.
func setLastUsed(status *v1alpha1.ApiKeyStatus, usage lifecycle.Usage, resolution time.Duration) {
	for i := range status.Versions {
		v := &status.Versions[i]
		last := usage.Of[v.Digest].Last.Truncate(time.Second)
		if last.IsZero() || v.LastUsedAt != nil && last.Sub(v.LastUsedAt.Time) < max(resolution, time.Second) {
			continue
		}
		v.LastUsedAt = &metav1.Time{Time: last}
		if status.LastUsedAt == nil || status.LastUsedAt.Before(v.LastUsedAt) {
			status.LastUsedAt = v.LastUsedAt
		}
	}
}

// count writes the requests of the month, where that is due or where the status is written
// anyway, and the last use with them.
func (r *Reconciler) count(key *v1alpha1.ApiKey, found *facts, changed bool) *usage.Count {
	was := ptr.Deref(key.Status.Usage, v1alpha1.KeyUsage{})
	count := r.Usage.Keys.Of(keyName(key), was.Period, uint64(max(0, ptr.Deref(was.Requests, 0))))
	if count == nil || !count.Due && !changed {
		return nil
	}
	key.Status.Usage = &v1alpha1.KeyUsage{Period: count.Month.String(), Requests: ptr.To(int64(count.Requests))}
	setLastUsed(&key.Status, found.input.Usage, 0)
	r.Usage.Keys.Writing(count)
	return count
}
