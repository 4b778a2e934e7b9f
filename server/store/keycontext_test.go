package store

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// TestContextOfAKey: it is kept over a restart, follows the key, is laid over what the group has then, and a key with a value that
// cannot be sent is refused, because the content server might restrict what it is for.
func TestContextOfAKey(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	of := func(s *Store, n int) string {
		t.Helper()
		match, ok := s.Find(digestOf(n))
		if !ok {
			return "none"
		}
		var values []string
		for _, value := range match.Key.Scope.Context {
			values = append(values, value.Header+": "+value.Value)
		}
		return strings.Join(values, ", ")
	}
	acme := group("acme")
	acme.Context = map[string]string{"plan": "gold", "database": "acme"}
	with, plain := key("acme", 1), key("acme", 2)
	with.Context = map[string]string{"plan": "trial", "customer": "17"}
	apply(t, s, &syncv1.Update{Revision: 1, CaughtUp: true, Groups: []*syncv1.Group{acme}, Keys: []*syncv1.Key{with, plain}})
	const want = "X-Keyward-Context-Customer: 17, X-Keyward-Context-Plan: trial"
	if of(s, 1) != want || of(s, 2) != "" {
		t.Fatalf("%q, %q", of(s, 1), of(s, 2))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	if of(s, 1) != want || of(s, 2) != "" {
		t.Fatalf("after a restart: %q, %q", of(s, 1), of(s, 2))
	}
	changed, _ := proto.Clone(with).(*syncv1.Key)
	changed.Context["plan"] = "silver"
	delete(changed.Context, "customer")
	apply(t, s, &syncv1.Update{Revision: 2, Keys: []*syncv1.Key{changed}})
	if of(s, 1) != "X-Keyward-Context-Plan: silver" || len(s.scopes.byEncoding) != 2 {
		t.Fatalf("changed: %q, %d scopes", of(s, 1), len(s.scopes.byEncoding))
	}
	changed.Context["bad name"] = "x"
	apply(t, s, &syncv1.Update{Revision: 3, Keys: []*syncv1.Key{changed}})
	if rejected := s.Rejections(true).GetRecords(); of(s, 1) != "none" || len(rejected) != 1 ||
		!strings.Contains(rejected[0].GetReason(), `context value "bad name"`) {
		t.Fatalf("with a name that is no header's: %q, %v", of(s, 1), rejected)
	}
}
