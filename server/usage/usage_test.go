package usage

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

var (
	start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	one   = keyformat.DigestOf("one")
	acme  = &decision.Group{Identity: "tenants/acme"}
	home  = netip.MustParseAddr("192.0.2.1")
)

// used records one request with a version of a key, from an origin or none.
func (r *Recorder) used(id string, digest keyformat.Digest, at time.Time, retiring bool, client netip.Addr, origin ...string) {
	request := &decision.Request{Credential: decision.Credential{Form: decision.WellFormed, Digest: digest}}
	if len(origin) > 0 {
		request.Origin = origin[0]
	}
	r.Used(id, acme, request, at, retiring, client)
}

func find(uses iter.Seq[*syncv1.VersionUse], digest keyformat.Digest) *syncv1.VersionUse {
	for u := range uses {
		if keyformat.Digest(u.GetDigest()) == digest {
			return u
		}
	}
	return nil
}

func TestUses(t *testing.T) {
	r := New()
	r.used("k1", one, start, false, home)
	r.used("k1", one, start.Add(-time.Second), true, home)
	r.used("k1", one, start, true, netip.MustParseAddr("::ffff:192.0.2.1"))
	r.used("k1", one, start, true, netip.Addr{})
	u := find(r.Since(start, start), one)
	if u == nil || u.GetLastMs() != start.UnixMilli() || len(u.GetClients()) != 1 || u.GetMoreClients() {
		t.Fatalf("got %v", u)
	}
	if find(r.Since(start.Add(1e6), start), one) != nil {
		t.Error("it returns a version that was used before")
	}
	if other := New(); true {
		other.used("k1", one, start, true, home)
		if find(other.Since(start, start), one).GetClients()[0] != u.GetClients()[0] {
			t.Error("two servers do not agree on an address")
		}
	}
	for i := range uint32(40) {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], i)
		r.used("k1", one, start, true, netip.AddrFrom4(address))
	}
	if u := find(r.Since(start, start), one); len(u.GetClients()) != maxClients || !u.GetMoreClients() {
		t.Errorf("%d clients are counted, more %v", len(u.GetClients()), u.GetMoreClients())
	}
	_ = slices.Collect(r.Since(start, start.Add(forgetAfter+time.Second)))
	if len(slices.Collect(r.Since(time.UnixMilli(1), start))) != 0 {
		t.Error("a version is never forgotten")
	}
}

func TestConcurrentUse(t *testing.T) {
	r := New()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 1000 {
				r.used("k1", keyformat.DigestOf(string(rune('a'+n%7))), start.Add(time.Duration(n*i)*time.Millisecond), true, home)
				_ = slices.Collect(r.Since(start, start))
			}
		})
	}
	all.Wait()
	last := int64(0)
	for u := range r.Since(start, start) {
		last = max(last, u.GetLastMs())
	}
	if want := start.Add(999 * 7 * time.Millisecond).UnixMilli(); last != want {
		t.Errorf("last used at %d, want %d", last, want)
	}
}

// BenchmarkUsed measures a request without an origin, with one that is known, and with more origins than are monitored.
func BenchmarkUsed(b *testing.B) {
	for name, requests := range map[string][]decision.Request{
		"no origin":    {{}},
		"origin":       {{Origin: "https://shop.acme.com"}},
		"referer":      {{Referer: "https://shop.acme.com/scenes/1?x=y"}},
		"many origins": manyOrigins(100),
	} {
		b.Run(name, func(b *testing.B) {
			r := New()
			for i := range requests {
				requests[i].Credential.Digest = one
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i, now := 0, start; pb.Next(); i, now = i+1, now.Add(1e6) {
					r.Used("k0123456789abcdef", acme, &requests[i%len(requests)], now, false, home)
				}
			})
		})
	}
}

func manyOrigins(n int) []decision.Request {
	requests := make([]decision.Request, n)
	for i := range requests {
		requests[i].Origin = fmt.Sprintf("https://%d.acme.com", i)
	}
	return requests
}
