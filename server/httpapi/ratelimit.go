package httpapi

import (
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
)

// The fields in which clients read how fast they may be, and how much of that is left
// (draft-ietf-httpapi-ratelimit-headers-10; both are lists of RFC 9651).
const (
	HeaderRateLimitPolicy = "Ratelimit-Policy"
	HeaderRateLimit       = "Ratelimit"
)

// The names of the policies.
const (
	policyGroup = "group"
	policyKey   = "key"
)

// RateLimit returns these fields, where there is a rate limit that the request came to. The
// policy is the whole limit: q requests in a window of w seconds. What is left of it, r, is what
// this server would let through at once, out of its part of the burst; t is in how many seconds
// that part is whole again, or where nothing is left, in how many there is one.
func RateLimit(standings ratelimit.Statuses) []Header {
	if !standings.Any() {
		return nil
	}
	var policies, limits strings.Builder
	add := func(name string, status ratelimit.Status) {
		if !status.Limit.IsSet() {
			return
		}
		if policies.Len() > 0 {
			policies.WriteString(", ")
			limits.WriteString(", ")
		}
		policies.WriteString(`"` + name + `";q=` + strconv.FormatUint(uint64(status.Limit.PerSecond), 10) + ";w=1")
		limits.WriteString(`"` + name + `";r=` + strconv.FormatUint(uint64(status.Left), 10) + ";t=" + strconv.Itoa(RetrySeconds(status.Reset)))
	}
	add(policyGroup, standings.Group)
	add(policyKey, standings.Key)
	return []Header{{HeaderRateLimitPolicy, policies.String()}, {HeaderRateLimit, limits.String()}}
}
