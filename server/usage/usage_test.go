package usage

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/api/keyformat"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

var (
	start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	one   = keyformat.DigestOf("one")
	home  = netip.MustParseAddr("192.0.2.1")
)

func find(uses []*syncv1.VersionUse, digest keyformat.Digest) *syncv1.VersionUse {
	for _, u := range uses {
		if keyformat.Digest(u.GetDigest()) == digest {
			return u
		}
	}
	return nil
}

func TestUses(t *testing.T) {
	r := New()
	r.Used("k1", one, start, false, home)
	r.Used("k1", one, start.Add(-time.Second), true, home)
	r.Used("k1", one, start, true, netip.MustParseAddr("::ffff:192.0.2.1"))
	r.Used("k1", one, start, true, netip.Addr{})
	u := find(r.Since(start, start), one)
	if u == nil || u.GetLastMs() != start.UnixMilli() || len(u.GetClients()) != 1 || u.GetMoreClients() {
		t.Fatalf("got %v", u)
	}
	if find(r.Since(start.Add(1e6), start), one) != nil {
		t.Error("told of what was used before")
	}
	if other := New(); true {
		other.Used("k1", one, start, true, home)
		if find(other.Since(start, start), one).GetClients()[0] != u.GetClients()[0] {
			t.Error("two servers do not agree on an address")
		}
	}
	for i := range uint32(40) {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], i)
		r.Used("k1", one, start, true, netip.AddrFrom4(address))
	}
	if u := find(r.Since(start, start), one); len(u.GetClients()) != maxClients || !u.GetMoreClients() {
		t.Errorf("told %d clients apart, more %v", len(u.GetClients()), u.GetMoreClients())
	}
	r.Since(start, start.Add(forgetAfter+time.Second))
	if len(r.Since(time.UnixMilli(1), start)) != 0 {
		t.Error("remembers for ever")
	}
}

func TestConcurrently(t *testing.T) {
	r := New()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 1000 {
				r.Used("k1", keyformat.DigestOf(string(rune('a'+n%7))), start.Add(time.Duration(n*i)*time.Millisecond), true, home)
				r.Since(start, start)
			}
		})
	}
	all.Wait()
	last := int64(0)
	for _, u := range r.Since(start, start) {
		last = max(last, u.GetLastMs())
	}
	if want := start.Add(999 * 7 * time.Millisecond).UnixMilli(); last != want {
		t.Errorf("last used at %d, want %d", last, want)
	}
}

func BenchmarkUsed(b *testing.B) {
	r := New()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for now := start; pb.Next(); now = now.Add(1e6) {
			r.Used("k1", one, now, false, home)
		}
	})
}

// TestKeys: requests are counted by key, whichever version they have, and for good.
func TestKeys(t *testing.T) {
	r := New()
	r.Used("k1", one, start, false, home)
	r.Used("k1", keyformat.DigestOf("its successor"), start.Add(time.Minute), false, home)
	r.Used("k2", keyformat.DigestOf("another"), start, false, home)
	if keys := r.Keys(start.Add(time.Second)); len(keys) != 1 || keys[0].GetKey() != "k1" || keys[0].GetRequests() != 2 {
		t.Errorf("got %v", keys)
	}
	r.Since(start, start.Add(forgetAfter+time.Hour))
	r.Used("k1", one, start.Add(time.Hour), false, home)
	if keys := r.Keys(start.Add(time.Hour)); len(keys) != 1 || keys[0].GetRequests() != 3 {
		t.Errorf("after its versions were forgotten: %v", keys)
	}
}
