package apikey

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/cache"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/internal/notice"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
)

// Quotas has what is used of the quotas of keys, by id.
type Quotas interface {
	// Due returns the keys whose status is to show something new, and did so the resolution ago or earlier; at most so many.
	Due(resolution time.Duration, most int) (ids []string)
	// Of returns what is used in a period, whether that is known, and whether the status is to be written for it.
	Of(id string, period quotaledger.Period, resolution time.Duration) (used uint64, known, due bool)
	// Shown records that the status shows so much.
	Shown(id string, period quotaledger.Period, used uint64)
	// Forget drops a key that does not exist, or has no quota.
	Forget(id string)
}

// keysWithQuotas are the keys of whose quota more is used than their status shows.
func (r *Reconciler) keysWithQuotas(ctx context.Context) (due []reconcile.Request) {
	if r.Quotas == nil {
		return nil
	}
	for _, id := range r.Quotas.Due(r.LastUsedResolution, countsAtOnce) {
		keys, err := cache.CachedKeysWithID(ctx, r.Client, id)
		switch {
		case err != nil:
			ctrl.LoggerFrom(ctx).Error(err, "What is used of the quota of a key is written with a delay")
		case len(keys) != 1 || keys[0].Spec.Limits.RequestsPerMonth == nil:
			r.Quotas.Forget(id)
		default:
			due = append(due, requests(keys)...)
		}
	}
	return due
}

// quotaOf returns what is used of the quota of a key, nil if it has none. It is new where that is due, or where people are to be notified
// of it.
func (r *Reconciler) quotaOf(key *v1alpha1.ApiKey, group *v1alpha1.Group, now time.Time) *v1alpha1.KeyQuota {
	limit := key.Spec.Limits.RequestsPerMonth
	if limit == nil || group == nil {
		return nil
	}
	span := tier.Schedule(group).At(now)
	is := &v1alpha1.KeyQuota{
		Period: span.String(), ResetsAt: metav1.NewTime(span.End()), Limit: ptr.To(*limit), Used: ptr.To[int64](0),
	}
	was := key.Status.Quota
	if was != nil && was.Period == is.Period {
		*is.Used = ptr.Deref(was.Used, 0)
	}
	is.Notice = notice.KeyQuota(was, is, now)
	if r.Quotas == nil {
		return is
	}
	if used, known, due := r.Quotas.Of(publish.KeyID(key.UID), span.Period, r.LastUsedResolution); known {
		latest := is.DeepCopy()
		*latest.Used = int64(used)
		latest.Notice = notice.KeyQuota(was, latest, now)
		if due || !equality.Semantic.DeepEqual(latest.Notice, is.Notice) {
			return latest
		}
	}
	return is
}

// showedQuota records what the status shows.
func (r *Reconciler) showedQuota(key *v1alpha1.ApiKey) {
	is := key.Status.Quota
	if is == nil || r.Quotas == nil {
		return
	}
	if period, err := quotaledger.ParsePeriod(is.Period); err == nil {
		r.Quotas.Shown(publish.KeyID(key.UID), period, uint64(*is.Used))
	}
}
