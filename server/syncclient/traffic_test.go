package syncclient

import (
	"slices"
	"testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/fakemanager"
)

// TestTraffic: what was refused is reported periodically, once, and when the server stops.
func TestTraffic(t *testing.T) {
	m := fakemanager.Start(t)
	r := run(t, m)
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	r.uses.Refused("tenants/acme", decision.OriginDenied)
	report := <-stream.Traffic
	if of := report.GetGroups(); len(of) != 1 || of[0].GetGroup() != "tenants/acme" || of[0].GetRefusals()["origin_denied"] != 1 {
		t.Errorf("reported %v", report)
	}
	r.uses.Refused("tenants/acme", decision.RateLimited)
	r.stop()
	sum := uint64(0)
	for len(stream.Traffic) > 0 {
		for _, of := range (<-stream.Traffic).GetGroups() {
			sum += of.GetRefusals()["rate_limited"] + 10*of.GetRefusals()["origin_denied"]
		}
	}
	if sum != 1 {
		t.Errorf("in the end it reported %d", sum)
	}
}

// TestTrafficIsAFeature: a manager that does not know the message is not sent it.
func TestTrafficIsAFeature(t *testing.T) {
	m := fakemanager.Start(t)
	m.Features = slices.DeleteFunc(fakemanager.AllFeatures(), func(f syncv1.Feature) bool {
		return f == syncv1.Feature_FEATURE_TRAFFIC_REPORTS
	})
	r := run(t, m)
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	r.uses.Refused("tenants/acme", decision.OriginDenied)
	for range 3 * trafficEvery { // as many reports of everything
		<-stream.Versions
	}
	r.stop()
	if len(stream.Traffic) > 0 {
		t.Errorf("it was sent %v", <-stream.Traffic)
	}
	if of := r.uses.Traffic(); len(of) != 1 {
		t.Errorf("%v is left", of)
	}
}
