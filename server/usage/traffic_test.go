package usage

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

func traffic(r *Recorder) map[string]*syncv1.GroupTraffic {
	groups := map[string]*syncv1.GroupTraffic{}
	for _, of := range r.Traffic() {
		groups[of.GetGroup()] = of
	}
	return groups
}

func fromOrigin(r *Recorder, key, group, origin string, times int) {
	request := &decision.Request{Origin: origin}
	request.Credential.Digest = keyformat.DigestOf(key)
	for range times {
		r.Used(key, &decision.Group{Identity: group}, request, time.Now(), false, netip.Addr{})
	}
}

// TestTraffic: each report has what was seen since the last one, by group, over all keys, as scheme://host.
func TestTraffic(t *testing.T) {
	r := New()
	r.Refused("tenants/acme", decision.OriginDenied)
	r.Refused("tenants/acme", decision.OriginDenied)
	r.RefusedOrigin("tenants/acme", &decision.Request{Origin: "https://Evil.example:8443"})
	r.RefusedOrigin("tenants/acme", &decision.Request{Referer: "https://evil.example/page?token=x"})
	r.RefusedOrigin("tenants/acme", &decision.Request{Origin: "null"})
	r.RefusedOrigin("tenants/acme", &decision.Request{Origin: "https://user@evil.example/path"})
	r.Refused("tenants/acme", decision.QuotaExceeded)
	r.Refused("tenants/other", decision.RateLimited)
	fromOrigin(r, "k1", "tenants/acme", "https://Shop.acme.com:8443", 3)
	fromOrigin(r, "k2", "tenants/acme", "https://shop.acme.com", 4)
	fromOrigin(r, "k2", "tenants/acme", "http://[::1]:3000", 1)
	fromOrigin(r, "k3", "tenants/quiet", "", 5)
	got := traffic(r)
	acme := got["tenants/acme"]
	if len(got) != 2 || len(acme.GetRefusals()) != 2 || acme.GetRefusals()["origin_denied"] != 2 || acme.GetRefusals()["quota_exceeded"] != 1 ||
		got["tenants/other"].GetRefusals()["rate_limited"] != 1 {
		t.Errorf("%v", got)
	}
	if o := acme.GetRefusedOrigins(); len(o) != 1 || o[0].GetOrigin() != "https://evil.example" || o[0].GetRequests() != 2 {
		t.Errorf("%v", o)
	}
	if o := acme.GetOrigins(); len(o) != 2 || o[0].GetOrigin() != "https://shop.acme.com" || o[0].GetRequests() != 7 ||
		o[1].GetOrigin() != "http://[::1]" || o[1].GetRequests() != 1 {
		t.Errorf("%v", o)
	}
	if again := traffic(r); len(again) != 0 {
		t.Errorf("reported again: %v", again)
	}
	fromOrigin(r, "k2", "tenants/acme", "https://shop.acme.com", 2)
	if o := traffic(r)["tenants/acme"].GetOrigins(); len(o) != 1 || o[0].GetRequests() != 2 {
		t.Errorf("later: %v", o)
	}
}

// TestTrafficOfManyOrigins: at most ten are reported, those with the most requests, and none with more than it had: an origin that
// takes the place of another does not report that one's requests.
func TestTrafficOfManyOrigins(t *testing.T) {
	r := New()
	for i := range 100 {
		fromOrigin(r, "k1", "tenants/acme", fmt.Sprintf("https://%d.acme.com", i), 1)
	}
	fromOrigin(r, "k1", "tenants/acme", "https://busy.acme.com", 50)
	origins := traffic(r)["tenants/acme"].GetOrigins()
	if len(origins) > reportedOrigins || origins[0].GetOrigin() != "https://busy.acme.com" || origins[0].GetRequests() != 50 {
		t.Errorf("%v", origins)
	}
	sum := uint64(0)
	for _, origin := range origins {
		sum += origin.GetRequests()
	}
	if sum > 150 {
		t.Errorf("%d of 150 requests", sum)
	}
}

// TestRefusedIsNeverLost: what is counted while a report is made is in that report or in the next.
func TestRefusedIsNeverLost(t *testing.T) {
	const goroutines, each = 4, 5000
	r := New()
	var counting sync.WaitGroup
	for range goroutines {
		counting.Go(func() {
			for range each {
				r.Refused("tenants/acme", decision.RateLimited)
			}
		})
	}
	counted := make(chan struct{})
	go func() { counting.Wait(); close(counted) }()
	sum := uint64(0)
	for done := false; !done; {
		select {
		case <-counted:
			done = true
		default:
		}
		sum += traffic(r)["tenants/acme"].GetRefusals()["rate_limited"]
	}
	if sum != goroutines*each {
		t.Errorf("%d of %d", sum, goroutines*each)
	}
	if all := len(decision.Codes()); all > codes {
		t.Errorf("%d codes, and room for %d", all, codes)
	}
}
