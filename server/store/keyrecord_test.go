package store

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

func (k *keyRecord) equal(other *keyRecord) bool {
	return bytes.Equal(k.id, other.id) && bytes.Equal(k.scope, other.scope) && k.rateAt == other.rateAt &&
		k.suspended == other.suspended && slices.Equal(k.versions, other.versions)
}

func (k *keyRecord) encode() []byte {
	return encodeKey(nil, k.id, k.scope[:k.rateAt], k.scope[k.rateAt:], k.suspended, k.versions)
}

// TestKeyRecordIsProtobuf: the encoding is the one of protobuf, and it is decoded without falling back to protobuf.
func TestKeyRecordIsProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wire := anyKey.Draw(t, "key")
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(wire)
		if err != nil {
			t.Fatal(err)
		}
		var set, decoded keyRecord
		if set.set(wire) != 0 || !bytes.Equal(set.encode(), want) {
			t.Fatalf("encoded as %x, want %x", set.encode(), want)
		}
		if !decoded.decode(want) || !decoded.equal(&set) {
			t.Fatalf("decoded as %+v, want %+v", decoded, set)
		}
		scope, err := decodeScope(set.scope)
		if err != nil || !proto.Equal(scope, &syncv1.Key{Group: wire.GetGroup(), Projects: wire.GetProjects(),
			Permissions: wire.GetPermissions(), Rate: wire.GetRate(), Clients: wire.GetClients(), Addresses: wire.GetAddresses(),
			Context: wire.GetContext(), Quota: wire.GetQuota()}) {
			t.Fatalf("the scope is %v, %v", scope, err)
		}
	})
}

// FuzzKeyRecord: anything that is decoded, protobuf decodes to the same.
func FuzzKeyRecord(f *testing.F) {
	encoded, err := proto.Marshal(key("acme", 1))
	if err != nil {
		f.Fatal(err)
	}
	empty := encodeKey(nil, "k1", string(protowire.AppendTag(nil, keyGroup, protowire.BytesType))+"\x00", "", true, nil)
	limited := key("acme", 2)
	limited.Rate = &syncv1.RateLimit{PerSecond: 1, Burst: 300}
	rated, err := proto.Marshal(limited)
	if err != nil {
		f.Fatal(err)
	}
	limited.Clients, limited.Addresses = syncv1.Clients_CLIENTS_SERVER, []string{"192.0.2.0/24", "2001:db8::/32"}
	restricted, err := proto.Marshal(limited)
	if err != nil {
		f.Fatal(err)
	}
	limited.Context = map[string]string{"plan": "trial", "tenant": ""}
	withContext, err := proto.MarshalOptions{Deterministic: true}.Marshal(limited)
	if err != nil {
		f.Fatal(err)
	}
	limited.Quota = true
	withQuota, err := proto.MarshalOptions{Deterministic: true}.Marshal(limited)
	if err != nil {
		f.Fatal(err)
	}
	limited.Versions[0].RetiresAtMs, limited.Versions[0].UrlSecret = 1_800_000_000_000, bytes.Repeat([]byte{7}, 32)
	signing, err := proto.MarshalOptions{Deterministic: true}.Marshal(limited)
	if err != nil {
		f.Fatal(err)
	}
	limited.Versions[0].UrlSecret = []byte{7}
	short, err := proto.MarshalOptions{Deterministic: true}.Marshal(limited)
	if err != nil {
		f.Fatal(err)
	}
	entry := func(encoded string) []byte {
		return slices.Concat(rated, []byte{0x5a, byte(len(encoded))}, []byte(encoded))
	}
	for _, seed := range [][]byte{
		signing, short, slices.Concat(signing, signing), restricted, slices.Concat(rated, []byte{0x48, 0}), slices.Concat(rated, []byte{0x48, 1, 0x48, 2}),
		slices.Concat(rated, []byte{0x48, 3}), slices.Concat(rated, []byte{0x52, 1, 0xff}),
		withContext, slices.Concat(withContext, withContext[len(withContext)-10:]), withContext[:len(withContext)-1], entry(""), entry("\n\x01b\x12\x01x"), entry("\x12\x01x\n\x01b"),
		entry("\n\x81\x00b\x12\x01x"), entry("\n\x01b"), entry("\n\x01b\x12\x01\xff"), entry("\n\x01b\x12\x01x\x18\x01"),
		withQuota, slices.Concat(withQuota, []byte{0x60, 1}), slices.Concat(withContext, []byte{0x60, 0}), slices.Concat(withContext, []byte{0x60, 2}),
		encoded, slices.Concat(encoded, encoded), encoded[:len(encoded)-1], {}, empty, rated, slices.Concat(rated, rated[len(rated)-3:]),
		encodeKey(nil, "k\xff", "", "", false, nil),                            // not UTF-8
		encodeKey(nil, "k1", "\x1a\x01x\x30\x00\x30\x01", "", false, nil),      // the name of earlier releases; suspended, twice
		encodeKey(nil, "k1", "", "", false, make([]keytable.Version, 2)),       // digests of zeros
		append(encodeKey(nil, "k1", "", "", false, nil), 0x3a, 2, 0x08, 1),     // a digest that is a number
		append(encodeKey(nil, "k1", "", "", false, nil), 0x0b, 0x0c, 0x0d, 14), // groups
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		var got, want keyRecord
		if !got.decode(encoded) {
			return
		}
		wire := &syncv1.Key{}
		if err := proto.Unmarshal(encoded, wire); err != nil {
			t.Fatalf("protobuf: %v", err)
		}
		if leftOut := want.set(wire); leftOut > 0 || !got.equal(&want) {
			t.Fatalf("decoded as %+v, want %+v without %d", got, want, leftOut)
		}
	})
}

// TestEncodedUpdatesAreUpdates: any update has the same effect as a message and in the journal.
func TestEncodedUpdatesAreUpdates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		message, encoded := open(t, Config{}), open(t, Config{})
		for range rapid.IntRange(1, 4).Draw(rt, "updates") {
			update := &syncv1.Update{Revision: rapid.Uint64().Draw(rt, "revision"), CaughtUp: rapid.Bool().Draw(rt, "caught up")}
			for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(rt, "groups") {
				update.Groups = append(update.Groups, group(name))
			}
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 5), 0, 6).Draw(rt, "keys") {
				wire := key(rapid.SampledFrom([]string{"a", "b", "none"}).Draw(rt, "group"), n)
				wire.Suspended = rapid.Bool().Draw(rt, "suspended")
				if rapid.Bool().Draw(rt, "limited") {
					wire.Rate = &syncv1.RateLimit{PerSecond: rapid.Uint32Range(1, 2).Draw(rt, "per second"), Burst: 3}
				}
				switch rapid.IntRange(0, 9).Draw(rt, "oddity") {
				case 0:
					wire.Versions[0].Digest = wire.Versions[0].Digest[1:]
				case 1:
					wire.Id = ""
				case 2:
					wire.Id = string(bytes.Repeat([]byte("x"), keytable.MaxID+1))
				case 3:
					wire.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "of a later release"))
				}
				update.Keys = append(update.Keys, wire)
			}
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 5), 0, 2).Draw(rt, "deleted") {
				update.DeletedKeys = append(update.DeletedKeys, key("a", n).GetId())
			}
			update.DeletedGroups = rapid.SliceOfN(rapid.SampledFrom([]string{"tenants/a", "tenants/b"}), 0, 1).Draw(rt, "deleted groups")
			for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"tenants/a", "tenants/b"}), 0, 2).Draw(rt, "versions") {
				update.Versions = append(update.Versions, &syncv1.GroupVersion{Group: name, Version: []byte{byte(update.GetRevision())}})
			}
			update.ReplacedGroups = rapid.SliceOfN(rapid.SampledFrom([]string{"tenants/a", "tenants/b"}), 0, 1).Draw(rt, "replaced")
			data, err := proto.Marshal(update)
			if err != nil {
				rt.Fatal(err)
			}
			message.apply(update)
			if err := encoded.applyEncoded(data); err != nil {
				rt.Fatal(err)
			}
			sameState(rt, encoded, message)
		}
	})
}

// sameState compares two stores, and what one counts with the records that it holds.
func sameState(t *rapid.T, got, want *Store) {
	for n := range 6 {
		gotMatch, gotOK := got.Find(digestOf(n))
		wantMatch, wantOK := want.Find(digestOf(n))
		if gotOK != wantOK || gotMatch.Version != wantMatch.Version || gotMatch.Key.ID != wantMatch.Key.ID ||
			gotMatch.Key.Suspended != wantMatch.Key.Suspended ||
			gotMatch.Key.Rate != wantMatch.Key.Rate {
			t.Fatalf("key %d: %+v, want %+v", n, gotMatch, wantMatch)
		}
	}
	if got.Revision() != want.Revision() || got.Synced() != want.Synced() {
		t.Fatalf("revision %d, synced %v; want %d, %v", got.Revision(), got.Synced(), want.Revision(), want.Synced())
	}
	if !slices.EqualFunc(got.known(), want.known(), func(a, b *syncv1.KnownGroup) bool { return proto.Equal(a, b) }) {
		t.Fatalf("known %v, want %v", got.known(), want.known())
	}
	if !proto.Equal(got.Rejections(true), want.Rejections(true)) {
		t.Fatalf("rejected %v, want %v", got.Rejections(true), want.Rejections(true))
	}
	keys := map[string]int{}
	for key := range want.keys.All() {
		keys[want.scopes.numbered[key.Scope].group.compiled.Identity]++
	}
	for identity, group := range want.groups {
		if group.keys != keys[identity] {
			t.Fatalf("%s: %d keys are counted, %d are there", identity, group.keys, keys[identity])
		}
	}
	used := map[uint32]int{}
	for key := range want.keys.All() {
		used[key.Scope]++
	}
	if len(want.scopes.byEncoding) != len(used) || len(want.scopes.numbered)-len(want.scopes.free) != len(used) {
		t.Fatalf("%d scopes are kept, %d are in use", len(want.scopes.byEncoding), len(used))
	}
}
