package quota_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/quota"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestWrites: 10,000 groups that all report, and all want a lease, cost no more than 50 writes per second; and a group that wants
// a lease does not wait for those that only report.
func TestWrites(t *testing.T) {
	const groups, perSecond, seconds = 10_000, 40, 3
	s := newMemory()
	a := quota.New(quota.Config{Store: s, Sessions: session.NewRegistry(clock.RealClock{}, 0), Clock: clock.RealClock{}, Log: logr.Discard(), Writes: rate.Limit(perSecond)})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	session := connect(a, "server", "life", func(string) (bool, bool) { return true, true })
	report := func(group string, requests, wants uint64) {
		use := &syncv1.GroupUse{Group: group, Period: quotaledger.MonthOf(time.Now()).String(), Requests: requests, Wants: wants}
		session.Report(&syncv1.QuotaReport{Groups: []*syncv1.GroupUse{use}})
	}
	most := uint64(1_000_000)
	for i := range groups {
		group := fmt.Sprint("tenants/", i)
		a.SetLimits(group, quota.Limits{Requests: &most})
		report(group, 1, 0)
	}
	begin := time.Now()
	go func() { done <- a.Start(ctx) }()
	written := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.writes
	}
	eventually(t, func() bool { return written() >= perSecond })
	asked := time.Now()
	report("tenants/9999", 2, 10)
	leased := false
	for !leased {
		select {
		case <-session.Ready():
			for _, allowance := range session.Take().GetGroups() {
				leased = leased || allowance.GetGroup() == "tenants/9999" && allowance.GetLeased() == 10
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no allowance")
		}
	}
	t.Logf("an allowance took %s among %d groups that report", time.Since(asked).Round(time.Millisecond), groups)
	eventually(t, func() bool { return written() >= perSecond*seconds })
	pace := float64(written()) / time.Since(begin).Seconds()
	t.Logf("%.1f writes a second", pace)
	if pace > 50 {
		t.Errorf("%.1f writes a second", pace)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
