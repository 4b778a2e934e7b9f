package usage

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestRefusedKeys: each report has what was refused since the last one, by key and code, with the times and the origin of the latest that had one, as
// scheme://host. No path and no query of a page is in it.
func TestRefusedKeys(t *testing.T) {
	r, at := New(), time.UnixMilli(1_800_000_000_000)
	refuse := func(id string, why decision.Code, request decision.Request, later time.Duration) {
		r.RefusedKey("tenants/acme", id, why, &request, at.Add(later))
	}
	refuse("k1", decision.OriginDenied, decision.Request{Origin: "https://Evil.example:8443"}, 0)
	refuse("k1", decision.OriginDenied, decision.Request{Referer: "https://copy.example/page?token=x#y"}, 2*time.Second)
	refuse("k1", decision.OriginDenied, decision.Request{Origin: "null"}, 3*time.Second)
	refuse("k1", decision.OriginDenied, decision.Request{Origin: "https://user:secret@evil.example/path"}, time.Second)
	refuse("k1", decision.OriginDenied, decision.Request{Origin: "https://" + strings.Repeat("long.", 40) + "example"}, time.Second)
	refuse("k1", decision.KeyRetired, decision.Request{}, time.Second)
	refuse("k2", decision.RateLimited, decision.Request{Origin: "https://shop.acme.com"}, 0)
	first := at.UnixMilli()
	want := []*syncv1.KeyRefusal{
		{Group: "tenants/acme", Key: "k1", Code: "origin_denied", Requests: 5, FirstMs: first, LastMs: first + 3000, Origin: "https://copy.example"},
		{Group: "tenants/acme", Key: "k1", Code: "key_retired", Requests: 1, FirstMs: first + 1000, LastMs: first + 1000},
		{Group: "tenants/acme", Key: "k2", Code: "rate_limited", Requests: 1, FirstMs: first, LastMs: first, Origin: "https://shop.acme.com"},
	}
	got := r.RefusedKeys()
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if !proto.Equal(got[i], want[i]) {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
	if again := r.RefusedKeys(); len(again) != 0 {
		t.Errorf("reported again: %v", again)
	}
}

// TestRefusedKeysAreBounded: regardless of what is refused, no group has more than 64 entries, and all together no more than 4096. What is left out was refused no
// later than what is there of the group, or of all; and while there is room, nothing is lost.
func TestRefusedKeysAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New()
		groups, keys := rapid.IntRange(1, 400).Draw(t, "groups"), rapid.IntRange(1, 200).Draw(t, "keys")
		codes := []decision.Code{decision.OriginDenied, decision.KeyExpired, decision.RateLimited}
		type entry struct {
			group, key string
			code       decision.Code
		}
		counted, latest := map[entry]uint64{}, map[entry]int64{}
		// An entry has a time of its own, so that it is known which ones are the latest. A pace that has no common divisor visits all in some order.
		count, pace := rapid.IntRange(1, 6000).Draw(t, "requests"), rapid.SampledFrom([]int{1, 7, 1009}).Draw(t, "pace")
		for i := range count {
			n := i * pace
			of := entry{fmt.Sprintf("tenants/g%d", n%groups), fmt.Sprintf("k%d", n/groups%keys), codes[n%len(codes)]}
			counted[of]++
			latest[of] = int64(i + 1)
			r.RefusedKey(of.group, of.key, of.code, &decision.Request{}, time.UnixMilli(int64(i+1)))
		}
		ofGroup, oldest := map[string]int{}, map[string]int64{}
		got := r.RefusedKeys()
		there := map[entry]bool{}
		for _, said := range got {
			code := codes[0]
			for _, other := range codes {
				if other.String() == said.GetCode() {
					code = other
				}
			}
			of := entry{said.GetGroup(), said.GetKey(), code}
			there[of] = true
			if ofGroup[of.group]++; oldest[of.group] == 0 || latest[of] < oldest[of.group] {
				oldest[of.group] = latest[of]
			}
			if said.GetRequests() == 0 || said.GetRequests() > counted[of] || said.GetLastMs() != latest[of] || said.GetFirstMs() > said.GetLastMs() {
				t.Fatalf("%v, of %d until %d", said, counted[of], latest[of])
			}
		}
		if len(got) > 4096 {
			t.Fatalf("%d entries", len(got))
		}
		distinct := map[string]int{}
		for of := range counted {
			distinct[of.group]++
		}
		fits := len(counted) <= refusedInShard
		for of := range counted {
			switch {
			case ofGroup[of.group] > refusedOfGroup:
				t.Fatalf("%s has %d entries", of.group, ofGroup[of.group])
			case !there[of] && latest[of] > oldest[of.group] && oldest[of.group] > 0:
				t.Fatalf("%+v is left out, and was refused later than others of its group", of)
			case !there[of] && fits && distinct[of.group] <= refusedOfGroup:
				t.Fatalf("%+v is left out, and there was room", of)
			}
		}
	})
}

// TestRefusedKeysAreNeverLost: what is counted while a report is made is in that report or in the next.
func TestRefusedKeysAreNeverLost(t *testing.T) {
	const goroutines, each = 4, 5000
	r := New()
	var counting sync.WaitGroup
	for of := range goroutines {
		counting.Go(func() {
			for i := range each {
				r.RefusedKey("tenants/acme", fmt.Sprintf("k%d", (of+i)%3), decision.RateLimited, &decision.Request{Origin: "https://acme.com"}, time.UnixMilli(int64(i)))
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
		for _, said := range r.RefusedKeys() {
			sum += said.GetRequests()
		}
	}
	if sum != goroutines*each {
		t.Errorf("%d of %d", sum, goroutines*each)
	}
}

// BenchmarkRefusedOrigins measures what is counted before, with an origin as browsers write it and as it is reported, and with texts that are parsed each time.
func BenchmarkRefusedOrigins(b *testing.B) {
	for name, request := range map[string]*decision.Request{
		"as reported": {Origin: "https://evil.example"}, "with a port": {Origin: "https://evil.example:8443"}, "Referer": {Referer: "https://evil.example/page"},
	} {
		b.Run(name, func(b *testing.B) {
			r := New()
			b.ReportAllocs()
			for b.Loop() {
				r.RefusedKey("tenants/acme", "k1", decision.OriginDenied, request, time.UnixMilli(1))
			}
		})
	}
}

// BenchmarkRefusedKeys measures what is counted before, and what finds no room.
func BenchmarkRefusedKeys(b *testing.B) {
	for _, keys := range []int{1, refusedOfGroup, 2 * refusedOfGroup} {
		b.Run(fmt.Sprintf("%d keys", keys), func(b *testing.B) {
			r, ids, i := New(), make([]string, keys), 0
			for n := range ids {
				ids[n] = fmt.Sprintf("k%d", n)
			}
			request := &decision.Request{Origin: "https://evil.example"}
			b.ReportAllocs()
			for b.Loop() {
				i++
				r.RefusedKey("tenants/acme", ids[i%keys], decision.OriginDenied, request, time.UnixMilli(int64(i)))
			}
		})
	}
}
