package httpapi

import (
	"testing"
	"time"

	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
)

func TestRateLimit(t *testing.T) {
	group := ratelimit.Status{Limit: decision.RateLimit{PerSecond: 100, Burst: 200}, Left: 150, Reset: 500 * time.Millisecond}
	key := ratelimit.Status{Limit: decision.RateLimit{PerSecond: 1_000_000}, Reset: time.Second + 1}
	full := group
	full.Reset = 0
	for _, c := range []struct {
		name           string
		statuses       ratelimit.Statuses
		policies, left string
	}{
		{"none", ratelimit.Statuses{}, "", ""},
		{"a group's", ratelimit.Statuses{Group: group}, `"group";q=100;w=1`, `"group";r=150;t=1`},
		{"a key's, of which nothing is left", ratelimit.Statuses{Key: key}, `"key";q=1000000;w=1`, `"key";r=0;t=2`},
		{"both", ratelimit.Statuses{Group: full, Key: key}, `"group";q=100;w=1, "key";q=1000000;w=1`, `"group";r=150;t=0, "key";r=0;t=2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]string{}
			for _, h := range RateLimit(c.statuses) {
				got[h.Name] = h.Value
			}
			if got[HeaderRateLimitPolicy] != c.policies || got[HeaderRateLimit] != c.left {
				t.Errorf("got %q", got)
			}
		})
	}
}
