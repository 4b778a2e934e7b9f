package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// TestAbsentServersAreFoundByGroup: of any servers, those that had a group are found, each once, and MayKnow reports whether one of them
// may know something, also after some have come back or were forgotten.
func TestAbsentServersAreFoundByGroup(t *testing.T) {
	const forgetAfter = time.Hour
	groups := []string{"a/one", "a/two", "b/one", "b/two"}
	scopes := map[Scope][]string{
		EveryGroup(): groups, GroupsOf("a"): groups[:2], GroupsOf("b"): groups[2:], GroupsOf("c"): nil,
		OneGroup("a/one"): groups[:1], OneGroup("b/two"): groups[3:],
	}
	all := []Scope{EveryGroup(), GroupsOf("a"), GroupsOf("b"), GroupsOf("c"), OneGroup("a/one"), OneGroup("b/two")}
	type gone struct {
		at  time.Time
		had []Scope
	}
	had := func(g gone, group string) bool {
		return slices.ContainsFunc(g.had, func(s Scope) bool { return slices.Contains(scopes[s], group) })
	}
	rapid.Check(t, func(t *rapid.T) {
		clock := clocktesting.NewFakeClock(begin)
		r, known := NewRegistry(clock, forgetAfter), map[ID]gone{}
		drawn := func() ID { return ID{Instance: fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "server"))} }
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				since := begin.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "minutes")) * time.Minute)
				for _, group := range groups {
					var want, got []string
					mayKnow := false
					for id, g := range known {
						if had(g, group) {
							want = append(want, id.Instance)
							mayKnow = mayKnow || !since.After(g.at.Add(skew))
						}
					}
					for id := range r.Absent(group) {
						got = append(got, id.Instance)
					}
					slices.Sort(want)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Fatalf("%v had %s, want %v", got, group, want)
					}
					if r.MayKnow(group, since) != mayKnow {
						t.Fatalf("that one of %v may know what was made at %v: %v", want, since, !mayKnow)
					}
				}
			},
			"disconnect": func(t *rapid.T) {
				id := drawn()
				_, was := known[id]
				s := r.Connect(Server{Run: Run{ID: id, Incarnation: "one"}})
				if s.Returned() != was {
					t.Fatalf("%v was absent: %v", id, was)
				}
				g := gone{clock.Now(), rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, rapid.ID).Draw(t, "had")}
				as, absent := s.Disconnect(g.had...)
				if absent != (len(g.had) > 0) || absent && as != id {
					t.Fatalf("%v is absent as %v, %v", id, as, absent)
				}
				if delete(known, id); absent {
					known[id] = g
				}
			},
			"return": func(t *rapid.T) {
				id := drawn()
				r.Connect(Server{Run: Run{ID: id, Incarnation: "one"}}).Goodbye()
				delete(known, id)
			},
			"forget": func(t *rapid.T) {
				clock.Step(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
				forgotten, next := r.Forget()
				first := time.Time{}
				for id, g := range known {
					switch over := g.at.Add(forgetAfter); {
					case !clock.Now().Before(over):
						if !slices.Contains(forgotten, id) {
							t.Fatalf("%v is not forgotten", id)
						}
						delete(known, id)
					case first.IsZero() || over.Before(first):
						first = over
					}
				}
				if !next.Equal(first) {
					t.Fatalf("next at %v, want %v", next, first)
				}
			},
		})
		for id := range known {
			r.absent.remove(id)
		}
		if len(r.absent.by)+len(r.absent.servers)+len(r.absent.of) > 0 {
			t.Fatalf("%+v is left", r.absent)
		}
	})
}

// TestAbsentServersOfOtherGroupsCostNothing: a look-up by a group looks only at the servers that had it.
func TestAbsentServersOfOtherGroupsCostNothing(t *testing.T) {
	const others, acme = 5000, "tenants/acme"
	r := NewRegistry(clocktesting.NewFakeClock(begin), 0)
	leave := func(instance string, had Scope) {
		r.Connect(Server{Run: Run{ID: ID{Instance: instance, Identity: instance}, Incarnation: "one"}}).Disconnect(had)
	}
	leave("mine", OneGroup(acme))
	for i := range others {
		leave(fmt.Sprint(i), OneGroup(fmt.Sprint("others/", i)))
	}
	if _, absent := r.Count(); absent != others+1 {
		t.Fatalf("%d servers are absent", absent)
	}
	looked := 0
	for _, s := range scopesOf(acme) {
		looked += len(r.absent.by[s])
	}
	if looked != 1 {
		t.Errorf("it looks at %d servers, want 1", looked)
	}
	r.absent.servers = nil // a walk over all finds nothing
	if found := slices.Collect(r.Absent(acme)); len(found) != 1 || found[0].Instance != "mine" {
		t.Errorf("found %v", found)
	}
	if !r.MayKnow(acme, begin) || r.MayKnow("tenants/other", begin) {
		t.Error("what an absent server may know")
	}
}

// TestOthersAreBounded: when those that are not kept separately had too many groups to list, they count as having had all, and all of them are
// forgotten when the last is.
func TestOthersAreBounded(t *testing.T) {
	clock := clocktesting.NewFakeClock(begin)
	r := NewRegistry(clock, time.Hour)
	for i := range MaxAbsentOfOne + 2 {
		had := []Scope{OneGroup("own/group")}
		if i >= MaxAbsentOfOne {
			for j := range maxOfOthers/2 + 1 {
				had = append(had, OneGroup(fmt.Sprint(i, "/", j)))
			}
			clock.Step(10 * time.Minute)
		}
		id := ID{Instance: fmt.Sprint(i), Identity: "one"}
		as, absent := r.Connect(Server{Run: Run{ID: id, Incarnation: "one"}}).Disconnect(had...)
		if !absent || (as == Others()) != (i >= MaxAbsentOfOne) || (as == id) != (i < MaxAbsentOfOne) {
			t.Fatalf("server %d is absent as %v", i, as)
		}
		if found := len(slices.Collect(r.Absent("never/named"))); found != max(0, i-MaxAbsentOfOne) {
			t.Fatalf("after %d servers, %d had any group", i+1, found)
		}
	}
	if n := len(r.absent.others); n > maxOfOthers+1 {
		t.Errorf("%d scopes are kept of the others", n)
	}
	clock.Step(50 * time.Minute)
	if forgotten, next := r.Forget(); len(forgotten) != MaxAbsentOfOne || !next.Equal(clock.Now().Add(10*time.Minute)) {
		t.Errorf("%d are forgotten, next at %v", len(forgotten), next)
	}
	clock.Step(10 * time.Minute)
	if forgotten, next := r.Forget(); len(forgotten) != 1 || forgotten[0] != Others() || !next.IsZero() || len(r.absent.others) > 0 {
		t.Errorf("%v are forgotten, next at %v", forgotten, next)
	}
}
