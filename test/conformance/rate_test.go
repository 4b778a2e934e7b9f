package conformance

import (
	"net/http"
	"regexp"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/authorizer/ratelimit"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store"
)

const (
	// worldPaced: the Group with rate limits and its key share them among three servers, and nothing of them is used.
	worldPaced = "paced"
	// worldFast: the key has used up its share.
	worldFast = "fast"

	paced = "tenants/paced"

	ratePolicies = `"group";q=3;w=1, "key";q=2;w=1`
	// ratesLeft is what is left while integrations are asked, of shares of 1000 and 300.
	ratesLeft = `"group";r=9[0-9]{2};t=[0-9]{1,3}, "key";r=2[0-9]{2};t=[0-9]{1,3}`
	// ratesUsed is what is left when the key's share is used up.
	ratesUsed = `"group";r=700;t=300, "key";r=0;t=2`
)

// rateTable comes between the table and that of quotas.
var rateTable = []testCase{
	{name: "not too fast", guards: "clients that cannot pace themselves, for nobody tells them how", headers: bearer("paced"),
		world: worldPaced, key: "paced", owner: "default", rates: ratesLeft},
	{name: "readable: not too fast", guards: "pages that cannot pace themselves",
		headers: with("paced", "Origin: http://localhost:5173"), world: worldPaced, readable: "http://localhost:5173",
		key: "paced", owner: "default", rates: ratesLeft},
	{name: "without a rate limit", guards: "a key without a limit that gets one", headers: bearer("good"), world: worldFast,
		key: "good", owner: "marketing"},
	{name: "too fast", guards: "one key that takes all that a content server has", headers: bearer("paced"), world: worldFast,
		want: decision.RateLimited, rates: ratesUsed},
	{name: "readable: too fast", guards: "a page that cannot know when to try again",
		headers: with("paced", "Origin: http://localhost:5173"), world: worldFast, readable: "http://localhost:5173",
		want: decision.RateLimited, rates: ratesUsed},
	{name: "a denial comes before the rate limit", guards: "refused requests that learn of the limit, or use it up",
		request: "POST - -", headers: bearer("paced"), world: worldFast, want: decision.PermissionDenied},
	{name: "the rate limit comes before the quota", guards: "a Group beyond its quota that asks as fast as it can",
		headers: bearer("paced"), world: worldSpent, want: decision.QuotaExceeded, rates: ratesLeft},
}

// paces returns a limiter of three servers, with the key's share used or not.
func paces(t testing.TB, s *store.Store, update *syncv1.Update, used bool) *ratelimit.Limiter {
	t.Helper()
	limiter := ratelimit.New(func() time.Time { return now })
	limiter.PeersChanged(&syncv1.Servers{Groups: []*syncv1.GroupServers{{Group: paced, Servers: 3}}})
	for _, key := range update.GetKeys() {
		if key.GetId() != "id-paced" || !used {
			continue
		}
		match, _ := s.Find(keyformat.Digest(key.GetVersions()[0].GetDigest()))
		for range key.GetRate().GetBurst() / 3 {
			if verdict := limiter.Admit(match.Group, &match.Key, now); !verdict.Admitted {
				t.Fatal("it is not there to be used")
			}
		}
	}
	return limiter
}

// compareRates compares what clients read about rate limits.
func (c *testCase) compareRates(t *testing.T, header http.Header) {
	t.Helper()
	policies, rates := header.Values("RateLimit-Policy"), header.Values("RateLimit")
	if c.rates == "" {
		if len(policies)+len(rates) > 0 {
			t.Errorf("rate limits: %q, %q", policies, rates)
		}
		return
	}
	if len(policies) != 1 || policies[0] != ratePolicies || len(rates) != 1 || !regexp.MustCompile("^"+c.rates+"$").MatchString(rates[0]) {
		t.Errorf("rate limits: %q, %q; want %s", policies, rates, c.rates)
	}
}
