package usage

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/test/cost"
)

func TestSizesOfRecords(t *testing.T) {
	k, of, v, m := unsafe.Sizeof(key{}), unsafe.Sizeof(more{}), unsafe.Sizeof(version{}), unsafe.Sizeof(monitor{})
	if k != 72 || of != 8 || v != 48 || m != 32 {
		t.Errorf("%d, %d, %d and %d bytes", k, of, v, m)
	}
}

// TestKeysAreNotObjects of their own for the garbage collector, and take little memory: 72 bytes and their part of the index, and 20,000 of
// them their origins.
func TestKeysAreNotObjects(t *testing.T) {
	const keys = 100_000
	before, after := runtime.MemStats{}, runtime.MemStats{}
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := New()
	request := &decision.Request{Origin: "https://www.acme.com"}
	for i := range keys {
		id := fmt.Sprintf("k%016x", i)
		request.Credential.Digest = keyformat.DigestOf(id)
		r.Used(id, acme, request, start, false, home)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	objects, bytes := float64(after.HeapObjects)-float64(before.HeapObjects), float64(after.HeapAlloc)-float64(before.HeapAlloc)
	t.Logf("%.0f objects, %.0f bytes for each key", objects, bytes/keys)
	if objects > keys/50 || bytes > 110*keys {
		t.Errorf("%.0f objects, %.0f bytes for each key", objects, bytes/keys)
	}
	runtime.KeepAlive(r)
}

// TestAReportOfManyKeysTakesLittleMemory: of all keys, only as many as are asked for are kept.
func TestAReportOfManyKeysTakesLittleMemory(t *testing.T) {
	const keys, limit, bound = 100_000, 10, 4 << 20 // all at once are 13 MB
	r := New()
	for i := range keys {
		r.Count(fmt.Sprintf("k%016x", i), "tenants/acme", uint64(1+i%1000), start)
	}
	before, most, looked := cost.InUse(), uint64(0), 0
	reported, total := r.Report(func(string, string) bool {
		if looked++; looked%5000 == 0 {
			most = max(most, cost.InUse())
		}
		return true
	}, limit)
	if total != keys || len(reported) != limit || reported[limit-1].Requests != 1000 {
		t.Errorf("%d of %d: %+v", len(reported), total, reported)
	}
	if most > before+bound {
		t.Errorf("%d bytes are in use while keys are reported", most-before)
	}
	runtime.KeepAlive(r)
}

// TestConcurrentForgetting uses, counts, persists, reports and forgets keys at the same time, while months pass; then all
// are forgotten.
func TestConcurrentForgetting(t *testing.T) {
	r := New()
	const step, steps = 6 * time.Hour, 1000
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for n := range steps {
				now := start.Add(time.Duration(n) * step)
				id, group := fmt.Sprintf("a key of some length %d", (n/7+worker)%20), &decision.Group{Identity: fmt.Sprint("tenants/", n%3)}
				request := &decision.Request{Origin: fmt.Sprintf("https://%d.acme.com", n%13)}
				request.Credential.Digest = keyformat.DigestOf(fmt.Sprint(id, n%3))
				r.Used(id, group, request, now, n%2 == 0, home)
				r.Count(id, group.Identity, 2, now)
				switch n % 10 {
				case 0:
					_ = slices.Collect(r.Since(now.Add(-step), now))
				case 5:
					r.Recorded(&syncv1.KeysRecorded{NowMs: now.UnixMilli(), Keys: slices.Collect(r.Keys(n%20 == 0))}, now)
				case 9:
					r.Report(func(string, string) bool { return true }, 1)
				}
			}
		})
	}
	all.Wait()
	keys, _ := r.Report(func(string, string) bool { return true }, 20)
	for _, k := range keys { // each may have been forgotten at any moment, and have begun again
		if k.Requests == 0 || k.Requests > 4*3*steps {
			t.Errorf("%+v", k)
		}
	}
	checkEmpty(t, r, start.Add(steps*step))
}
