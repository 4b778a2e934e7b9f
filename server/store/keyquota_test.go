package store

import (
	"testing"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// TestQuotaOfAKey: whether a key has a quota of its own is kept over a restart and follows the key, and keys that have one share a
// scope.
func TestQuotaOfAKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	check := func(when string, want ...bool) {
		t.Helper()
		for i, limited := range want {
			match, ok := s.Find(digestOf(i + 1))
			if !ok || match.Key.Scope.Quota != limited {
				t.Errorf("%s: key %d: known %t, has a quota: %t", when, i+1, ok, match.Key.Scope.Quota)
			}
		}
		if len(s.scopes.byEncoding) != 2 {
			t.Errorf("%s: %d scopes", when, len(s.scopes.byEncoding))
		}
	}
	first, second, plain := key("acme", 1), key("acme", 2), key("acme", 3)
	first.Quota, second.Quota = true, true
	apply(t, s, &syncv1.Update{
		Revision: 1, CaughtUp: true, Groups: []*syncv1.Group{group("acme")}, Keys: []*syncv1.Key{first, second, plain},
	})
	check("applied", true, true, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	check("after a restart", true, true, false)
	changed, _ := proto.Clone(first).(*syncv1.Key)
	changed.Quota = false
	apply(t, s, &syncv1.Update{Revision: 2, Keys: []*syncv1.Key{changed}})
	check("changed", false, true, false)
}
