package plugin

import "time"

// soonest is how much of a month has to be over before anything is foretold by it.
const soonest = time.Hour

// forecast foretells what is used by the end of a month: as much in the rest of it, for its length,
// as until now. It is 0 where that cannot be said, because the month has only begun. Where a quota
// will be used up before, usedUp is when; it is the zero time where it will not be, where it is
// already, and where there is none, which is nil.
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

// monthOf returns the month (UTC) in which the usage is to be shown, and its ends: that of now, or a
// later one that the manager's clock has reached already.
func monthOf(period string, now time.Time) (name string, begin, end time.Time) {
	now = now.UTC()
	begin = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if later, err := time.Parse("2006-01", period); err == nil && later.After(begin) {
		begin = later
	}
	return begin.Format("2006-01"), begin, begin.AddDate(0, 1, 0)
}
