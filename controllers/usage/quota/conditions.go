package quota

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/conditions"
	"github.com/keyward-dev/keyward/internal/notice"
)

// lowPercent of a quota is when people are warned, fullPercent when it is used up.
const (
	lowPercent  = 80
	fullPercent = 100
)

// Describe sets the conditions QuotaLow and QuotaExceeded from the usage in the status, which no longer counts once its period
// is over. A Group without a quota has neither condition.
func Describe(group *v1alpha1.Group, now time.Time) {
	limits := LimitsOf(group)
	set := conditions.Setter{Conditions: &group.Status.Conditions, Generation: group.Generation, Now: now}
	if limits.Requests == nil && limits.Bytes == nil || group.Status.Usage == nil {
		meta.RemoveStatusCondition(&group.Status.Conditions, v1alpha1.ConditionQuotaLow)
		meta.RemoveStatusCondition(&group.Status.Conditions, v1alpha1.ConditionQuotaExceeded)
		return
	}
	var low, full []string
	if now.Before(group.Status.Usage.ResetsAt.Time) {
		low, full = reached(group, limits, lowPercent), reached(group, limits, fullPercent)
	}
	set.Set(v1alpha1.ConditionQuotaLow, len(low) > 0, v1alpha1.ReasonQuotaUsed, describe(low, lowPercent, group))
	message := describe(full, fullPercent, group)
	if len(full) > 0 && limits.Metered {
		message += "; further requests are allowed and counted as overage"
	} else if len(full) > 0 {
		message += "; requests are refused with 402 quota_exceeded"
	}
	set.Set(v1alpha1.ConditionQuotaExceeded, len(full) > 0, v1alpha1.ReasonQuotaUsed, message)
}

// Changes returns the time until the conditions change without any further usage, because the period ends; 0 if they do not.
func Changes(group *v1alpha1.Group, now time.Time) time.Duration {
	if group.Status.Usage == nil || !meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionQuotaLow) {
		return 0
	}
	return max(group.Status.Usage.ResetsAt.Sub(now), time.Millisecond)
}

// reached returns the names of the quotas of which at least so many percent are used.
func reached(group *v1alpha1.Group, limits Limits, percent float64) []string {
	var names []string
	usage := group.Status.Usage
	for _, quota := range []struct {
		name  string
		used  int64
		quota *uint64
	}{
		// Unconfirmed requests are in addition to the quota.
		{"requestsPerMonth", ptr.Deref(usage.Requests, 0) - ptr.Deref(usage.UnconfirmedRequests, 0), limits.Requests},
		{"bytesPerMonth", ptr.Deref(usage.Bytes, 0), limits.Bytes},
	} {
		if quota.quota != nil && float64(quota.used)*fullPercent >= percent*float64(*quota.quota) {
			names = append(names, quota.name)
		}
	}
	return names
}

func describe(names []string, percent int, group *v1alpha1.Group) string {
	if len(names) == 0 {
		return fmt.Sprintf("less than %d %% of each quota is used", percent)
	}
	return fmt.Sprintf("at least %d %% of %s is used; usage is reset at %s",
		percent, strings.Join(names, " and "), group.Status.Usage.ResetsAt.UTC().Format(time.RFC3339))
}

// Crossed reports whether the conditions of a Group, or the notices about its quotas, would change with this usage.
func Crossed(group *v1alpha1.Group, usage *v1alpha1.UsageTotals, now time.Time) bool {
	described := &v1alpha1.Group{ObjectMeta: group.ObjectMeta, Spec: group.Spec, Status: group.Status}
	described.Status.Usage = usage
	described.Status.Conditions = slices.Clone(group.Status.Conditions)
	Describe(described, now)
	for _, name := range []string{v1alpha1.ConditionQuotaLow, v1alpha1.ConditionQuotaExceeded} {
		is, was := meta.FindStatusCondition(described.Status.Conditions, name), meta.FindStatusCondition(group.Status.Conditions, name)
		isTrue, wasTrue := is != nil && is.Status == metav1.ConditionTrue, was != nil && was.Status == metav1.ConditionTrue
		if isTrue != wasTrue || isTrue && is.Message != was.Message {
			return true
		}
	}
	return !equality.Semantic.DeepEqual(notice.Quotas(described, now), group.Status.QuotaNotices)
}
