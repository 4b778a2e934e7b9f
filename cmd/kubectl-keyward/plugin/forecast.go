package plugin

import "time"

// soonest is how much of a month has to be over before there is a forecast.
const soonest = time.Hour

// forecast returns what will be used by the end of a month if the rest of the month is used at the same rate as until now. It
// is 0 if the month has only begun, so that there is no forecast. usedUp is when the quota will be used up; it is the zero
// time if it will not be, if it is already, or if there is no quota (nil).
func forecast(used int64, quota *int64, begin, end, now time.Time) (total int64, usedUp time.Time) {
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

// monthOf returns the month (UTC) whose usage is shown, and its ends: the current month, or a later one that the manager's
// clock has reached already.
func monthOf(period string, now time.Time) (name string, begin, end time.Time) {
	now = now.UTC()
	begin = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if later, err := time.Parse("2006-01", period); err == nil && later.After(begin) {
		begin = later
	}
	return begin.Format("2006-01"), begin, begin.AddDate(0, 1, 0)
}
