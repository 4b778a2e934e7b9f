// Package usagequery answers what was used of a Group over time, from its GroupUsage: for kubectl keyward and for the manager's API. It
// is pure.
package usagequery

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/tier"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// Period is a period of a Group's quota, and what was used in it.
type Period struct {
	Name       string // such as 2026-11, or 2026-11-15 if it does not begin with a month
	Begin, End time.Time

	v1alpha1.UsageCounts
	v1alpha1.TrafficCounts
}

// Usage is what is recorded of a Group, and when its periods begin.
type Usage struct {
	Group    string // namespace/name
	Schedule quotaledger.Schedule
	Status   *v1alpha1.GroupUsageStatus
}

// Of returns the usage of a Group: an empty one if it is of an earlier Group with the name.
func Of(group *v1alpha1.Group, recorded *v1alpha1.GroupUsage) Usage {
	u := Usage{Group: group.Namespace + "/" + group.Name, Schedule: tier.Schedule(group), Status: &recorded.Status}
	if of := recorded.Status.GroupUID; of != "" && of != group.UID {
		u.Status = &v1alpha1.GroupUsageStatus{}
	}
	return u
}

// Periods returns the periods that are recorded, the latest first. It is the only place that knows how long they are: what is asked by
// month, forecast and billed is about these.
func (u *Usage) Periods() []Period {
	all := make([]Period, 0, len(u.Status.Months))
	for i := range u.Status.Months {
		m := &u.Status.Months[i]
		if p, err := quotaledger.ParsePeriod(m.Month); err == nil {
			all = append(all, Period{Name: m.Month, Begin: p.Begin(), UsageCounts: m.UsageCounts, TrafficCounts: m.TrafficCounts})
		}
	}
	slices.SortFunc(all, func(a, b Period) int { return b.Begin.Compare(a.Begin) })
	for i := range all {
		next := time.Time{}
		if i > 0 {
			next = all[i-1].Begin
		}
		all[i].End = u.endOf(quotaledger.PeriodFrom(all[i].Begin), next)
	}
	return all
}

// endOf returns when a period ended, or will end: at the latest when the next one that is recorded began. The schedule has forgotten those
// from before the last change but one of the anchor day.
func (u *Usage) endOf(period quotaledger.Period, next time.Time) time.Time {
	begin := period.Begin()
	end := quotaledger.NewSchedule(begin.Day()).At(begin).End()
	switch {
	case u.Schedule.Begins(period):
		end = u.Schedule.SpanOf(period).End()
	case !next.IsZero() && next.Sub(begin) <= quotaledger.MaxPeriod:
		return next
	}
	if !next.IsZero() {
		end = earlier(end, next)
	}
	return end
}

// PeriodNamed returns the period with the name, which is empty if nothing was used in it.
func (u *Usage) PeriodNamed(name string) (Period, error) {
	p, err := quotaledger.ParsePeriod(name)
	if err != nil {
		return Period{}, fmt.Errorf("%w", err)
	}
	for _, p := range u.Periods() {
		if p.Name == name {
			return p, nil
		}
	}
	if !u.Schedule.Begins(p) {
		return Period{}, fmt.Errorf("no period of the Group begins on %s; write that of this day: %s",
			p.Begin().Format(time.DateOnly), u.Schedule.At(p.Begin()))
	}
	return Period{Name: name, Begin: p.Begin(), End: u.Schedule.SpanOf(p).End()}, nil
}

// Unknown says why nothing is known of a period, so that nothing used would be no figure but an invention; empty if it is known. Since is when the
// Group was created.
func (u *Usage) Unknown(p *Period, since, now time.Time) string {
	recorded := u.Periods()
	switch {
	case slices.ContainsFunc(recorded, func(one Period) bool { return one.Name == p.Name }):
		return ""
	case p.Begin.After(now):
		return "this period has not begun"
	case !p.End.After(since):
		return "the Group was created after this period, on " + since.UTC().Format(time.DateOnly)
	case len(recorded) >= usageseries.MaxMonths && p.Begin.Before(recorded[len(recorded)-1].Begin):
		return fmt.Sprintf("only the last %d periods in which the Group was used are kept, from %s on", usageseries.MaxMonths, recorded[len(recorded)-1].Name)
	}
	return ""
}

// Amounts returns what was used in the period.
func (p *Period) Amounts() adminv1.UsageAmounts {
	return adminv1.UsageAmounts{
		Requests: count(p.Requests), Bytes: count(p.Bytes), Refused: refused(p.Refusals),
		OverageRequests: count(p.OverageRequests), OverageBytes: count(p.OverageBytes), UnconfirmedRequests: count(p.UnconfirmedRequests),
		PublicRequests: count(p.PublicRequests),
	}
}

func count(n *int64) int64 { return max(0, ptr.Deref(n, 0)) }

func refused(by map[string]int64) (sum int64) {
	for _, n := range by {
		sum += max(0, n)
	}
	return sum
}
