package traffic_test

import (
	"math"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

// TestPublicRequests: what servers report adds up, survives a failed write, and ends up in the day and the month, beside requests.
func TestPublicRequests(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakeClock(now)
	p := traffic.New(clock)
	s := connect(clock, acme)
	report := func(requests uint64) {
		p.Report(s, &syncv1.TrafficReport{Groups: []*syncv1.GroupTraffic{{Group: acme, Public: requests}}})
	}
	report(3)
	report(4)
	p.GiveBack(acme, p.Take(acme))
	report(5)
	seen := p.Take(acme)
	if seen.Public != 12 || seen.IsEmpty() {
		t.Fatalf("%+v", seen)
	}
	status, month := &v1alpha1.GroupUsageStatus{}, quotaledger.Schedule{}.At(now)
	usageseries.RecordTraffic(status, now, month, seen)
	usageseries.RecordTraffic(status, now.Add(24*time.Hour), month, seen)
	if months := status.Months; len(months) != 1 || *months[0].PublicRequests != 24 || months[0].Requests != nil {
		t.Errorf("months: %+v", months)
	}
	if days := status.Days; len(days) != 2 || *days[0].PublicRequests != 12 || *days[1].PublicRequests != 12 {
		t.Errorf("days: %+v", days)
	}
	report(math.MaxUint64)
	report(math.MaxUint64)
	if seen := p.Take(acme); seen.Public != quotaledger.Max {
		t.Errorf("%d, more than a counter may have", seen.Public)
	}
}
