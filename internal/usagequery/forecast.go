package usagequery

import (
	"time"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// soonest is how much of a period has to be over before there is a forecast.
const soonest = time.Hour

// Forecast returns what will be used by the end of a period if the rest of it is used at the same rate as until now. It
// is 0 if the period has only begun, so that there is no forecast. usedUp is when the quota will be used up; it is the zero
// time if it will not be, if it is already, or if there is no quota (nil).
func Forecast(used int64, quota *int64, begin, end, now time.Time) (total int64, usedUp time.Time) {
	elapsed := now.Sub(begin)
	if elapsed < soonest || !now.Before(end) || used <= 0 {
		return 0, time.Time{}
	}
	most := float64(used) * (float64(end.Sub(begin)) / float64(elapsed))
	const all = 1 << 62 // so that it fits
	total = int64(min(most, all))
	if quota == nil || *quota <= used || total <= *quota {
		return total, time.Time{}
	}
	return total, begin.Add(time.Duration(float64(elapsed) * (float64(*quota) / float64(used))))
}

// Running returns the period whose usage is shown: the running one, or a later one that the manager's clock has reached already.
func Running(schedule quotaledger.Schedule, shown string, now time.Time) quotaledger.Span {
	running := schedule.At(now)
	if later, err := quotaledger.ParsePeriod(shown); err == nil && later.Begin().After(running.Begin()) {
		return schedule.SpanOf(later)
	}
	return running
}
