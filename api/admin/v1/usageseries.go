package adminv1

import "time"

// The manager's endpoint of usage over time. GET, with these query parameters, returns a UsageSeries; UsageSeriesGroup is required.
const (
	UsageSeriesPath = "/v1/usage/series"

	UsageSeriesGroup = "group" // namespace/name
	UsageSeriesKey   = "key"   // the id of a key of the Group; its days only
	UsageSeriesBy    = "by"    // one of the constants below; ByDay by default
	UsageSeriesFrom  = "from"  // the first day, such as 2026-11-01, month, such as 2026-11, or hour, such as 2026-11-01T13:00Z
	UsageSeriesTo    = "to"    // the last day, month or hour
)

// What the points of a UsageSeries are.
const (
	ByDay    = "day"
	ByMonth  = "month"
	ByCode   = "code"
	ByOrigin = "origin"
	ByHour   = "hour" // only where the usage store is Redis or Valkey
)

// UsageSeries is what was used of a Group, or of one of its keys, over time. docs/reference/usage-series.schema.json is its schema.
type UsageSeries struct {
	Group string `json:"group"`         // namespace/name
	Key   string `json:"key,omitempty"` // the id of the key that all of it is about
	By    string `json:"by"`
	// From and To are the first and the last day, month or hour (UTC) that the points are about. They may be less than was asked for:
	// only so many are kept.
	From string `json:"from"`
	To   string `json:"to"`
	// UpdatedAt is when the manager wrote the numbers; absent where nothing was used, and by hour.
	UpdatedAt *time.Time `json:"updatedAt,omitempty"`
	// Approximate is set where numbers may be too high or too low, as those of origins.
	Approximate bool `json:"approximate,omitempty"`
	// Points are one for each day, month or hour, the earliest first; or one for each code or origin, the one with the most first.
	Points []UsagePoint `json:"points"`
	// Total is the sum of the points.
	Total UsageAmounts `json:"total"`
}

// UsagePoint is what was used on a day, in a month or in an hour, refused with a code, or used from an origin. One of the first five is
// set. Hour is the begin of it.
type UsagePoint struct {
	Hour   string `json:"hour,omitempty"`
	Day    string `json:"day,omitempty"`
	Month  string `json:"month,omitempty"`
	Code   string `json:"code,omitempty"`
	Origin string `json:"origin,omitempty"`

	UsageAmounts
}

// UsageAmounts are numbers of requests and bytes. One that is absent is not known, or is 0.
type UsageAmounts struct {
	// Requests is how many were allowed, those of the last two included.
	Requests int64 `json:"requests,omitempty"`
	// Bytes is how many bytes of response bodies were sent.
	Bytes int64 `json:"bytes,omitempty"`
	// Refused is how many requests were refused.
	Refused int64 `json:"refused,omitempty"`
	// OverageRequests and OverageBytes are of a month, beyond the quota where that is metered.
	OverageRequests int64 `json:"overageRequests,omitempty"`
	OverageBytes    int64 `json:"overageBytes,omitempty"`
	// UnconfirmedRequests are of a month, allowed without an allowance while the manager could not be reached.
	UnconfirmedRequests int64 `json:"unconfirmedRequests,omitempty"`
	// PublicRequests is how many requests for public paths were allowed without a key. They are not among Requests.
	PublicRequests int64 `json:"publicRequests,omitempty"`
}

// UsageProblem is the body of a response that is no UsageSeries, as application/problem+json (RFC 9457).
type UsageProblem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what is wrong, and how to fix it.
	Detail string `json:"detail"`
}
