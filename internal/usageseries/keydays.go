package usageseries

import (
	"time"

	"github.com/keyward-dev/keyward/api/v1alpha1"
)

// MaxKeyDays is for how many days the requests of a key are kept.
const MaxKeyDays = 31

// AddToDay returns the days of a key with more requests on the day of an instant. Days before the last one, if the clock was turned
// back, count as the last. What is passed in stays as it is.
func AddToDay(days *v1alpha1.KeyDays, at time.Time, requests uint64) *v1alpha1.KeyDays {
	today := at.UTC().Truncate(dayLength)
	now := &v1alpha1.KeyDays{Last: today.Format(dayFormat), Requests: []int64{0}}
	if days != nil {
		if last, err := time.Parse(dayFormat, days.Last); err == nil {
			if last.After(today) {
				today, now.Last = last, days.Last
			}
			now.Requests = make([]int64, min(MaxKeyDays, int(today.Sub(last)/dayLength)), MaxKeyDays)
			now.Requests = append(now.Requests, days.Requests[:min(len(days.Requests), MaxKeyDays-len(now.Requests))]...)
			if len(now.Requests) == 0 {
				now.Requests = []int64{0}
			}
		}
	}
	now.Requests[0] += int64(min(requests, 1<<62))
	for n := len(now.Requests); n > 1 && now.Requests[n-1] == 0; n-- {
		now.Requests = now.Requests[:n-1]
	}
	return now
}

const dayLength = 24 * time.Hour
