package syncclient

import (
	"slices"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/fakemanager"
)

// TestStopWaitsForTheManager: a server that stops while the manager is disconnected stays until it has reported the requests that
// it allowed, and gives back what it has not spent.
func TestStopWaitsForTheManager(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	group := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{RequestQuota: true, DenyUnknown: true}}
	now := time.Now()
	r.quotas.Sent(group.Identity, 100, now)
	stream.Allow(&syncv1.Allowances{NowMs: now.UnixMilli(), Groups: []*syncv1.Allowance{
		{Group: group.Identity, Period: now.UTC().Format("2006-01"), Leased: 5, Sequence: 1},
	}})
	eventually(t, "the allowance is there", func() bool {
		code, _ := r.quotas.Spend(t.Context(), group, "", 1, now)
		return code == decision.Allowed
	})
	m.Stop()
	r.quotas.Sent(group.Identity, 11, now)
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	m.Restart()
	stream = m.Next()
	<-stopped
	var last *syncv1.GroupUse
	for len(stream.Quotas) > 0 {
		for _, use := range (<-stream.Quotas).GetGroups() {
			last = use
		}
	}
	if !last.GetClosed() || last.GetBytes() != 111 || last.GetSpent() != 1 || last.GetLeased() != 1 || !r.quotas.Reported() {
		t.Errorf("the last report was %v", last)
	}
}

// TestPeers: the number of servers is applied, and kept while the manager is disconnected.
func TestPeers(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	group := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{Rate: decision.RateLimit{PerSecond: 1, Burst: 12}}}
	now := time.Now()
	left := func() uint32 { return r.rates.Admit(group, &decision.Key{}, now).Group.Left }
	if got := left(); got != 11 {
		t.Errorf("alone it has %d left", got)
	}
	stream.SetPeers(&syncv1.Servers{Groups: []*syncv1.GroupServers{{Group: group.Identity, Servers: 4}}})
	eventually(t, "it has its part", func() bool { return left() <= 2 })
	m.Stop()
	m.Restart()
	m.Next()
	if got := left(); got > 2 {
		t.Errorf("after another start of the manager it has %d left", got)
	}
}

// TestKeyQuotasAreAFeature: the use of keys is reported to a manager that takes it, and only to such a one.
func TestKeyQuotasAreAFeature(t *testing.T) {
	for _, takes := range []bool{true, false} {
		m := fakemanager.Start(t)
		if !takes {
			m.Features = slices.DeleteFunc(fakemanager.AllFeatures(), func(f syncv1.Feature) bool {
				return f == syncv1.Feature_FEATURE_KEY_QUOTAS
			})
		}
		r := run(t, m)
		stream := m.Next()
		stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
		group := &decision.Group{Identity: "tenants/acme", Limits: decision.Limits{RequestQuota: true}}
		r.quotas.Spend(t.Context(), group, "k1", 1, time.Now())
		keys := map[string]bool{}
		for !keys[""] || takes && !keys["k1"] {
			for _, use := range (<-stream.Quotas).GetGroups() {
				keys[use.GetKey()] = true
			}
		}
		r.stop()
		for len(stream.Quotas) > 0 {
			for _, use := range (<-stream.Quotas).GetGroups() {
				keys[use.GetKey()] = true
			}
		}
		if keys["k1"] != takes {
			t.Errorf("takes is %v: the use of %v was reported", takes, keys)
		}
	}
}
