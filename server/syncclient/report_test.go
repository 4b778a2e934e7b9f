package syncclient

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/usage"
	"github.com/keyward-dev/keyward/test/cost"
)

// sent is a stream that counts what is sent on it, and how much heap is in use meanwhile.
type sent struct {
	syncStream

	keys, versions, complete int
	most                     uint64 // bytes
}

func (s *sent) Send(request *syncv1.SyncRequest) error {
	s.keys += len(request.GetKeys().GetKeys())
	s.versions += len(request.GetVersions().GetVersions())
	if request.GetVersions().GetThroughMs() != 0 {
		s.complete++
	}
	s.most = max(s.most, cost.InUse())
	return nil
}

// TestReportsOfManyKeysTakeLittleMemory: a report of many keys is not in memory as a whole.
func TestReportsOfManyKeysTakeLittleMemory(t *testing.T) {
	const used, most = 100_000, 4 << 20 // all at once are 14 MB
	recorder, group, now := usage.New(), &decision.Group{Identity: "tenants/acme"}, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	request := &decision.Request{}
	for i := range used {
		id := fmt.Sprintf("k%016x", i)
		request.Credential.Digest = keyformat.DigestOf(id)
		recorder.Used(id, group, request, now, false, netip.Addr{})
	}
	stream := &sent{}
	r := &reporter{stream: stream}
	before := cost.InUse()
	if err := r.keys(recorder.Keys(true)); err != nil {
		t.Fatal(err)
	}
	if err := r.versions(recorder.Since(now, now), now); err != nil {
		t.Fatal(err)
	}
	if stream.keys != used || stream.versions != used || stream.complete != 1 {
		t.Errorf("sent %d keys and %d versions, and said %d times that they are complete", stream.keys, stream.versions, stream.complete)
	}
	if stream.most > before+most {
		t.Errorf("%d bytes are in use while keys are reported", stream.most-before)
	}
	runtime.KeepAlive(recorder)
}
