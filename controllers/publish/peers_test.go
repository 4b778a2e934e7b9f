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
	"github.com/keyward-dev/keyward/controllers/session"
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

// sharing is a server that keeps the numbers of servers that it is sent.
type sharing struct {
	*server

	counts   map[string]uint32
	messages int
}

func share(hub *publish.Hub, subscriber publish.Subscriber) *sharing {
	return &sharing{server: subscribe(hub, subscriber), counts: map[string]uint32{}}
}

// receive takes all messages that are ready.
func (s *sharing) receive(t interface {
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

// TestServersAreCounted: servers are sent the numbers as servers connect and disconnect, in one message for all changes since
// the last one.
func TestServersAreCounted(t *testing.T) {
	hub, clk := newHub(publish.Options{Grace: time.Second})
	a := share(hub, publish.Subscriber{Instance: "a"})
	b := share(hub, publish.Subscriber{Instance: "b"})
	other := share(hub, publish.Subscriber{Instance: "other", Selection: publish.SelectGroups("tenants/other")})
	expect := func(when string, want uint32) {
		t.Helper()
		for _, s := range []*sharing{a, b} {
			if got := s.receive(t)[acme]; got != want {
				t.Errorf("%s: %s receives %d servers, not %d", when, s.String(), got, want)
			}
		}
		if got := len(other.receive(t)); got != 0 {
			t.Errorf("%s: a server without the group receives a number for it", when)
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
		more = append(more, share(hub, publish.Subscriber{Instance: "more"}))
	}
	expect("ten more", 12)
	if a.messages != before+1 {
		t.Errorf("it takes %d messages", a.messages-before)
	}
	for i, s := range more {
		s.Close(i%2 == 0) // some are disconnected, and go on deciding for a while
	}
	expect("they go", 2)
	clk.Step(2 * time.Second)
	expect("those that were disconnected do not reconnect", 2)
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

// TestServersWithoutTheGroupAreNotCounted: nor are those of which it is not known yet whether they may have it.
func TestServersWithoutTheGroupAreNotCounted(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	hub.PutGroup(limitedGroup(acme))
	a := share(hub, publish.Subscriber{Instance: "a"})
	allowed, answer := true, errors.New("the API server is unreachable")
	may := func(context.Context, string) (bool, error) { return allowed, answer }
	b := share(hub, publish.Subscriber{Instance: "b", Authorizer: asking(may)})
	if got := a.receive(t)[acme]; got != 1 {
		t.Errorf("it shares with %d", got)
	}
	answer = nil
	b.receive(t)
	if got := a.receive(t)[acme]; got != 2 || b.receive(t)[acme] != 2 {
		t.Errorf("it shares with %d", got)
	}
	b.Close(true)
	allowed = false
	b = share(hub, publish.Subscriber{Instance: "b", Authorizer: asking(may)})
	if got := b.receive(t); len(got) != 0 || a.receive(t)[acme] != 1 {
		t.Errorf("it shares with %d, the other receives %v", a.counts[acme], got)
	}
	var c *sharing
	c = share(hub, publish.Subscriber{Instance: "c", Authorizer: asking(func(context.Context, string) (bool, error) {
		c.Close(true) // before it is known
		return true, nil
	})})
	c.receive(t)
	if got := a.receive(t)[acme]; got != 1 {
		t.Errorf("it shares with %d, one of which has gone", got)
	}
}

// TestSharesDoNotGrowDuringStartupGrace: while servers may still reconnect to a new leader, the connected servers do not use
// their shares. Afterwards they use the shares of servers that did not reconnect.
func TestSharesDoNotGrowDuringStartupGrace(t *testing.T) {
	clk := newClock()
	hub := publish.NewHub(clk, session.NewRegistry(clk, 0), publish.Options{StartupGrace: 5 * time.Second})
	hub.PutGroup(limitedGroup(acme))
	hub.Open()
	a := share(hub, publish.Subscriber{Instance: "a"})
	a.counts[acme] = 3 // from the leader before
	if got := a.receive(t)[acme]; got != 3 {
		t.Errorf("it shares with %d at once", got)
	}
	b := share(hub, publish.Subscriber{Instance: "b"}) // a new one
	if got := b.receive(t)[acme]; got != 2 || a.receive(t)[acme] != 3 {
		t.Errorf("%d and %d", got, a.counts[acme])
	}
	clk.Step(5 * time.Second)
	if got := a.receive(t)[acme]; got != 2 || b.receive(t)[acme] != 2 {
		t.Errorf("in the end it shares with %d", got)
	}
}

// TestServersKnowTheirNumber: after any events in any order, each server that has received all messages knows the number of
// servers of each group with a limit, and of no other group.
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
				subscriber := publish.Subscriber{Instance: "s"}
				if rapid.Bool().Draw(t, "ask") {
					subscriber.Authorizer = asking(func(_ context.Context, group string) (bool, error) { return may[group], nil })
				} else {
					subscriber.Selection = publish.SelectGroups("none/none")
					for group := range may {
						if may[group] {
							subscriber.Selection.Groups[group] = struct{}{}
						}
					}
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
				for s := range servers { // first everything is asked for, then everything is received
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
					if got := s.receive(t); !maps.Equal(got, want) {
						t.Fatalf("it receives %v instead of %v", got, want)
					}
				}
			},
		})
	})
}
