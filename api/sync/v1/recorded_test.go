package syncv1_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Streams that were recorded once are read by every later build: testdata has the bytes of the messages, and what they say as JSON.
// They are never written again. When a field is added, -record adds a stream that has it, under a new name.

var record = flag.String("record", "", "write a stream with all fields to testdata, under this name, which is not in use")

func streamPath(name string) string { return filepath.Join("testdata", name) }

// TestRecordedStreams: the bytes of all recorded streams mean what they meant when they were recorded.
func TestRecordedStreams(t *testing.T) {
	if *record != "" {
		write(t, *record+".down", down())
		write(t, *record+".up", up())
	}
	names, err := filepath.Glob(streamPath("*.binpb"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d streams, %v", len(names), err)
	}
	for _, name := range names {
		message := func() proto.Message { return &syncv1.SyncRequest{} }
		if strings.Contains(name, ".down") {
			message = func() proto.Message { return &syncv1.SyncResponse{} }
		}
		encoded, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var said []json.RawMessage
		text, err := os.ReadFile(strings.TrimSuffix(name, ".binpb") + ".json")
		if err != nil || json.Unmarshal(text, &said) != nil {
			t.Fatalf("%s has no JSON: %v", name, err)
		}
		in := bytes.NewReader(encoded)
		for i, text := range said {
			got, want := message(), message()
			if err := protodelim.UnmarshalFrom(in, got); err != nil {
				t.Fatalf("%s: message %d: %v", name, i, err)
			}
			if err := protojson.Unmarshal(text, want); err != nil {
				t.Fatalf("%s: message %d: %v", name, i, err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("%s: message %d is %v, and was %v", name, i, got, want)
			}
		}
		if in.Len() > 0 {
			t.Errorf("%s: %d bytes are left", name, in.Len())
		}
	}
}

// TestEveryFieldIsRecorded: there is a recorded stream with each field of each message.
func TestEveryFieldIsRecorded(t *testing.T) {
	recorded := map[protoreflect.FullName]bool{}
	names, err := filepath.Glob(streamPath("*.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		encoded, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for in := bytes.NewReader(encoded); in.Len() > 0; {
			var message proto.Message = &syncv1.SyncRequest{}
			if strings.Contains(name, ".down") {
				message = &syncv1.SyncResponse{}
			}
			if err := protodelim.UnmarshalFrom(in, message); err != nil {
				t.Fatal(err)
			}
			note(message.ProtoReflect(), recorded)
		}
	}
	messages := syncv1.File_sync_v1_sync_proto
	if messages == nil {
		t.Fatal("no descriptor")
	}
	for i := range messages.Messages().Len() {
		fields := messages.Messages().Get(i).Fields()
		if messages.Messages().Get(i).IsMapEntry() {
			continue
		}
		for j := range fields.Len() {
			if name := fields.Get(j).FullName(); !recorded[name] {
				t.Errorf("no recorded stream has %s: add one with -record", name)
			}
		}
	}
}

func note(message protoreflect.Message, recorded map[protoreflect.FullName]bool) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		recorded[field.FullName()] = true
		switch {
		case field.IsMap() || field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				note(value.List().Get(i).Message(), recorded)
			}
		default:
			note(value.Message(), recorded)
		}
		return true
	})
}

func write[M proto.Message](t *testing.T, name string, messages []M) {
	t.Helper()
	if _, err := os.Stat(streamPath(name + ".binpb")); err == nil {
		t.Fatalf("%s is recorded already, and is never written again", name)
	}
	var encoded bytes.Buffer
	var said []json.RawMessage
	for _, message := range messages {
		if _, err := protodelim.MarshalTo(&encoded, message); err != nil {
			t.Fatal(err)
		}
		text, err := protojson.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, text)
	}
	text, err := json.MarshalIndent(said, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for ending, data := range map[string][]byte{".binpb": encoded.Bytes(), ".json": append(text, '\n')} {
		if err := os.WriteFile(streamPath(name+ending), data, 0o644); err != nil { //nolint:gosec // everybody may read it
			t.Fatal(err)
		}
	}
}

func features() (all []syncv1.Feature) {
	values := syncv1.Feature(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		all = append(all, syncv1.Feature(values.Get(i).Number()))
	}
	return all
}

func digest(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// down is a stream of the manager: a catch-up with a group that is sent whole, and changes.
func down() []*syncv1.SyncResponse {
	group := &syncv1.Group{
		Namespace: "tenants", Name: "acme", DisplayName: "Acme Inc", State: syncv1.GroupState_GROUP_STATE_ACTIVE, Tier: "Pro",
		Projects: []*syncv1.Project{
			{Name: "marketing", Routes: []*syncv1.Route{{
				Methods: []string{"GET"}, Hosts: []string{"cdn.acme.com"}, Paths: []string{"/api/scenes/mkt-*"},
				Query: []*syncv1.QueryMatch{{Name: "siteId", Values: []string{"42"}}},
			}}, Origins: &syncv1.OriginPolicy{Patterns: []string{"https://acme.com"}, AllowLocalhost: true, AllowMissing: true}, PublicPaths: []string{"/robots.txt", "/.well-known/**"}},
			{Name: "other", OwnsAll: true},
		},
		Capabilities:  []*syncv1.Capability{{Name: "checkout", Cost: proto.Uint32(5), Routes: []*syncv1.Route{{Methods: []string{"POST"}, Paths: []string{"/tenant/**"}}}}},
		Context:       map[string]string{"database": "acme_prod"},
		SealedContext: map[string]string{"payment": "v1.2026.c2VhbGVk"},
		Limits:        &syncv1.Limits{RequestQuota: true, ByteQuota: true, Overage: syncv1.Overage_OVERAGE_METER, DenyUnknown: true, Rate: rate(50)},
		Caching:       syncv1.Caching_CACHING_SHARED,
		AcceptIn:      []syncv1.KeyLocation{syncv1.KeyLocation_KEY_LOCATION_QUERY, syncv1.KeyLocation_KEY_LOCATION_WEBSOCKET_PROTOCOL},
		QuotaPeriod:   &syncv1.QuotaPeriod{AnchorDay: 15, Starts: []int32{20_757, 20_788, 20_818}},
		SharedOrigins: []*syncv1.SharedOrigins{{Owners: []uint32{0, 1}, Patterns: []string{"https://shop.acme.com"}}},

		RequireAddresses: true,
	}
	key := func(id string, b byte) *syncv1.Key {
		return &syncv1.Key{
			Id: id, Group: "tenants/acme", Projects: []string{"marketing"}, Permissions: []string{"read", "checkout"}, Rate: rate(5),
			Context:  map[string]string{"plan": "trial"},
			Quota:    true,
			Versions: []*syncv1.Version{{Digest: digest(b), ExpiresAtMs: 4_000_000_000_000, RetiresAtMs: 3_900_000_000_000}},
		}
	}
	suspended, revoked := key("k2", 2), key("k3", 3)
	suspended.Suspended, revoked.Versions[0].Revoked = true, true
	suspended.Versions[0].UrlSecret = digest(8)
	suspended.Clients, suspended.Addresses = syncv1.Clients_CLIENTS_SERVER, []string{"192.0.2.0/24", "2001:db8::/32"}
	version := func(text string) []*syncv1.GroupVersion {
		return []*syncv1.GroupVersion{{Group: "tenants/acme", Version: []byte(text)}}
	}
	update := func(u *syncv1.Update) *syncv1.SyncResponse {
		return &syncv1.SyncResponse{Message: &syncv1.SyncResponse_Update{Update: u}}
	}
	return []*syncv1.SyncResponse{
		{Message: &syncv1.SyncResponse_Welcome{Welcome: &syncv1.Welcome{Features: features()}}},
		update(&syncv1.Update{ReplacedGroups: []string{"tenants/acme"}, Groups: []*syncv1.Group{group}, Keys: []*syncv1.Key{key("k1", 1)}, DigestSecret: digest(9)}),
		update(&syncv1.Update{Keys: []*syncv1.Key{suspended, key("k4", 4)}, Versions: version("one")}),
		update(&syncv1.Update{Revision: 7, CaughtUp: true, DeletedGroups: []string{"tenants/gone"}}),
		update(&syncv1.Update{Revision: 8, Keys: []*syncv1.Key{revoked}, DeletedKeys: []string{"k4"}, Versions: version("two")}),
		{Message: &syncv1.SyncResponse_Allowances{Allowances: &syncv1.Allowances{NowMs: 1_800_000_000_000, Groups: []*syncv1.Allowance{{
			Group: "tenants/acme", Period: "2026-11", ResetsAtMs: 1_800_000_000_001, Leased: 100, Sequence: 3, Recall: true,
			State: syncv1.QuotaState_QUOTA_STATE_EXHAUSTED, Recorded: use(), Refused: "an example", RefuseFrom: 4, Key: "k1",
			Whole: &syncv1.WholeQuota{Requests: 1_000, Used: 7},
		}}}}},
		{Message: &syncv1.SyncResponse_Servers{Servers: &syncv1.Servers{StartupGrace: true,
			Groups: []*syncv1.GroupServers{{Group: "tenants/acme", Servers: 3}}}}},
		{Message: &syncv1.SyncResponse_Keys{Keys: &syncv1.KeysRecorded{NowMs: 1_800_000_000_000, Keys: []*syncv1.KeyUse{keyUse()}}}},
	}
}

// up is a stream of a server.
func up() []*syncv1.SyncRequest {
	rejections := &syncv1.Rejections{More: true, Records: []*syncv1.Rejected{
		{Kind: syncv1.RecordKind_RECORD_KIND_GROUP, Id: "tenants/acme", Reason: "field 99 is of a later release"},
	}}
	return []*syncv1.SyncRequest{
		{Message: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{
			Instance: "validator-0", Selector: &syncv1.GroupSelector{Groups: []string{"tenants/acme"}, Namespaces: []string{"shops"}},
			Known: []*syncv1.KnownGroup{{Group: "tenants/acme", Version: []byte("one")}}, Features: features(), Incarnation: "4XYZ",
			Rejections: rejections, Version: "v0.1.0",
		}}},
		{Message: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Revision: 7, Rejections: rejections}}},
		{Message: &syncv1.SyncRequest_Versions{Versions: &syncv1.VersionReport{ThroughMs: 1_800_000_000_000, Versions: []*syncv1.VersionUse{
			{Digest: digest(1), LastMs: 1_799_999_999_999, Clients: []uint64{1, 2}, MoreClients: true},
		}}}},
		{Message: &syncv1.SyncRequest_Keys{Keys: &syncv1.KeyReport{Keys: []*syncv1.KeyUse{keyUse()}}}},
		{Message: &syncv1.SyncRequest_Quotas{Quotas: &syncv1.QuotaReport{Groups: []*syncv1.GroupUse{use()}}}},
		{Message: &syncv1.SyncRequest_Traffic{Traffic: &syncv1.TrafficReport{Groups: []*syncv1.GroupTraffic{{
			Group: "tenants/acme", Refusals: map[string]uint64{"origin_denied": 3},
			Origins: []*syncv1.OriginUse{{Origin: "https://shop.acme.com", Requests: 80}}, Public: 7,
			RefusedOrigins: []*syncv1.OriginUse{{Origin: "https://copy.example", Requests: 3}},
		}}}}},
		{Message: &syncv1.SyncRequest_Refusals{Refusals: &syncv1.KeyRefusalReport{Keys: []*syncv1.KeyRefusal{{
			Group: "tenants/acme", Key: "k1", Code: "origin_denied", Requests: 3,
			FirstMs: 1_799_999_999_000, LastMs: 1_799_999_999_999, Origin: "https://copy.example",
		}}}}},
	}
}

func rate(perSecond uint32) *syncv1.RateLimit {
	return &syncv1.RateLimit{PerSecond: perSecond, Burst: 2 * perSecond}
}

func keyUse() *syncv1.KeyUse {
	return &syncv1.KeyUse{Key: "k1", Group: "tenants/acme", Period: "2026-11", Requests: 12, Recorded: 10}
}

func use() *syncv1.GroupUse {
	return &syncv1.GroupUse{
		Group: "tenants/acme", Period: "2026-11", Requests: 90, Bytes: 1 << 40, UnconfirmedRequests: 2, Leased: 100, Sequence: 3,
		Spent: 88, Wants: 50, Needs: 5, Closed: true, Key: "k1",
	}
}
