package quota

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestClosedIncarnationSpendsNothing, not even an allowance that was on its way when it was closed: the manager has leased that
// to another server.
func TestClosedIncarnationSpendsNothing(t *testing.T) {
	b, now := New(prometheus.NewRegistry()), time.Now()
	group := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{RequestQuota: true, DenyUnknown: true}}
	spend := func() decision.Code { code, _ := b.Spend(context.Background(), group, "", 1, now); return code }
	spend()
	period := b.month(group.Identity, now).period
	allow := func(sequence, leased uint64) {
		b.Allow(&syncv1.Allowances{NowMs: now.UnixMilli(), Groups: []*syncv1.Allowance{{
			Group: group.Identity, Period: period, Sequence: sequence, Leased: leased, State: syncv1.QuotaState_QUOTA_STATE_OPEN,
		}}}, now)
	}
	allow(1, 2)
	if code := spend(); code != decision.Allowed {
		t.Fatalf("with an allowance: %v", code)
	}
	b.Close()
	reported := b.Due(now, false)
	if len(reported) != 1 || !reported[0].GetClosed() || reported[0].GetLeased() != 1 || reported[0].GetSpent() != 1 {
		t.Fatalf("the end is reported as %v", reported)
	}
	allow(2, 10)
	if code := spend(); code == decision.Allowed {
		t.Error("an allowance was spent after the end")
	}
	for _, use := range b.Due(now, true) {
		if use.GetSpent() != 1 || use.GetLeased() != 1 {
			t.Errorf("reported %v", use)
		}
	}
}
