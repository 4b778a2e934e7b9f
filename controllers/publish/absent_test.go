package publish_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
)

// revoke publishes the key with a revoked version.
func revoke(hub *publish.Hub, id string) *syncv1.Key {
	key := keyRecord(id, acme)
	key.Versions = []*syncv1.Version{{Digest: []byte("d"), Revoked: true}}
	putKey(hub, key)
	return key
}

// TestServerThatIsAbsentLacksLaterChanges: a server that was disconnected for longer than Grace before a change still decides
// by what it had. The change does not wait for it, and is not said to be in force everywhere.
func TestServerThatIsAbsentLacksLaterChanges(t *testing.T) {
	const grace, forget = 5 * time.Second, time.Hour
	setup := func(t *testing.T) (*publish.Hub, *steppedClock, *server) {
		t.Helper()
		hub, clk := newHubThatForgets(forget, publish.Options{Grace: grace})
		a, b := connect(hub, "a"), connect(hub, "b")
		a.take(t, true)
		b.take(t, true)
		b.Close(false)
		clk.Step(grace + 10*time.Second)
		return hub, clk, a
	}
	lacks := func(t *testing.T, hub *publish.Hub, key *syncv1.Key) {
		t.Helper()
		if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != 1 || !slices.Equal(e.Expired, []string{"b"}) {
			t.Fatalf("b lacks the change: %+v", e)
		}
	}
	everywhere := func(t *testing.T, hub *publish.Hub, key *syncv1.Key, servers int) {
		t.Helper()
		if e := enforcement(hub, key); !e.Complete || e.Servers != servers || e.Acknowledged != servers || len(e.Expired) > 0 {
			t.Fatalf("it is in force everywhere: %+v", e)
		}
	}
	t.Run("each of them", func(t *testing.T) {
		hub, _, a := setup(t)
		for range 2 {
			for _, id := range []string{"k1", "k2"} {
				key := keyRecord(id, acme)
				key.Versions = []*syncv1.Version{{Digest: fmt.Append(nil, a.received)}}
				putKey(hub, key)
				a.take(t, true)
				lacks(t, hub, key)
			}
		}
		frozen := groupRecord(acme)
		frozen.State = syncv1.GroupState_GROUP_STATE_FROZEN
		hub.PutGroup(frozen)
		a.take(t, true)
		e := hub.Enforcement(publish.Subject{Ref: publish.GroupRef(acme), Group: acme}, publish.RecordID(frozen))
		if !e.Complete || !slices.Equal(e.Expired, []string{"b"}) {
			t.Errorf("b lacks the freeze: %+v", e)
		}
		hub.DeleteKey("k1")
		a.take(t, true)
		e = hub.Enforcement(publish.Subject{Ref: publish.KeyRef("k1"), Group: acme}, publish.NoRecord)
		if !e.Complete || !slices.Equal(e.Expired, []string{"b"}) {
			t.Errorf("b lacks the deletion: %+v", e)
		}
	})
	t.Run("until it is back", func(t *testing.T) {
		hub, clk, a := setup(t)
		key := revoke(hub, "k1")
		a.take(t, true)
		lacks(t, hub, key)
		var announced []string
		hub.OnEnforced(func(s publish.Subject) { announced = append(announced, s.ID) })
		back := connect(hub, "b")
		back.take(t, true)
		everywhere(t, hub, key, 2)
		if !slices.Equal(announced, []string{"k1"}) {
			t.Errorf("announced %v", announced)
		}
		clk.Step(2 * forget)
		everywhere(t, hub, key, 2)
		next := revoke(hub, "k2")
		a.take(t, true)
		back.take(t, true)
		everywhere(t, hub, next, 2)
	})
	t.Run("also if it is cut off again before it has caught up", func(t *testing.T) {
		hub, clk, a := setup(t)
		connect(hub, "b").Close(false)
		clk.Step(grace)
		key := revoke(hub, "k1")
		a.take(t, true)
		lacks(t, hub, key)
	})
	t.Run("until it says goodbye", func(t *testing.T) {
		hub, _, a := setup(t)
		connect(hub, "b").Close(true)
		key := revoke(hub, "k1")
		a.take(t, true)
		everywhere(t, hub, key, 1)
	})
	t.Run("until it is forgotten", func(t *testing.T) {
		hub, clk, a := setup(t)
		key := revoke(hub, "k1")
		a.take(t, true)
		clk.Step(forget - grace - 11*time.Second)
		lacks(t, hub, key)
		announced := 0
		hub.OnEnforced(func(publish.Subject) { announced++ })
		clk.Step(11 * time.Second)
		everywhere(t, hub, key, 1)
		if announced != 1 {
			t.Errorf("announced %d times", announced)
		}
		next := revoke(hub, "k2")
		a.take(t, true)
		everywhere(t, hub, next, 1)
	})
	t.Run("and one of another Group does not", func(t *testing.T) {
		hub, clk := newHubThatForgets(forget, publish.Options{Grace: grace})
		a := connect(hub, "a")
		other := subscribe(hub, publish.Subscriber{Instance: "other", Selection: publish.SelectGroups("tenants/other")})
		fresh := connect(hub, "fresh") // is never sent anything
		a.take(t, true)
		other.take(t, true)
		other.Close(false)
		fresh.Close(false)
		clk.Step(grace)
		key := revoke(hub, "k1")
		a.take(t, true)
		everywhere(t, hub, key, 1)
	})
	t.Run("and one that is connected a second time does not", func(t *testing.T) {
		hub, clk := newHubThatForgets(forget, publish.Options{Grace: grace})
		halfOpen, again := connect(hub, "b"), connect(hub, "b")
		halfOpen.take(t, true)
		again.take(t, true)
		halfOpen.Close(false)
		clk.Step(grace)
		again.Close(true)
		key := revoke(hub, "k1")
		everywhere(t, hub, key, 0)
	})
}

// TestAbsentServersAreBounded: an identity with many instances has a bounded number of entries. Those beyond are named
// together, and no change is said to be in force everywhere because of their number.
func TestAbsentServersAreBounded(t *testing.T) {
	hub, clk := newHubThatForgets(time.Hour, publish.Options{Grace: time.Second})
	leave := func(identity string, servers int) {
		for i := range servers {
			s := subscribe(hub, publish.Subscriber{Instance: fmt.Sprint(identity, i), Identity: identity, Authorizer: granted(acme)})
			s.take(t, true)
			s.Close(false)
		}
		clk.Step(time.Second)
	}
	leave("many", session.MaxAbsentOfOne+50)
	leave("one", 1)
	key := revoke(hub, "k1")
	e := enforcement(hub, key)
	if e.Servers != session.MaxAbsentOfOne+2 || len(e.Expired) != e.Servers || !slices.Contains(e.Expired, "one0") ||
		!slices.Contains(e.Expired, "other servers") {
		t.Errorf("%d servers, %d named", e.Servers, len(e.Expired))
	}
	clk.Step(2 * time.Hour)
	if e := enforcement(hub, key); e.Servers != 0 || len(e.Expired) != 0 {
		t.Errorf("when they are forgotten: %+v", e)
	}
}

// TestAbsentServerThatWasCatchingUp: a server that is cut off while it is sent groups has what it has acknowledged, but for these
// groups. If there are more than are kept, it counts as having nothing.
func TestAbsentServerThatWasCatchingUp(t *testing.T) {
	for name, test := range map[string]struct{ groups, acknowledged int }{
		"a few groups": {3, 2}, "many groups": {200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			hub, _ := newHubThatForgets(time.Hour, publish.Options{})
			a, b := connect(hub, "a"), connect(hub, "b")
			a.take(t, true)
			b.take(t, true)
			a.Close(false)
			created := ""
			for i := range test.groups {
				created = fmt.Sprintf("tenants/created%d", i)
				hub.PutGroup(groupRecord(created))
			}
			a = a.reconnect(hub, "a")
			inCreated := keyRecord("k2", created)
			putKey(hub, inCreated)
			key := revoke(hub, "k3")
			for a.keys["k3"] == nil {
				update, err := a.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				a.apply(update)
				a.Ack(update.GetRevision())
			}
			a.Close(false)
			b.take(t, true)
			if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != test.acknowledged {
				t.Errorf("a change that it has acknowledged: %+v", e)
			}
			if e := enforcement(hub, inCreated); !e.Complete || e.Servers != 2 || !slices.Equal(e.Expired, []string{"a"}) {
				t.Errorf("a change of a group that it was being sent: %+v", e)
			}
		})
	}
}
