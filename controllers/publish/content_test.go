package publish

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

var anyKeys = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) *syncv1.Key {
	return &syncv1.Key{
		Id: fmt.Sprintf("k%d", rapid.IntRange(0, 99).Draw(t, "id")), Group: "tenants/acme",
		Projects: rapid.SliceOfN(rapid.StringN(0, 5, -1), 0, 2).Draw(t, "projects"), Suspended: rapid.Bool().Draw(t, "suspended"),
		Versions: []*syncv1.Version{{Digest: rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"),
			ExpiresAtMs: rapid.Int64().Draw(t, "expires")}},
	}
}), 1, 10, (*syncv1.Key).GetId)

func contentOf(group *syncv1.Group, keys []*syncv1.Key) (c content) {
	c.add(hashGroup(group))
	for _, key := range keys {
		c.add(hashKey(key))
	}
	return c
}

// TestContentHash: it is the same for the same records in any order, and different if one is missing, doubled, changed or of another
// group.
func TestContentHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		group, keys := &syncv1.Group{Namespace: "tenants", Name: "acme"}, anyKeys.Draw(t, "keys")
		hash := contentOf(group, keys)
		differs := func(what string, group *syncv1.Group, keys []*syncv1.Key) {
			if contentOf(group, keys) == hash {
				t.Errorf("%s does not show", what)
			}
		}
		if contentOf(group, rapid.Permutation(keys).Draw(t, "order")) != hash {
			t.Error("the order matters")
		}
		differs("a missing key", group, keys[1:])
		differs("a doubled key", group, append(keys[:1:1], keys...))
		differs("another group", &syncv1.Group{Namespace: "tenants", Name: "umbrella"}, keys)
		changed := proto.CloneOf(keys[0])
		changed.Versions[0].Revoked = true
		differs("a changed key", group, append([]*syncv1.Key{changed}, keys[1:]...))
	})
}

// TestContentFollows: adding and removing records in any order results in the hash of the remaining records.
func TestContentFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		group, keys := &syncv1.Group{Namespace: "tenants", Name: "acme"}, anyKeys.Draw(t, "keys")
		has := contentOf(group, keys)
		order := rapid.Permutation(keys).Draw(t, "order")
		removed := rapid.IntRange(0, len(keys)).Draw(t, "removed")
		for _, key := range order[:removed] {
			has.remove(hashKey(key))
		}
		if has != contentOf(group, order[removed:]) {
			t.Error("it is not the hash of what is left")
		}
	})
}
