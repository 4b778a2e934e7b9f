package syncv1_test

import (
	"bytes"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

var keys = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) *syncv1.Key {
	return &syncv1.Key{
		Id: fmt.Sprintf("k%d", rapid.IntRange(0, 99).Draw(t, "id")), Group: "tenants/acme",
		Projects: rapid.SliceOfN(rapid.StringN(0, 5, -1), 0, 2).Draw(t, "projects"), Suspended: rapid.Bool().Draw(t, "suspended"),
		Versions: []*syncv1.Version{{Digest: rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"),
			ExpiresAtMs: rapid.Int64().Draw(t, "expires")}},
	}
}), 1, 10, (*syncv1.Key).GetId)

// TestContentHash: it is the same for the same records in any order, and different if one is missing, doubled, changed or of another
// group.
func TestContentHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		group, keys := &syncv1.Group{Namespace: "tenants", Name: "acme"}, keys.Draw(t, "keys")
		hash := syncv1.ContentHash(group, keys)
		differs := func(what string, group *syncv1.Group, keys []*syncv1.Key) {
			if bytes.Equal(syncv1.ContentHash(group, keys), hash) {
				t.Errorf("%s does not show", what)
			}
		}
		if !bytes.Equal(syncv1.ContentHash(group, rapid.Permutation(keys).Draw(t, "order")), hash) {
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
		group, keys := &syncv1.Group{Namespace: "tenants", Name: "acme"}, keys.Draw(t, "keys")
		var content syncv1.Content
		content.Add(syncv1.HashGroup(group))
		for _, key := range keys {
			content.Add(syncv1.HashKey(key))
		}
		order := rapid.Permutation(keys).Draw(t, "order")
		removed := rapid.IntRange(0, len(keys)).Draw(t, "removed")
		for _, key := range order[:removed] {
			content.Remove(syncv1.HashKey(key))
		}
		if !bytes.Equal(content.Bytes(), syncv1.ContentHash(group, order[removed:])) {
			t.Error("it is not the hash of what is left")
		}
	})
}

func TestHashOfAnEncodedKey(t *testing.T) {
	for _, length := range []int{0, 1, 100, 250, 251, 5000} {
		key := &syncv1.Key{Id: string(bytes.Repeat([]byte("k"), length))}
		encoded, err := proto.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		if syncv1.HashEncodedKey(encoded) != syncv1.HashKey(key) {
			t.Errorf("an id of %d bytes: another hash", length)
		}
	}
}

func BenchmarkHashEncodedKey(b *testing.B) {
	encoded := make([]byte, 98)
	b.ReportAllocs()
	for b.Loop() {
		syncv1.HashEncodedKey(encoded)
	}
}
