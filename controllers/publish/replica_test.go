package publish_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
)

// TestReplicas: after any changes, and in any order in which servers read, acknowledge, disconnect and reconnect, each server
// has exactly the published records in the end. A change that is said to be in force is on every connected server that decides
// by anything. A server that reconnects with everything is sent nothing.
func TestReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hub, clk := newHub(publish.Options{Grace: time.Second})
		groups := map[string]*syncv1.Group{acme: groupRecord(acme)}
		keys := map[string]*syncv1.Key{"k1": keyRecord("k1", acme)}
		homes := map[string]string{"k1": acme} // an id is never used again, so not in another group either
		servers := map[string]*server{}

		name := func(t *rapid.T, kind string, n int) string {
			return fmt.Sprintf("%s%d", kind, rapid.IntRange(1, n).Draw(t, kind))
		}
		group := func(t *rapid.T) string { return "tenants/" + name(t, "g", 3) }

		t.Repeat(map[string]func(*rapid.T){
			"put group": func(t *rapid.T) {
				record := groupRecord(group(t))
				record.DisplayName = name(t, "display", 3)
				groups[record.Identity()] = record
				hub.PutGroup(record)
			},
			"put key": func(t *rapid.T) {
				id := name(t, "k", 6)
				identity := group(t)
				if home := homes[id]; home != "" {
					identity = home
				}
				if groups[identity] == nil {
					return
				}
				record := keyRecord(id, identity)
				record.Suspended = rapid.Bool().Draw(t, "suspended")
				keys[id], homes[id] = record, identity
				putKey(hub, record)
			},
			"delete key": func(t *rapid.T) {
				id := name(t, "k", 6)
				delete(keys, id)
				hub.DeleteKey(id)
			},
			"delete group": func(t *rapid.T) {
				identity := group(t)
				delete(groups, identity)
				for id, key := range keys {
					if key.GetGroup() == identity {
						delete(keys, id)
					}
				}
				hub.DeleteGroup(identity)
			},
			"connect": func(t *rapid.T) {
				instance := name(t, "s", 3)
				was := servers[instance]
				if was != nil {
					was.Close(rapid.Bool().Draw(t, "goodbye"))
				}
				if was == nil {
					servers[instance] = connect(hub, instance)
				} else {
					servers[instance] = was.reconnect(hub, instance)
				}
			},
			"read": func(t *rapid.T) {
				if s := servers[name(t, "s", 3)]; s != nil {
					s.take(t, rapid.Bool().Draw(t, "acknowledge"))
				}
			},
			"change of leader": func(*rapid.T) {
				hub = publish.NewHub(clk, session.NewRegistry(clk, 0), publish.Options{Grace: time.Second})
				for _, record := range groups {
					hub.PutGroup(record)
				}
				for _, record := range keys {
					putKey(hub, record)
				}
				hub.Open()
				for instance, s := range servers {
					servers[instance] = s.reconnect(hub, instance)
				}
			},
			"time": func(*rapid.T) { clk.Step(time.Second) },
			"": func(t *rapid.T) {
				for id, record := range keys {
					if !enforcement(hub, record).Complete {
						continue
					}
					for instance, s := range servers {
						// A server without the group that never had a complete snapshot allows nothing.
						synced := slices.ContainsFunc(s.received, (*syncv1.Update).GetCaughtUp)
						if (synced || s.groups[record.GetGroup()] != nil) && !proto.Equal(s.keys[id], record) {
							t.Fatalf("%s is said to be in force, but %s has %v", id, instance, s.keys[id])
						}
					}
				}
			},
		})
		for _, s := range servers {
			s.take(t, true) // the updates of the window, which opens it again
			s.take(t, true)
		}
		for instance, s := range servers {
			if fmt.Sprint(len(s.groups), len(s.keys)) != fmt.Sprint(len(groups), len(keys)) {
				t.Fatalf("%s has %d groups and %d keys of %d and %d", instance, len(s.groups), len(s.keys), len(groups), len(keys))
			}
			for id, record := range keys {
				if !proto.Equal(s.keys[id], record) {
					t.Fatalf("%s has %v of %v", instance, s.keys[id], record)
				}
				if e := enforcement(hub, record); !e.Complete {
					t.Fatalf("all have read, but %s is not in force: %+v", id, e)
				}
			}
			again := s.reconnect(hub, instance+" again")
			again.take(t, true)
			if len(again.received) != 1 || len(again.received[0].GetDeletedGroups()) > 0 {
				t.Fatalf("%s has everything, and is sent %v", instance, again.received)
			}
		}
	})
}
