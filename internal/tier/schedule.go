package tier

import (
	"fmt"
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	lastDay    = 31
	anchorHint = "write the day of the month on which the quotas are reset, 1 to 31, or leave period out for calendar months"
)

// Schedule returns when the periods of a Group's quotas begin. It is that of the status, because the status remembers how the
// running period began. A Group that was never reconciled has no running period.
func Schedule(group *v1alpha1.Group) quotaledger.Schedule {
	limits := group.Status.Limits
	switch {
	case limits != nil:
	case isNew(group):
		return quotaledger.NewSchedule(anchorDay(&group.Spec.Limits))
	default:
		return quotaledger.Schedule{}
	}
	var kept []quotaledger.Period
	for _, text := range limits.PeriodStarts {
		at, err := time.Parse(time.DateOnly, string(text))
		if err != nil {
			continue // the schema allows little else
		}
		kept = append(kept, quotaledger.PeriodFrom(at))
	}
	return quotaledger.NewSchedule(anchorDay(&limits.Limits), kept...)
}

// isNew reports whether a Group was never reconciled.
func isNew(group *v1alpha1.Group) bool {
	return group.Status.Limits == nil && group.Status.ObservedGeneration <= 0
}

func anchorDay(limits *v1alpha1.Limits) int {
	if limits.Period == nil || limits.Period.AnchorDay == nil {
		return 1
	}
	return int(*limits.Period.AnchorDay)
}

// Schedule puts into the limits how the periods of the Group go on from an instant, and returns that.
func (r *Resolution) Schedule(group *v1alpha1.Group, at time.Time) quotaledger.Schedule {
	limits := v1alpha1.GroupLimits{}
	if r.Limits != nil {
		limits = *r.Limits
	}
	day := anchorDay(&limits.Limits)
	schedule := quotaledger.NewSchedule(day)
	if !isNew(group) {
		schedule = Schedule(group).Change(day, at)
	}
	limits.PeriodStarts = nil
	for _, kept := range schedule.Kept() {
		limits.PeriodStarts = append(limits.PeriodStarts, v1alpha1.Date(kept.Begin().Format(time.DateOnly)))
	}
	if r.Limits != nil || limits.PeriodStarts != nil {
		r.Limits = &limits
	}
	return schedule
}

// PeriodWarning returns the warning for the user who changes the day on which the periods of a Group begin; empty otherwise, and
// for a Group in which none is running yet.
func (c *Catalogue) PeriodWarning(old, group *v1alpha1.Group, at time.Time) string {
	if isNew(old) {
		return ""
	}
	was, is := c.Resolve(old), c.Resolve(group)
	before, after := was.Schedule(old, at), is.Schedule(group, at)
	if before.AnchorDay() == after.AnchorDay() {
		return ""
	}
	day := func(at time.Time) string { return at.Format(time.DateOnly) }
	running := after.At(at)
	next := after.At(running.End())
	warning := fmt.Sprintf("spec.limits.period.anchorDay: the running period, which began on %s, ends on %s as before; the next one ends on %s",
		day(running.Begin()), day(running.End()), day(next.End()))
	if next != quotaledger.NewSchedule(after.AnchorDay()).At(next.Begin()) {
		warning += ": it is shorter, and has the whole quota"
	}
	return warning
}
