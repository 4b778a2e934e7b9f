package apikey

import (
	"context"
	"slices"
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
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// usedInterval is how often reported uses are searched for what has to be written.
	usedInterval = 10 * time.Second
	// countsAtOnce is for how many keys counts are written in that time, unless their status is written anyway: 40 a
	// second.
	countsAtOnce = 400
)

// usageReports reconciles keys whose last use or count of requests has to be written. They are spread over the interval, so
// that a busy cluster has no bursts of writes.
func (r *Reconciler) usageReports() source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go wait.UntilWithContext(ctx, func(ctx context.Context) {
			due := slices.Concat(r.keysWithCounts(ctx), r.keysWithLastUse(ctx), r.keysWithQuotas(ctx))
			for i, request := range due {
				queue.AddAfter(request, usedInterval*time.Duration(i)/time.Duration(len(due)))
			}
		}, usedInterval)
		return nil
	})
}

// keysWithLastUse are the keys whose last use has advanced.
func (r *Reconciler) keysWithLastUse(ctx context.Context) (due []reconcile.Request) {
	for _, digest := range r.Usage.Due(r.LastUsedResolution) {
		keys, err := cache.CachedKeysWithDigest(ctx, r.Client, digest)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "The last use of a key is written with a delay")
		}
		due = append(due, requests(keys)...)
	}
	return due
}

// keysWithCounts are the keys whose count of requests has to be written. Reports about keys that no longer exist, or are of
// another Group, are forgotten.
func (r *Reconciler) keysWithCounts(ctx context.Context) (due []reconcile.Request) {
	for _, name := range r.Usage.Keys.Due(r.LastUsedResolution, countsAtOnce) {
		keys, err := cache.CachedKeysWithID(ctx, r.Client, name.ID)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "The requests of a key are written with a delay")
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

// setLastUsed sets when versions were last used, where that has advanced by the resolution.
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

// count sets the requests of the month, and the last use, if that is due or the status is written anyway.
func (r *Reconciler) count(key *v1alpha1.ApiKey, found *facts, changed bool) *usage.Count {
	was := ptr.Deref(key.Status.Usage, v1alpha1.KeyRequests{})
	count := r.Usage.Keys.Of(keyName(key), was.Period, uint64(max(0, ptr.Deref(was.Requests, 0))))
	if count == nil || !count.Due && !changed {
		return nil
	}
	key.Status.Usage = &v1alpha1.KeyRequests{
		Period: count.Month.String(), Requests: ptr.To(int64(count.Requests)),
		Days: usageseries.AddToDay(was.Days, r.Clock.Now(), count.Added),
	}
	setLastUsed(&key.Status, found.input.Usage, 0)
	r.Usage.Keys.Writing(count)
	return count
}
