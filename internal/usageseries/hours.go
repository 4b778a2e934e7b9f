package usageseries

import "time"

const (
	// MaxHours is how many hours are kept, the running one included: 8 days.
	MaxHours = 192
	// HoursAhead is how many hours that the clock has not reached may be kept, because it was turned back or another leader's is behind.
	HoursAhead = 24

	secondsPerHour = 60 * 60
)

// Hour is an hour of UTC, by its number since 1970-01-01T00:00Z.
type Hour int64

// HourOf returns the hour of an instant.
func HourOf(at time.Time) Hour {
	seconds := at.Unix()
	if seconds < 0 { // divisions truncate
		seconds -= secondsPerHour - 1
	}
	return Hour(seconds / secondsPerHour)
}

// Begin returns the first instant of the hour, in UTC.
func (h Hour) Begin() time.Time { return time.Unix(int64(h)*secondsPerHour, 0).UTC() }

// HourUse is what was used in an hour.
type HourUse struct {
	// Requests is how many were allowed, and Bytes how many of response bodies were sent.
	Requests, Bytes uint64
}

// IsZero reports whether nothing was used.
func (u HourUse) IsZero() bool { return u == HourUse{} }
