package httpapi

import (
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
)

// The fields in which clients read their rate limits and what is left of them (draft-ietf-httpapi-ratelimit-headers-10;
// both are lists of RFC 9651).
const (
	HeaderRateLimitPolicy = "Ratelimit-Policy"
	HeaderRateLimit       = "Ratelimit"
)

// The names of the policies.
const (
	policyGroup = "group"
	policyKey   = "key"
)

// RateLimit returns these fields if a rate limit applied to the request. The policy is the whole limit: q requests in a
// window of w seconds. What is left, r, is how many requests this server would allow at once, out of its share of the
// burst. t is the number of seconds until that share is complete again, or if nothing is left, until one request is
// allowed.
func RateLimit(statuses ratelimit.Statuses) []Header {
	if !statuses.Any() {
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
		limits.WriteString(`"` + name + `";r=` + strconv.FormatUint(uint64(status.Left), 10) + ";t=" +
			strconv.Itoa(RetrySeconds(status.Reset)))
	}
	add(policyGroup, statuses.Group)
	add(policyKey, statuses.Key)
	return []Header{{HeaderRateLimitPolicy, policies.String()}, {HeaderRateLimit, limits.String()}}
}
