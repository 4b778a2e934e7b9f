package quota

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/notice"
)

// TestDescribe: a quota is low, or used up, until its month is over.
func TestDescribe(t *testing.T) {
	resets := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		used      int64
		on        int64 // unconfirmed requests, in addition
		now       time.Time
		low, full bool
		changes   time.Duration
	}{
		"little":                      {74, 0, resets.Add(-time.Hour), false, false, 0},
		"little, and many on top":     {74, 50, resets.Add(-time.Hour), false, false, 0},
		"low":                         {80, 0, resets.Add(-time.Hour), true, false, time.Hour},
		"used up":                     {100, 0, resets.Add(-time.Second), true, true, time.Second},
		"used up, in the last moment": {100, 0, resets.Add(-time.Nanosecond), true, true, time.Millisecond},
		"used up, and over":           {100, 0, resets, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			group := &v1alpha1.Group{}
			group.Status.Limits = &v1alpha1.GroupLimits{Limits: v1alpha1.Limits{RequestsPerMonth: ptr.To[int64](100)}}
			used := &v1alpha1.UsageTotals{Period: "2026-11", ResetsAt: metav1.NewTime(resets),
				UsageCounts: v1alpha1.UsageCounts{Requests: ptr.To(c.used + c.on), UnconfirmedRequests: &c.on}}
			if Crossed(group, used, c.now) != c.low {
				t.Error("it is not known before whether a condition changes")
			}
			group.Status.Usage = used
			Describe(group, c.now)
			group.Status.QuotaNotices = notice.Quotas(group, c.now)
			if Crossed(group, used, c.now) {
				t.Error("the conditions are said to change again")
			}
			low := meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionQuotaLow)
			full := meta.IsStatusConditionTrue(group.Status.Conditions, v1alpha1.ConditionQuotaExceeded)
			if low != c.low || full != c.full || Changes(group, c.now) != c.changes {
				t.Errorf("low %t, used up %t, changes in %v", low, full, Changes(group, c.now))
			}
		})
	}
}

// TestCrossedByNotices: what people are to be notified of is written at once, and once.
func TestCrossedByNotices(t *testing.T) {
	now, group := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), &v1alpha1.Group{}
	group.Status.Limits = &v1alpha1.GroupLimits{Limits: v1alpha1.Limits{RequestsPerMonth: ptr.To[int64](1000)}}
	for i, step := range []struct {
		requests int64
		crossed  bool
	}{{100, true}, {110, false}, {640, true}, {700, false}, {749, false}, {750, true}, {799, false}, {800, true}, {900, true}, {999, false}} {
		usage := &v1alpha1.UsageTotals{Period: "2026-11", ResetsAt: metav1.NewTime(now.AddDate(0, 0, 11)),
			UsageCounts: v1alpha1.UsageCounts{Requests: &step.requests}}
		if i == 0 { // the status has no conditions yet
			group.Status.Usage = usage
			Describe(group, now)
			continue
		}
		if got := Crossed(group, usage, now); got != step.crossed {
			t.Errorf("%d requests: %v", step.requests, got)
		}
		group.Status.Usage = usage
		Describe(group, now)
		group.Status.QuotaNotices = notice.Quotas(group, now)
	}
}
