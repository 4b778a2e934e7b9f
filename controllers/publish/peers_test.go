package publish_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

var rate = &syncv1.RateLimit{PerSecond: 10, Burst: 20}

func limitedGroup(identity string) *syncv1.Group {
	record := groupRecord(identity)
	record.Limits = &syncv1.Limits{Rate: rate}
	return record
}

func limitedKey(id, group string) *syncv1.Key {
	record := keyRecord(id, group)
	record.Rate = rate
	return record
}

// sharing is a server that keeps what it is told of how many servers there are.
type sharing struct {
	*server

	counts   map[string]uint32
	messages int
}

func share(hub *publish.Hub, subscriber publish.Subscriber) *sharing {
	return &sharing{server: subscribe(hub, subscriber), counts: map[string]uint32{}}
}

// hear takes all that there is.
func (s *sharing) hear(t interface {
	Context() context.Context
	Helper()
}) map[string]uint32 {
	t.Helper()
	s.take(t, true)
	select {
	case <-s.ServersChanged():
	default:
		return s.counts
	}
	message := s.TakeServers()
	if message != nil {
		s.messages++
	}
	for _, of := range message.GetGroups() {
		switch {
		case message.GetStartupGrace() && of.GetServers() < s.counts[of.GetGroup()]:
		case of.GetServers() == 0:
			delete(s.counts, of.GetGroup())
		default:
			s.counts[of.GetGroup()] = of.GetServers()
		}
	}
	return s.counts
}

// TestServersAreCounted: who is told what as servers come and go, in one message for all that
// has changed since.
func TestServersAreCounted(t *testing.T) {
	hub, clk := newHub(publish.Options{Grace: time.Second})
	a := share(hub, publish.Subscriber{Instance: "a", Selects: all})
	b := share(hub, publish.Subscriber{Instance: "b", Selects: all})
	other := share(hub, publish.Subscriber{Instance: "other", Selects: func(group string) bool { return group != acme }})
	expect := func(when string, want uint32) {
		t.Helper()
		for _, s := range []*sharing{a, b} {
			if got := s.hear(t)[acme]; got != want {
				t.Errorf("%s: %s is told of %d servers, not %d", when, s.String(), got, want)
			}
		}
		if got := len(other.hear(t)); got != 0 {
			t.Errorf("%s: a server without the group is told of it", when)
		}
	}
	expect("without a limit", 0)
	putKey(hub, limitedKey("k2", acme))
	expect("with a limit of a key", 2)
	hub.PutGroup(limitedGroup(acme))
	hub.DeleteKey("k2")
	expect("with a limit of the group", 2)
	before := a.messages
	var more []*sharing
	for range 10 {
		more = append(more, share(hub, publish.Subscriber{Instance: "more", Selects: all}))
	}
	expect("ten more", 12)
	if a.messages != before+1 {
		t.Errorf("it takes %d messages", a.messages-before)
	}
	for i, s := range more {
		s.Close(i%2 == 0) // some are lost, and go on for a while
	}
	expect("they go", 2)
	clk.Step(2 * time.Second)
	expect("those that were lost do not come back", 2)
	hub.PutGroup(groupRecord(acme))
	expect("the limit goes", 0)
	hub.DeleteGroup(acme)
	hub.PutGroup(limitedGroup(acme))
	expect("another Group of the name", 2)
	hub.DeleteGroup(acme)
	expect("it goes", 0)
}

// String names a server in a message.
func (s *sharing) String() string { return "a server" }

// TestServersWithoutTheGroupAreNotCounted are not counted, nor those of which it is not known yet.
func TestServersWithoutTheGroupAreNotCounted(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	hub.PutGroup(limitedGroup(acme))
	a := share(hub, publish.Subscriber{Instance: "a", Selects: all})
	allowed, answer := true, errors.New("the API server is away")
	may := func(context.Context, string) (bool, error) { return allowed, answer }
	b := share(hub, publish.Subscriber{Instance: "b", Selects: all, Authorizer: asking(may)})
	if got := a.hear(t)[acme]; got != 1 {
		t.Errorf("it shares with %d", got)
	}
	answer = nil
	b.hear(t)
	if got := a.hear(t)[acme]; got != 2 || b.hear(t)[acme] != 2 {
		t.Errorf("it shares with %d", got)
	}
	b.Close(true)
	allowed = false
	b = share(hub, publish.Subscriber{Instance: "b", Selects: all, Authorizer: asking(may)})
	if got := b.hear(t); len(got) != 0 || a.hear(t)[acme] != 1 {
		t.Errorf("it shares with %d, the other is told %v", a.counts[acme], got)
	}
	var c *sharing
	c = share(hub, publish.Subscriber{Instance: "c", Selects: all, Authorizer: asking(func(context.Context, string) (bool, error) {
		c.Close(true) // before it is known
		return true, nil
	})})
	c.hear(t)
	if got := a.hear(t)[acme]; got != 1 {
		t.Errorf("it shares with %d, one of which has gone", got)
	}
}

// TestSharesDoNotGrowDuringStartupGrace: while servers may be about to come back to a new leader, those that are there
// do not take their parts; then they take those of the servers that did not come.
func TestSharesDoNotGrowDuringStartupGrace(t *testing.T) {
	clk := newClock()
	hub := publish.NewHub(clk, publish.Options{StartupGrace: 5 * time.Second})
	hub.PutGroup(limitedGroup(acme))
	hub.Open()
	a := share(hub, publish.Subscriber{Instance: "a", Selects: all})
	a.counts[acme] = 3 // by the leader before
	if got := a.hear(t)[acme]; got != 3 {
		t.Errorf("it shares with %d at once", got)
	}
	b := share(hub, publish.Subscriber{Instance: "b", Selects: all}) // a new one
	if got := b.hear(t)[acme]; got != 2 || a.hear(t)[acme] != 3 {
		t.Errorf("%d and %d", got, a.counts[acme])
	}
	clk.Step(5 * time.Second)
	if got := a.hear(t)[acme]; got != 2 || b.hear(t)[acme] != 2 {
		t.Errorf("in the end it shares with %d", got)
	}
}

// TestServersKnowTheirNumber: whatever happens in whatever order, each server that has
// heard everything knows how many there are of each group with a limit, and of no other.
func TestServersKnowTheirNumber(t *testing.T) {
	identities := []string{"tenants/g1", "tenants/g2", "tenants/g3"}
	rapid.Check(t, func(t *rapid.T) {
		hub, clk := newHub(publish.Options{Grace: time.Second})
		hub.DeleteGroup(acme)
		groups, keys, servers := map[string]bool{}, map[string]map[string]bool{}, map[*sharing]map[string]bool{}
		group := func(t *rapid.T) string { return rapid.SampledFrom(identities).Draw(t, "group") }
		t.Repeat(map[string]func(*rapid.T){
			"put group": func(t *rapid.T) {
				identity, limited := group(t), rapid.Bool().Draw(t, "limited")
				record := groupRecord(identity)
				if limited {
					record = limitedGroup(identity)
				}
				if _, known := groups[identity]; !known {
					keys[identity] = map[string]bool{}
				}
				groups[identity] = limited
				hub.PutGroup(record)
			},
			"delete group": func(t *rapid.T) {
				identity := group(t)
				delete(groups, identity)
				delete(keys, identity)
				hub.DeleteGroup(identity)
			},
			"put key": func(t *rapid.T) {
				identity, limited := group(t), rapid.Bool().Draw(t, "limited")
				if _, known := groups[identity]; !known {
					return
				}
				id := identity + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
				keys[identity][id] = limited
				if limited {
					putKey(hub, limitedKey(id, identity))
				} else {
					putKey(hub, keyRecord(id, identity))
				}
			},
			"delete key": func(t *rapid.T) {
				identity := group(t)
				id := identity + rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
				delete(keys[identity], id)
				hub.DeleteKey(id)
			},
			"connect": func(t *rapid.T) {
				may := map[string]bool{}
				for _, identity := range identities {
					may[identity] = rapid.Bool().Draw(t, identity)
				}
				subscriber := publish.Subscriber{Instance: "s", Selects: all}
				if rapid.Bool().Draw(t, "ask") {
					subscriber.Authorizer = asking(func(_ context.Context, group string) (bool, error) { return may[group], nil })
				} else {
					subscriber.Selects = func(group string) bool { return may[group] }
				}
				servers[share(hub, subscriber)] = may
			},
			"go": func(t *rapid.T) {
				for s := range servers {
					s.Close(rapid.Bool().Draw(t, "goodbye"))
					delete(servers, s)
					return
				}
			},
			"time": func(*rapid.T) { clk.Step(time.Second) },
			"": func(t *rapid.T) {
				for s := range servers { // first all are asked about, then all hear of it
					s.take(t, true)
				}
				for s, may := range servers {
					want := map[string]uint32{}
					for identity, limited := range groups {
						for _, of := range keys[identity] {
							limited = limited || of
						}
						for _, others := range servers {
							if limited && may[identity] && others[identity] {
								want[identity]++
							}
						}
					}
					if got := s.hear(t); !maps.Equal(got, want) {
						t.Fatalf("it is told %v instead of %v", got, want)
					}
				}
			},
		})
	})
}
