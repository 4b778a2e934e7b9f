package usage

import (
	"testing"

	"github.com/keyward-dev/keyward/server/decision"
)

// TestPublicTraffic: requests without a key are reported apart from refused ones, and once.
func TestPublicTraffic(t *testing.T) {
	r := New()
	for range 3 {
		r.Public("tenants/acme")
	}
	r.Refused("tenants/acme", decision.OriginDenied)
	r.Public("tenants/other")
	got := traffic(r)
	if acme := got["tenants/acme"]; acme.GetPublic() != 3 || len(acme.GetRefusals()) != 1 || acme.GetRefusals()["origin_denied"] != 1 {
		t.Errorf("%v", acme)
	}
	if other := got["tenants/other"]; other.GetPublic() != 1 || len(other.GetRefusals()) != 0 {
		t.Errorf("%v", other)
	}
	if again := traffic(r); len(again) != 0 {
		t.Errorf("reported again: %v", again)
	}
}
