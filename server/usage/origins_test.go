package usage

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	adminv1 "github.com/keyward-dev/keyward/api/admin/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// fromHeaders records one request with the headers.
func (r *Recorder) fromHeaders(origin, referer string) {
	request := &decision.Request{Origin: origin, Referer: referer}
	request.Credential.Digest = one
	r.Used("k1", acme, request, start, false, home)
}

func (r *Recorder) originsOf() []adminv1.OriginUsage {
	keys, _ := r.Report(func(id, group string) bool { return id == "k1" && group == acme.Identity }, 1)
	return keys[0].Origins
}

// TestOrigins: only scheme, host and port are kept, in any spelling.
func TestOrigins(t *testing.T) {
	for _, c := range []struct{ origin, referer, want string }{
		{"https://shop.acme.com", "https://other.example/", "https://shop.acme.com"},
		{"HTTPS://Shop.Acme.com:443", "", "https://shop.acme.com"},
		{"http://localhost:3000", "", "http://localhost:3000"},
		{"", "https://shop.acme.com/secret?token=vctrl_key#x", "https://shop.acme.com"},
		{"", "https://shop.acme.com?token=vctrl_key", "https://shop.acme.com"},
		{"", "https://SHOP.acme.com:8443/a", "https://shop.acme.com:8443"},
		{"", "https://user:password@shop.acme.com/", ""},
		{"", "about:client", ""},
		{"null", "", ""},
		{"", "", ""},
		{"", "gibberish", ""},
		{"https://" + strings.Repeat("a", 300) + ".com", "", ""},
	} {
		r := New()
		for range 2 {
			r.fromHeaders(c.origin, c.referer)
		}
		got := r.originsOf()
		if c.want == "" && len(got) != 0 || c.want != "" && (len(got) != 1 || got[0] != adminv1.OriginUsage{Origin: c.want, Requests: 2}) {
			t.Errorf("%q, %q: %v", c.origin, c.referer, got)
		}
	}
}

// TestSpaceSaving: the bounds in the comment of monitor hold for any requests.
func TestSpaceSaving(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, counts := New(), map[string]uint64{}
		requests := rapid.SliceOfN(rapid.IntRange(0, rapid.IntRange(0, 40).Draw(t, "origins")), 1, 500).Draw(t, "requests")
		for _, i := range requests {
			text := fmt.Sprintf("https://%d.acme.com", i*i%37)
			r.fromHeaders(text, "")
			counts[text]++
		}
		most, listed := uint64(len(requests))/monitored, map[string]bool{}
		for _, o := range r.originsOf() {
			listed[o.Origin] = true
			if o.Error > most || o.Requests < counts[o.Origin] || o.Requests-o.Error > counts[o.Origin] {
				t.Fatalf("%+v of %d, of %d requests", o, counts[o.Origin], len(requests))
			}
		}
		for text, n := range counts {
			if n > most && !listed[text] {
				t.Fatalf("%s is missing, with %d of %d requests", text, n, len(requests))
			}
		}
	})
}

// TestManyKeys: the origins of a limited number of keys are counted; the requests of all keys are.
func TestManyKeys(t *testing.T) {
	r := New()
	r.origins.Store(maxOrigins)
	r.fromHeaders("https://acme.com", "")
	if keys, _ := r.Report(func(string, string) bool { return true }, 1); keys[0].Requests != 1 || len(keys[0].Origins) != 0 {
		t.Errorf("%+v", keys)
	}
}

// TestNoAllocation: counting a known origin allocates nothing.
func TestNoAllocation(t *testing.T) {
	r := New()
	for _, request := range []*decision.Request{{}, {Origin: "https://shop.acme.com"}, {Referer: "https://shop.acme.com/a?b"}} {
		if n := testing.AllocsPerRun(100, func() { r.Used("k1", acme, request, start, false, home) }); n != 0 {
			t.Errorf("%+v: %v allocations", request, n)
		}
	}
}
