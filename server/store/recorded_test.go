package store

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// TestRecordedStream: the stream of the first manager is applied as it was then, and nothing in it is rejected.
func TestRecordedStream(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "api", "sync", "v1", "testdata", "first.down.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	s, in := open(t, Config{Dir: t.TempDir()}), bufio.NewReader(file)
	for {
		response := &syncv1.SyncResponse{}
		if err := protodelim.UnmarshalFrom(in, response); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if update := response.GetUpdate(); update != nil {
			apply(t, s, update)
		}
	}
	for range 2 {
		if list := s.Rejections(true); list != nil {
			t.Errorf("rejected %v", list)
		}
		if got := versionsOf(t, s); len(got) != 1 || got["tenants/acme"] != "two" || !s.Synced() || s.Revision() != 8 {
			t.Errorf("known %v, revision %d", got, s.Revision())
		}
		find := func(b byte) decision.Match {
			var digest keyformat.Digest
			for i := range digest {
				digest[i] = b
			}
			match, ok := s.Find(digest)
			if ok != (b != 4) {
				t.Errorf("key %d: known is %t", b, ok)
			}
			return match
		}
		match := find(1)
		if match.Key.ID != "k1" || match.Key.Suspended || match.Version.Revoked || match.Version.ExpiresAtMillis != 4_000_000_000_000 ||
			match.Version.RetiresAtMillis != 3_900_000_000_000 || match.Key.Rate != (decision.RateLimit{PerSecond: 5, Burst: 10}) {
			t.Errorf("k1 is %+v", match)
		}
		group := match.Group
		if group.DisplayName != "Acme Inc" || group.Tier != "Pro" || group.State != decision.Active || len(group.Projects) != 2 ||
			len(group.Projects[0].Routes) != 1 || len(group.Projects[0].Origins.Patterns) != 1 || len(group.Projects[0].Origins.Shared) != 1 ||
			!group.Projects[1].OwnsAll || len(group.Capabilities) != 1 || len(group.Context) != 1 || !group.SharedCaching ||
			group.Limits != (decision.Limits{RequestQuota: true, ByteQuota: true, Metered: true, DenyUnknown: true,
				Rate: decision.RateLimit{PerSecond: 50, Burst: 100}}) {
			t.Errorf("the group is %+v", group)
		}
		if !find(2).Key.Suspended || !find(3).Version.Revoked || s.secret.Load() == nil {
			t.Error("a key is not suspended or revoked, or there is no secret")
		}
		find(4)
		s = open(t, s.config) // and after a restart
	}
}
