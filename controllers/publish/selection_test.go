package publish

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// TestAbsentServersAreFoundByGroup: of any servers, those that have a Group are found, each once, also after some have come
// back.
func TestAbsentServersAreFoundByGroup(t *testing.T) {
	groups := []string{"a/one", "a/two", "b/one", "b/two"}
	rapid.Check(t, func(t *rapid.T) {
		absent, known := newAbsentServers(), map[server]Selection{}
		names := func(all ...string) *rapid.Generator[[]string] {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, rapid.ID)
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				for _, group := range groups {
					var want, got []string
					for s, selection := range known {
						if selection.Selects(group) {
							want = append(want, s.instance)
						}
					}
					for gone := range absent.having(group) {
						got = append(got, gone.server.instance)
					}
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Fatalf("%v have %s, want %v", got, group, want)
					}
				}
			},
			"expire": func(t *rapid.T) {
				selection := SelectGroups(names(groups...).Draw(t, "groups")...)
				selection.Namespaces = map[string]struct{}{}
				for _, namespace := range names("a", "b", "c").Draw(t, "namespaces") {
					selection.Namespaces[namespace] = struct{}{}
				}
				s := server{instance: fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "server"))}
				known[s] = selection
				absent.add(&absence{server: s, has: maps.Collect(func(yield func(scope, struct{}) bool) {
					for s := range selection.scopes() {
						if !yield(s, struct{}{}) {
							return
						}
					}
				})})
			},
			"return": func(t *rapid.T) {
				s := server{instance: fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "server"))}
				if _, was := known[s]; absent.remove(s) != was {
					t.Fatalf("%v was absent: %v", s, was)
				}
				delete(known, s)
			},
		})
		for s := range known {
			absent.remove(s)
		}
		if len(absent.by)+len(absent.servers)+len(absent.of) > 0 {
			t.Fatalf("%+v is left", absent)
		}
	})
}

// TestAbsentServersOfOtherGroupsCostNothing: to evaluate a change of a Group, the Hub looks only at the servers that have it.
func TestAbsentServersOfOtherGroupsCostNothing(t *testing.T) {
	const others, acme = 5000, "tenants/acme"
	hub := NewHub(clock.RealClock{}, Options{})
	hub.PutGroup(&syncv1.Group{Namespace: "tenants", Name: "acme"})
	hub.Open()
	leave := func(instance string, selection Selection) {
		sub := hub.Subscribe(Subscriber{Instance: instance, Identity: instance, Selection: selection})
		for !sub.CaughtUp() {
			sub.Ack(sub.take().GetRevision())
		}
		sub.Close(false)
	}
	leave("mine", SelectGroups(acme))
	for i := range others {
		leave(fmt.Sprint(i), SelectGroups(fmt.Sprint("others/", i)))
	}
	if n := len(hub.absent.servers); n != others+1 {
		t.Fatalf("%d servers are absent", n)
	}
	looked := 0
	for _, s := range scopesOf(acme) {
		looked += len(hub.absent.by[s])
	}
	if looked != 1 {
		t.Errorf("it looks at %d servers, want 1", looked)
	}
	hub.absent.servers = nil // a walk over all finds nothing
	hub.PutGroup(&syncv1.Group{Namespace: "tenants", Name: "acme", State: syncv1.GroupState_GROUP_STATE_FROZEN})
	e, _ := hub.progress(&change{Subject: Subject{Ref: GroupRef(acme), Group: acme}, revision: hub.revision, at: time.Unix(0, 0)})
	if e.Servers != 1 || !slices.Equal(e.Expired, []string{"mine"}) {
		t.Errorf("%+v", e)
	}
}

// TestOtherServersAreBounded: when those that are not kept separately had too many Groups to list, they count as having all.
func TestOtherServersAreBounded(t *testing.T) {
	absent := newAbsentServers()
	for i := range MaxAbsentOfOne + 2 {
		has := map[scope]struct{}{}
		if i >= MaxAbsentOfOne {
			for j := range maxOfOthers/2 + 1 {
				has[scope{oneGroup, fmt.Sprint(i, "/", j)}] = struct{}{}
			}
		}
		absent.add(&absence{server: server{instance: fmt.Sprint(i), identity: "one"}, has: has})
		count := 0
		for range absent.having("never/named") {
			count++
		}
		if want := max(0, i-MaxAbsentOfOne); count != want {
			t.Fatalf("after %d servers, %d have any group, want %d", i+1, count, want)
		}
	}
	if n := len(absent.servers[otherServers].has); n > maxOfOthers+1 {
		t.Errorf("they have %d", n)
	}
}
