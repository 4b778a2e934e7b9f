package doortest

import (
	"time"

	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/gate"
)

// worldSpent is where every Group has used up its quota.
const worldSpent = "spent"

// quotaTable goes on where the table ends.
var quotaTable = []testCase{
	{name: "quota exceeded", headers: bearer("good"), world: worldSpent, want: decision.QuotaExceeded},
	{name: "readable: quota exceeded", headers: with("good", "Origin: "+acmePage), world: worldSpent, readable: acmePage, want: decision.QuotaExceeded},
	{name: "a denial comes before the quota", headers: bearer("revoked"), world: worldSpent, want: decision.KeyRevoked},
	{name: "a preflight is no use of the quota", request: "OPTIONS - -", headers: asks(acmePage, "GET"), world: worldSpent, readable: acmePage, want: decision.Preflight},
}

// spent stands in for what is to count usage: nothing is left of any quota.
type spent struct{}

// Record implements gate.Recorder.
func (spent) Record(_ string, _ time.Time, _ *gate.Request, result *gate.Result) {
	if result.Code == decision.Allowed {
		result.Code = decision.QuotaExceeded
	}
}
