package conformance

import (
	"context"
	"net/http"
	"time"

	"github.com/keyward-dev/keyward/server/decision"
)

const (
	// worldSpent: every Group has used up its quota, and every key that has one of its own.
	worldSpent = "spent"
	// worldScarce: every Group has 4 requests left.
	worldScarce = "scarce"
	// worldUnavailable: it is not known whether it has.
	worldUnavailable = "unavailable"
)

// quotaTable continues the table.
var quotaTable = []testCase{
	{name: "quota exceeded", guards: "a Group beyond its quota still served", headers: bearer("good"), world: worldSpent,
		want: decision.QuotaExceeded},
	{name: "readable: quota exceeded", guards: "a page that cannot tell its user that the quota is used up",
		headers: with("good", "Origin: "+acmePage), world: worldSpent, readable: acmePage, want: decision.QuotaExceeded},
	{name: "quota of the key exceeded", guards: "a key beyond its own quota still served, or its Group blamed for it",
		headers: bearer("limited"), world: worldSpent, want: decision.KeyQuotaExceeded},
	{name: "readable: quota of the key exceeded", guards: "a page that cannot tell its user whose quota is used up",
		headers: with("limited", "Origin: "+acmePage), world: worldSpent, readable: acmePage, want: decision.KeyQuotaExceeded},
	{name: "some of the quota of the key is left", guards: "a key refused because it has a quota", headers: bearer("limited"),
		world: worldScarce, want: decision.Allowed, key: "limited", owner: "marketing"},
	{name: "quota unavailable", guards: "a Group that has to deny what nobody knows of, and is served", headers: bearer("good"),
		world: worldUnavailable, want: decision.QuotaUnavailable},
	{name: "costs more than is left", guards: "an expensive request that counts as one", request: "POST - /tenant/checkout/sessions",
		headers: bearer("both"), world: worldScarce, want: decision.QuotaExceeded},
	{name: "costs no more than is left", guards: "all requests refused because an expensive one would be", headers: bearer("good"),
		world: worldScarce, want: decision.Allowed, key: "good", owner: "marketing"},
	{name: "a denial comes before the quota", guards: "a refused key that learns of the quota, or uses it up",
		headers: bearer("revoked"), world: worldSpent, want: decision.KeyRevoked},
	{name: "a preflight is no use of the quota", guards: "preflights refused, or paid for, where the quota is used up",
		request: "OPTIONS - -", headers: asks(acmePage, "GET"), world: worldSpent, readable: acmePage, want: decision.Preflight},
}

// spent is a quota that is used up until tomorrow.
type spent struct{}

// Spend implements authorizer.Quota.
func (spent) Spend(_ context.Context, _ *decision.Group, key string, _ uint64, _ time.Time) (decision.Code, time.Duration) {
	if key != "" {
		return decision.KeyQuotaExceeded, 24 * time.Hour
	}
	return decision.QuotaExceeded, 24 * time.Hour
}

// Sent implements authorizer.Quota.
func (spent) Sent(string, uint64, time.Time) {}

// scarce is a quota with 4 requests left, which nothing changes.
type scarce struct{ spent }

// Spend implements authorizer.Quota.
func (s scarce) Spend(ctx context.Context, group *decision.Group, key string, cost uint64, now time.Time) (decision.Code, time.Duration) {
	if cost <= 4 {
		return decision.Allowed, 0
	}
	return s.spent.Spend(ctx, group, key, cost, now)
}

// unavailable is a quota of which it is not known what is left.
type unavailable struct{ spent }

// Spend implements authorizer.Quota.
func (unavailable) Spend(context.Context, *decision.Group, string, uint64, time.Time) (decision.Code, time.Duration) {
	return decision.QuotaUnavailable, time.Second
}

// waits reports whether a verdict says when to try again.
func waits(status int, code string) bool {
	return status == http.StatusTooManyRequests || status == http.StatusPaymentRequired || code == decision.QuotaUnavailable.String()
}
