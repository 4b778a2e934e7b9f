package publish_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
)

// sent returns the size of what a server received, without the names of what is deleted.
func (s *server) sent() (bytes int) {
	for _, update := range s.received {
		bytes += proto.Size(update)
	}
	return bytes
}

func realKey(i int) *syncv1.Key {
	key := keyRecord(fmt.Sprintf("k%019d", i), acme)
	key.Permissions = []string{"read"}
	key.Versions = []*syncv1.Version{{Digest: bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16), ExpiresAtMs: 1_800_000_000_000}}
	return key
}

// TestReconnectIsCheap: it costs what has changed, and nothing for each key.
func TestReconnectIsCheap(t *testing.T) {
	const keys = 100_000
	hub, _ := newHub(publish.Options{})
	for i := range keys {
		putKey(hub, realKey(i))
	}
	s := connect(hub, "a")
	s.take(t, true)
	s.Close(false)
	s = s.reconnect(hub, "a")
	s.take(t, true)
	if n := s.sent(); n >= 100 {
		t.Errorf("with nothing changed, %d bytes are sent", n)
	}
	t.Logf("nothing changed: %d bytes", s.sent())
	s.Close(false)
	for i := range 10 {
		key := realKey(i * 1000)
		key.Suspended = true
		putKey(hub, key)
	}
	hub.DeleteKey(realKey(5).GetId())
	s = s.reconnect(hub, "a")
	s.take(t, true)
	if n := s.sent(); n >= 4<<10 {
		t.Errorf("with 10 keys changed, %d bytes are sent", n)
	}
	t.Logf("11 of %d keys changed: %d bytes", keys, s.sent())
	if len(s.keys) != keys || !s.keys[realKey(9000).GetId()].GetSuspended() || s.keys[realKey(5).GetId()] != nil {
		t.Errorf("it has %d keys", len(s.keys))
	}
}

// TestChangesAreForgotten: of a group that changes very often only the latest changes are remembered, and a server that lacks
// more is sent the group.
func TestChangesAreForgotten(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	s := connect(hub, "a")
	s.take(t, true)
	s.Close(false)
	for i := range 5000 {
		putKey(hub, keyRecord(fmt.Sprintf("k%d", i%2000), acme))
		hub.DeleteKey(fmt.Sprintf("k%d", (i+1000)%2000))
	}
	s = s.reconnect(hub, "a")
	s.take(t, true)
	if !slices.ContainsFunc(s.received, func(u *syncv1.Update) bool { return slices.Contains(u.GetReplacedGroups(), acme) }) {
		t.Error("all changes are remembered")
	}
	if again := connect(hub, "b"); true {
		again.take(t, true)
		if len(again.keys) != len(s.keys) {
			t.Errorf("%d keys, want %d", len(s.keys), len(again.keys))
		}
	}
}

// TestDeletedGroupEvictsNoChanges: what is remembered of the changes of other groups stays when a large group is deleted.
func TestDeletedGroupEvictsNoChanges(t *testing.T) {
	const groups, changes, large = 256, 1024, "tenants/large" // together as many changes as are remembered
	clk := newClock()
	hub := publish.NewHub(clk, session.NewRegistry(clk, 0), publish.Options{})
	name := func(i int) string { return fmt.Sprintf("tenants/g%d", i) }
	for g := range groups {
		hub.PutGroup(groupRecord(name(g)))
	}
	hub.PutGroup(groupRecord(large))
	for i := range 2000 {
		putKey(hub, keyRecord(fmt.Sprint("large", i), large))
	}
	hub.Open()
	s := connect(hub, "a")
	s.take(t, true)
	known := s.known()
	s.Close(false)
	for g := range groups {
		for i := range changes {
			key := keyRecord(fmt.Sprintf("g%dk%d", g, i%2), name(g))
			key.Suspended = i%4 < 2
			putKey(hub, key)
		}
	}
	sentWhole := func() (whole int) {
		again := subscribe(hub, publish.Subscriber{Instance: "a", Known: maps.Clone(known)})
		again.take(t, true)
		again.Close(false)
		for _, update := range again.received {
			whole += len(update.GetReplacedGroups())
		}
		return whole
	}
	hub.DeleteGroup(large)
	if n := sentWhole(); n > 0 {
		t.Errorf("%d groups are sent whole", n)
	}
	hub.PutGroup(groupRecord("tenants/more")) // itself whole, and another, whose changes make room
	if n := sentWhole(); n != 2 {
		t.Errorf("%d groups are sent whole, so that there was room for more changes", n)
	}
}

// TestInterruptedSliceHasNoVersion: a server that received a part of a group does not claim to have it.
func TestInterruptedSliceHasNoVersion(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	for i := range 20_000 {
		putKey(hub, realKey(i))
	}
	s := connect(hub, "a")
	update, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.apply(update)
	if len(s.keys) == 0 || len(s.keys) == 20_001 {
		t.Fatalf("%d keys in the first slice", len(s.keys))
	}
	s.Close(false)
	s = s.reconnect(hub, "a")
	s.take(t, true)
	if len(s.keys) != 20_001 {
		t.Errorf("%d keys", len(s.keys))
	}
}

// TestWholeGroupDelaysNoOther: while a large group is sent whole, a change of another group is sent with the next update, and
// is in force when it is acknowledged, whether the server catches up or is current.
func TestWholeGroupDelaysNoOther(t *testing.T) {
	const large = "tenants/large"
	big := func(hub *publish.Hub) {
		hub.PutGroup(groupRecord(large))
		for i := range 50_000 {
			key := realKey(i)
			key.Group = large
			putKey(hub, key)
		}
	}
	revoked := keyRecord("k1", acme)
	revoked.Suspended = true
	for name, begin := range map[string]func() (*publish.Hub, *server){
		"catches up": func() (*publish.Hub, *server) {
			hub, _ := newHub(publish.Options{})
			s := connect(hub, "a")
			s.take(t, true)
			s.Close(false)
			big(hub)
			return hub, s.reconnect(hub, "a")
		},
		"is granted the group": func() (*publish.Hub, *server) {
			hub, _ := newHub(publish.Options{})
			big(hub)
			may := granted(acme)
			s := subscribe(hub, publish.Subscriber{Instance: "a", Authorizer: may})
			s.take(t, true)
			may.known[large] = true
			s.Review()
			return hub, s
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub, s := begin()
			next := func() *syncv1.Update {
				update, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.apply(update)
				s.Ack(update.GetRevision())
				return update
			}
			if first := next(); len(first.GetKeys()) == 0 {
				t.Fatalf("the first update is %v", first)
			}
			putKey(hub, revoked)
			change := next()
			if len(change.GetKeys()) != 1 || !s.keys["k1"].GetSuspended() || len(s.keys) >= 50_000 {
				t.Fatalf("a change waits for %d keys", len(change.GetKeys()))
			}
			if e := enforcement(hub, revoked); !e.Complete || e.Acknowledged != 1 {
				t.Errorf("it is acknowledged, and not in force: %+v", e)
			}
			late := realKey(40_000)
			late.Group, late.Suspended = large, true
			putKey(hub, late)
			if e := enforcement(hub, late); e.Complete {
				t.Errorf("a change of the group itself is in force before it was sent: %+v", e)
			}
			s.take(t, true)
			if e := enforcement(hub, late); !e.Complete || e.Acknowledged != 1 || len(s.keys) != 50_001 {
				t.Errorf("%+v, with %d keys", e, len(s.keys))
			}
		})
	}
}

// TestRejections: a server that cannot use a record has not put it in force.
func TestRejections(t *testing.T) {
	hub, clk := newHub(publish.Options{Grace: time.Second})
	a, b := connect(hub, "a"), connect(hub, "b")
	a.take(t, true)
	b.take(t, true)
	var notified []string
	hub.OnEnforced(func(s publish.Subject) { notified = append(notified, s.ID) })
	reject := func(kind syncv1.RecordKind, id string) *syncv1.Rejections {
		return &syncv1.Rejections{Records: []*syncv1.Rejected{{Kind: kind, Id: id, Reason: "of a later release"}}}
	}
	key := keyRecord("k2", acme)
	putKey(hub, key)
	a.take(t, true)
	b.take(t, false)
	b.Reject(reject(syncv1.RecordKind_RECORD_KIND_KEY, "k2"))
	b.take(t, true)
	want := "[{b of a later release}]"
	if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != 1 || fmt.Sprint(e.Rejecting) != want {
		t.Errorf("a key: %+v", e)
	}
	other := keyRecord("k3", acme)
	putKey(hub, other)
	a.take(t, true)
	b.take(t, true)
	if e := enforcement(hub, other); e.Acknowledged != 2 || len(e.Rejecting) > 0 {
		t.Errorf("another key: %+v", e)
	}
	b.Reject(reject(syncv1.RecordKind_RECORD_KIND_GROUP, acme))
	if e := enforcement(hub, other); e.Acknowledged != 1 || fmt.Sprint(e.Rejecting) != want {
		t.Errorf("a key of a group that is rejected: %+v", e)
	}
	if records, servers := hub.Rejected(); records != 2 || servers != 1 { // both keys, by the Group
		t.Errorf("%d records, %d servers", records, servers)
	}
	b.Reject(&syncv1.Rejections{Records: []*syncv1.Rejected{{Kind: syncv1.RecordKind_RECORD_KIND_KEY, Id: "k3", Reason: "\x1b[31mred\n"}}})
	if e := enforcement(hub, other); fmt.Sprint(e.Rejecting) != "[{b  [31mred }]" {
		t.Errorf("a reason that a terminal would obey: %q", fmt.Sprint(e.Rejecting))
	}
	b.Reject(&syncv1.Rejections{More: true})
	if e := enforcement(hub, other); e.Acknowledged != 1 || len(e.Rejecting) != 1 {
		t.Errorf("of a server that rejects more than it lists: %+v", e)
	}
	b.Reject(reject(syncv1.RecordKind_RECORD_KIND_GROUP, "tenants/other"))
	if e := enforcement(hub, other); e.Acknowledged != 2 || len(e.Rejecting) > 0 {
		t.Errorf("of a server that rejects a group that is not this: %+v", e)
	}
	b.Reject(reject(syncv1.RecordKind_RECORD_KIND_KEY, "k3"))
	enforcement(hub, other)
	notified = nil
	b.Close(false)
	clk.Step(time.Second)
	if e := enforcement(hub, other); len(e.Rejecting) > 0 {
		t.Errorf("a server that is not connected any more: %+v", e)
	}
	if !slices.Contains(notified, "k3") {
		t.Errorf("notified %v", notified)
	}
}

// TestFlappingServerRejectsOnce: the same rejections after a reconnect notify nobody.
func TestFlappingServerRejectsOnce(t *testing.T) {
	hub, _ := newHub(publish.Options{Grace: time.Second})
	list := &syncv1.Rejections{Records: []*syncv1.Rejected{{Kind: syncv1.RecordKind_RECORD_KIND_KEY, Id: "k1", Reason: "no"}}}
	s := connect(hub, "a")
	s.take(t, true)
	s.Reject(list)
	if e := enforcement(hub, keyRecord("k1", acme)); len(e.Rejecting) != 1 {
		t.Fatalf("%+v", e)
	}
	notified := 0
	hub.OnEnforced(func(publish.Subject) { notified++ })
	for range 1000 {
		s.Close(false)
		again := subscribe(hub, publish.Subscriber{Instance: "a", Known: s.known(), Rejections: list})
		again.groups, again.keys, again.versions = s.groups, s.keys, s.versions
		s = again
		s.take(t, true)
	}
	if e := enforcement(hub, keyRecord("k1", acme)); notified > 0 || len(e.Rejecting) != 1 || e.Servers != 1 {
		t.Errorf("notified %d times; %+v", notified, e)
	}
}

// TestReconnectedServerIsOne: a server that has reconnected before the end of its earlier connection was noticed is one server, and
// what it acknowledges now counts. Two runs under one name are two servers.
func TestReconnectedServerIsOne(t *testing.T) {
	hub, _ := newHub(publish.Options{Grace: time.Second})
	connectAs := func(incarnation string) *server {
		s := subscribe(hub, publish.Subscriber{Instance: "a", Identity: "tenants/a", Incarnation: incarnation})
		s.take(t, true)
		return s
	}
	var latest *server
	for range 1000 {
		earlier := latest
		latest = connectAs("one")
		if earlier != nil {
			earlier.Close(false)
		}
	}
	half := latest // its connection is dead, and nobody has noticed
	latest = connectAs("one")
	key := keyRecord("k2", acme)
	putKey(hub, key)
	latest.take(t, true)
	if e := enforcement(hub, key); !e.Complete || e.Servers != 1 || e.Acknowledged != 1 {
		t.Errorf("%+v", e)
	}
	half.Close(false)
	connectAs("two")
	key = keyRecord("k3", acme)
	putKey(hub, key)
	latest.take(t, true)
	if e := enforcement(hub, key); e.Complete || e.Servers != 2 {
		t.Errorf("two processes: %+v", e)
	}
}
