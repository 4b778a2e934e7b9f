package syncclient

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/usage"
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

// TestRefusedKeys: which keys were refused is reported periodically, once, ahead of the traffic that it is a part of, and when the server stops.
func TestRefusedKeys(t *testing.T) {
	m := fakemanager.Start(t)
	refuse := func(uses *usage.Recorder, why decision.Code) {
		uses.RefusedKey("tenants/acme", "k1", why, &decision.Request{Origin: "https://copy.example"}, time.Now())
		uses.Refused("tenants/acme", why)
	}
	// Before it connects: what is refused during a report may be in the first half of it, or in the second.
	r := run(t, m, func(uses *usage.Recorder) { refuse(uses, decision.OriginDenied) })
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	<-stream.Traffic
	if len(stream.Refusals) != 1 {
		t.Fatalf("%d reports were ahead of the traffic", len(stream.Refusals))
	}
	keys := (<-stream.Refusals).GetKeys()
	if len(keys) != 1 || keys[0].GetKey() != "k1" || keys[0].GetCode() != "origin_denied" || keys[0].GetRequests() != 1 ||
		keys[0].GetOrigin() != "https://copy.example" {
		t.Errorf("reported %v", keys)
	}
	refuse(r.uses, decision.RateLimited)
	r.stop()
	sum := uint64(0)
	for len(stream.Refusals) > 0 {
		for _, of := range (<-stream.Refusals).GetKeys() {
			if sum += of.GetRequests(); of.GetCode() != "rate_limited" {
				t.Errorf("%v again", of)
			}
		}
	}
	if sum != 1 {
		t.Errorf("in the end it reported %d", sum)
	}
}

// TestRefusedKeysAreAFeature: a manager that does not know the message is not sent it, and is sent the traffic all the same.
func TestRefusedKeysAreAFeature(t *testing.T) {
	m := fakemanager.Start(t)
	m.Features = slices.DeleteFunc(fakemanager.AllFeatures(), func(f syncv1.Feature) bool {
		return f == syncv1.Feature_FEATURE_KEY_REFUSALS
	})
	r := run(t, m)
	stream := m.Next()
	stream.Send(&syncv1.Update{Revision: 1, CaughtUp: true})
	r.uses.RefusedKey("tenants/acme", "k1", decision.OriginDenied, &decision.Request{}, time.Now())
	r.uses.Refused("tenants/acme", decision.OriginDenied)
	<-stream.Traffic
	r.stop()
	if len(stream.Refusals) > 0 {
		t.Errorf("it was sent %v", <-stream.Refusals)
	}
	if of := r.uses.RefusedKeys(); len(of) != 1 {
		t.Errorf("%v is left", of)
	}
}

// TestTrafficFits: what one message reports at worst is less than the manager takes, with room for further codes.
func TestTrafficFits(t *testing.T) {
	const most, requests = 4 << 20 * 7 / 8, 1<<53 - 1
	origin := "https://" + strings.Repeat("o", 120)
	report := &syncv1.TrafficReport{}
	for range trafficPerMessage {
		of := &syncv1.GroupTraffic{
			Group: strings.Repeat("n", 63) + "/" + strings.Repeat("g", 253), Refusals: map[string]uint64{}, Public: requests,
			Origins:        slices.Repeat([]*syncv1.OriginUse{{Origin: origin, Requests: requests}}, 10),
			RefusedOrigins: slices.Repeat([]*syncv1.OriginUse{{Origin: origin, Requests: requests}}, 10),
		}
		for _, code := range decision.Codes() {
			of.Refusals[code.String()] = requests
		}
		report.Groups = append(report.Groups, of)
	}
	size := proto.Size(report)
	t.Logf("%d bytes", size)
	if size > most {
		t.Errorf("%d bytes, more than %d", size, most)
	}
}
