package notice

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
)

const (
	// forecastAfter is the part of a period before which nothing is forecast: its first days say little about the others.
	forecastAfter = 8
	percent       = 100
	// maxInteger is the largest integer that every reader of JSON takes exactly.
	maxInteger = 1<<53 - 1
)

// thresholds are the parts of a quota, in percent, of which there are notices, ascending.
var thresholds = []int32{75, 90, 100, 120}

// amount is how much of a quota is used.
type amount struct {
	limit       v1alpha1.QuotaLimit
	quota, used int64
}

func amounts(group *v1alpha1.Group) []amount {
	limits, usage := tier.InForce(group), group.Status.Usage
	var all []amount
	if n := limits.RequestsPerMonth; n != nil && *n > 0 {
		// Unconfirmed requests are in addition to the quota.
		used := ptr.Deref(usage.Requests, 0) - ptr.Deref(usage.UnconfirmedRequests, 0)
		all = append(all, amount{v1alpha1.QuotaRequests, *n, max(0, used)})
	}
	if n := limits.BytesPerMonth; n != nil && n.Value() > 0 {
		all = append(all, amount{v1alpha1.QuotaBytes, n.Value(), max(0, ptr.Deref(usage.Bytes, 0))})
	}
	return all
}

// Quotas returns the notices about quotas that the status of a Group is to show at an instant: those that it shows, without those of earlier
// periods and of quotas that were changed, and with what is due. Of thresholds that are passed at once, only the highest is.
func Quotas(group *v1alpha1.Group, now time.Time) []v1alpha1.QuotaNotice {
	usage := group.Status.Usage
	if usage == nil || !now.Before(usage.ResetsAt.Time) {
		return nil
	}
	var all []v1alpha1.QuotaNotice
	for _, a := range amounts(group) {
		given := slices.DeleteFunc(slices.Clone(group.Status.QuotaNotices), func(n v1alpha1.QuotaNotice) bool {
			return n.Limit != a.limit || n.Quota != a.quota || n.Period != usage.Period
		})
		next := v1alpha1.QuotaNotice{
			Period: usage.Period, Limit: a.limit, Quota: a.quota, NoticedAt: metav1.NewTime(now.Truncate(time.Second)), Used: ptr.To(a.used),
		}
		highest := int32(0)
		for _, n := range given {
			highest = max(highest, ptr.Deref(n.Percent, 0))
		}
		if is := a.threshold(); is > highest {
			next.Percent = ptr.To(is)
			given = append(given, next)
		} else if at := a.usedUpAt(usage, now); is == 0 && len(given) == 0 && !at.IsZero() {
			next.UsedUpAt = ptr.To(metav1.NewTime(at.Truncate(time.Second)))
			given = append(given, next)
		}
		all = append(all, given...)
	}
	return all
}

// KeyQuota returns the notice that the status of a key is to show with what is used of its quota: the one that it shows, or what is
// due since. Of thresholds that are passed at once, only the highest is.
func KeyQuota(shown, is *v1alpha1.KeyQuota, now time.Time) *v1alpha1.KeyQuotaNotice {
	limit, used := ptr.Deref(is.Limit, 0), ptr.Deref(is.Used, 0)
	if limit <= 0 {
		return nil
	}
	var given *v1alpha1.KeyQuotaNotice
	if shown != nil && shown.Period == is.Period && ptr.Deref(shown.Limit, 0) == limit {
		given = shown.Notice
	}
	percent := amount{quota: limit, used: used}.threshold()
	if percent == 0 || given != nil && given.Percent >= percent {
		return given
	}
	return &v1alpha1.KeyQuotaNotice{Percent: percent, Used: used, NoticedAt: metav1.NewTime(now.Truncate(time.Second))}
}

// quota is about what is used of the quota of a key. With the limit in the cause, one that was raised has notices of its own.
func (k *ofKey) quota() {
	is := k.key.Status.Quota
	if is == nil || is.Notice == nil {
		return
	}
	n, limit := is.Notice, ptr.Deref(is.Limit, 0)
	k.add(groupevent.TypeKeyQuota, fmt.Sprintf("quota/%s/%d/%d", is.Period, limit, n.Percent), n.NoticedAt.Time, groupevent.KeyQuotaReached{
		Period: is.Period, Quota: min(limit, maxInteger), Used: min(n.Used, maxInteger), Percent: int64(n.Percent),
	})
}

// threshold returns the highest that is passed; 0 if none is.
func (a amount) threshold() (highest int32) {
	for _, t := range thresholds {
		if float64(a.used)*percent >= float64(t)*float64(a.quota) {
			highest = t
		}
	}
	return highest
}

// usedUpAt returns when the quota will be used up within the period, if it is used as it was until now; zero if it will not be, or it is too
// early to say.
func (a amount) usedUpAt(usage *v1alpha1.UsageTotals, now time.Time) time.Time {
	period, err := quotaledger.ParsePeriod(usage.Period)
	if err != nil || a.used == 0 {
		return time.Time{}
	}
	begin, end := period.Begin(), usage.ResetsAt.Time
	elapsed := now.Sub(begin)
	if elapsed < end.Sub(begin)/forecastAfter {
		return time.Time{}
	}
	needed := float64(elapsed) * float64(a.quota) / float64(a.used)
	if needed >= float64(end.Sub(begin)) {
		return time.Time{}
	}
	return begin.Add(time.Duration(needed))
}

// OfGroup returns the notices that the status of a Group shows.
func OfGroup(group *v1alpha1.Group) []Notice {
	all := make([]Notice, 0, len(group.Status.QuotaNotices))
	for i := range group.Status.QuotaNotices {
		n := &group.Status.QuotaNotices[i]
		// With the quota in it, a quota that was raised has notices of its own: 75 % of it is more than 75 % was before.
		cause := fmt.Sprintf("quota/%s/%s/%d", n.Period, n.Limit, n.Quota)
		quota, used := min(n.Quota, maxInteger), min(ptr.Deref(n.Used, 0), maxInteger)
		switch {
		case n.Percent != nil:
			all = append(all, Notice{groupevent.TypeQuotaReached, fmt.Sprintf("%s/%d", cause, *n.Percent), n.NoticedAt.Time, groupevent.QuotaReached{
				Period: n.Period, Limit: string(n.Limit), Quota: quota, Used: used, Percent: int64(*n.Percent),
			}})
		case n.UsedUpAt != nil:
			all = append(all, Notice{groupevent.TypeQuotaForecast, cause + "/forecast", n.NoticedAt.Time, groupevent.QuotaForecast{
				Period: n.Period, Limit: string(n.Limit), Quota: quota, Used: used, UsedUpAt: format(n.UsedUpAt.Time),
			}})
		}
	}
	return all
}

const (
	// history is how many days before a day are compared with it, unusual how many times their median it may have, and fewest how many
	// requests are never unusual.
	history = 14
	unusual = 4
	fewest  = 1000
)

// OfUsage returns the notices about days of unusual use, of today and of yesterday. A day on which the Group was not used counts
// with no requests, and nothing is unusual in the first 14 days of a Group.
func OfUsage(usage *v1alpha1.GroupUsageStatus, now time.Time) []Notice {
	requests, first := map[string]int64{}, now.UTC().Format(time.DateOnly)
	for i := range usage.Days {
		d := &usage.Days[i]
		requests[d.Day], first = max(0, ptr.Deref(d.Requests, 0)), min(first, d.Day)
	}
	var all []Notice
	today := now.UTC().Truncate(day)
	for _, at := range []time.Time{today.AddDate(0, 0, -1), today} {
		name := at.Format(time.DateOnly)
		if at.AddDate(0, 0, -history).Format(time.DateOnly) < first || requests[name] < fewest {
			continue
		}
		var before []int64
		for i := range history {
			before = append(before, requests[at.AddDate(0, 0, -1-i).Format(time.DateOnly)])
		}
		if m := median(before); requests[name]/unusual >= m && requests[name] > unusual*m {
			all = append(all, Notice{groupevent.TypeUsageUnusual, "unusual/" + name, at, groupevent.UsageUnusual{
				Day: name, Requests: min(requests[name], maxInteger), Median: min(m, maxInteger),
			}})
		}
	}
	return all
}

// median returns the median of an even number of values, which it sorts.
func median(of []int64) int64 {
	slices.SortFunc(of, cmp.Compare[int64])
	low, high := of[len(of)/2-1], of[len(of)/2]
	return low + (high-low)/2
}
