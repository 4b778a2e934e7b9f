// Package usagequery answers what was used of a Group over time, from its GroupUsage: for kubectl keyward and for the manager's API. It
// is pure.
package usagequery

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// Period is a period of a Group's quota, and what was used in it.
type Period struct {
	Name       string // such as 2026-11
	Begin, End time.Time

	v1alpha1.UsageCounts
	v1alpha1.TrafficCounts
}

// Periods returns the periods that a GroupUsage has, the latest first. It is the only place that knows how long they are: what is asked by
// month, forecast and billed is about these.
func Periods(status *v1alpha1.GroupUsageStatus) []Period {
	all := make([]Period, 0, len(status.Months))
	for i := range status.Months {
		m := &status.Months[i]
		if month, err := quotaledger.ParseMonth(m.Month); err == nil {
			all = append(all, Period{Name: m.Month, Begin: month.Begin(), End: month.End(), UsageCounts: m.UsageCounts, TrafficCounts: m.TrafficCounts})
		}
	}
	slices.SortFunc(all, func(a, b Period) int { return cmp.Compare(b.Name, a.Name) })
	return all
}

// PeriodNamed returns the period with the name, which is empty if nothing was used in it.
func PeriodNamed(status *v1alpha1.GroupUsageStatus, name string) (Period, error) {
	month, err := quotaledger.ParseMonth(name)
	if err != nil {
		return Period{}, fmt.Errorf("%w", err)
	}
	for _, p := range Periods(status) {
		if p.Name == name {
			return p, nil
		}
	}
	return Period{Name: name, Begin: month.Begin(), End: month.End()}, nil
}

// Amounts returns what was used in the period.
func (p *Period) Amounts() adminv1.UsageAmounts {
	return adminv1.UsageAmounts{
		Requests: count(p.Requests), Bytes: count(p.Bytes), Refused: refused(p.Refusals),
		OverageRequests: count(p.OverageRequests), OverageBytes: count(p.OverageBytes), UnconfirmedRequests: count(p.UnconfirmedRequests),
		PublicRequests: count(p.PublicRequests),
	}
}

// Own returns the status of the usage of a Group: an empty one if it is of an earlier Group with the name.
func Own(group *v1alpha1.Group, usage *v1alpha1.GroupUsage) *v1alpha1.GroupUsageStatus {
	if of := usage.Status.GroupUID; of != "" && of != group.UID {
		return &v1alpha1.GroupUsageStatus{}
	}
	return &usage.Status
}

func count(n *int64) int64 { return max(0, ptr.Deref(n, 0)) }

func refused(by map[string]int64) (sum int64) {
	for _, n := range by {
		sum += max(0, n)
	}
	return sum
}
