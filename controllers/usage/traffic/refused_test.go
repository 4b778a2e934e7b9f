package traffic_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/quotaledger"
)

// TestRefusedOrigins: they add up, of groups that the server serves, until they are forgotten or a day has passed. What is no origin is left out, and so is
// what is too many.
func TestRefusedOrigins(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := traffic.New(clock)
	s := connect(clock, acme)
	report := func(group, origin string, requests uint64) {
		p.Report(s, &syncv1.TrafficReport{Groups: []*syncv1.GroupTraffic{{
			Group: group, RefusedOrigins: []*syncv1.OriginUse{{Origin: origin, Requests: requests}},
		}}})
	}
	requires := func(expected ...traffic.Origin) {
		t.Helper()
		if got := p.RefusedOrigins(acme, 3); !slices.Equal(got, expected) {
			t.Errorf("%v, expected %v", got, expected)
		}
	}
	report(acme, "https://evil.example", 2)
	report(acme, "https://evil.example", 3)
	report(acme, "https://b.example", 7)
	report(acme, "https://evil.example/path?token=vctrl", 100)
	report("tenants/other", "https://evil.example", 1)
	requires(traffic.Origin{Origin: "https://b.example", Requests: 7}, traffic.Origin{Origin: "https://evil.example", Requests: 5})
	if other := p.RefusedOrigins("tenants/other", 3); len(other) > 0 {
		t.Errorf("%v is of a group that the server does not serve", other)
	}
	p.ForgetRefusedOrigins(acme)
	requires()
	for i := range 1000 {
		report(acme, fmt.Sprintf("https://%d.example", i), 1)
	}
	if got := p.RefusedOrigins(acme, 1000); len(got) != 32 {
		t.Errorf("%d origins are kept", len(got))
	}
	clock.Step(25 * time.Hour)
	report(acme, "https://evil.example", math.MaxUint64)
	report(acme, "https://evil.example", math.MaxUint64)
	requires(traffic.Origin{Origin: "https://evil.example", Requests: quotaledger.Max})
}
