package publish_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
)

// rights is an Authorizer that remembers its answers.
type rights struct {
	ask   func(ctx context.Context, group string) (bool, error)
	known map[string]bool
	all   bool
}

func asking(ask func(context.Context, string) (bool, error)) *rights {
	return &rights{ask: ask, known: map[string]bool{}}
}

// granted returns rights to these groups and no others, which Ask finds out.
func granted(groups ...string) *rights {
	return asking(func(_ context.Context, group string) (bool, error) { return slices.Contains(groups, group), nil })
}

func (r *rights) All() bool { return r.all }

func (r *rights) Known(group string) (allowed, known bool) {
	allowed, known = r.known[group]
	return allowed, known
}

func (r *rights) Ask(ctx context.Context, group string) (bool, error) {
	allowed, err := r.ask(ctx, group)
	if err == nil {
		r.known[group] = allowed
	}
	return allowed, err
}

// TestUndecidedServersAreNotWaitedFor: while it is not known whether a server may have a group, it does not count for the
// group, neither while it is connected nor after it was disconnected.
func TestUndecidedServersAreNotWaitedFor(t *testing.T) {
	hub, _ := newHub(publish.Options{Grace: time.Hour})
	a := connect(hub, "a")
	a.take(t, true)
	var strangers []*server
	for i := range 3 {
		strangers = append(strangers, subscribe(hub, publish.Subscriber{Instance: fmt.Sprint("stranger", i),
			Authorizer: granted()}))
	}
	strangers[1].take(t, false) // now it is known that it may have nothing
	strangers[2].Close(false)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	a.take(t, true)
	if e := enforcement(hub, key); !e.Complete || e.Servers != 1 || len(e.Expired) > 0 || len(e.Waiting) > 0 {
		t.Errorf("%+v", e)
	}
}

// TestAllowedGroupsAreSentFirst: a server that gets a group, because the server is new or was given the right, is sent all keys
// of the group; and a server that has the group is waited for.
func TestAllowedGroupsAreSentFirst(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	may := granted(acme)
	s := subscribe(hub, publish.Subscriber{Instance: "s", Authorizer: may})
	first := keyRecord("k2", acme)
	putKey(hub, first)
	if e := enforcement(hub, first); !e.Complete || e.Servers != 0 {
		t.Errorf("a server is waited for that was sent nothing yet: %+v", e)
	}
	s.take(t, false)
	if s.keys["k2"] == nil {
		t.Error("it has the group without a key that was delivered")
	}
	second := keyRecord("k3", acme)
	putKey(hub, second)
	if e := enforcement(hub, second); e.Complete || e.Servers != 1 {
		t.Errorf("a server that has the group is not waited for: %+v", e)
	}
	s.take(t, true)
	if e := enforcement(hub, second); !e.Complete || s.keys["k3"] == nil {
		t.Errorf("%+v", e)
	}
}

// TestRightsAreReviewed: a group is withdrawn when the right to it is withdrawn, and sent when the right is given.
func TestRightsAreReviewed(t *testing.T) {
	const other = "tenants/other"
	for _, everything := range []bool{false, true} {
		t.Run(fmt.Sprintf("all=%t", everything), func(t *testing.T) {
			hub, _ := newHub(publish.Options{})
			hub.PutGroup(groupRecord(other))
			putKey(hub, keyRecord("k-other", other))
			may := granted(acme, other)
			may.all = everything
			s := subscribe(hub, publish.Subscriber{Instance: "s", Authorizer: may})
			s.take(t, true)
			if len(s.groups) != 2 || len(s.keys) != 2 {
				t.Fatalf("%d groups and %d keys", len(s.groups), len(s.keys))
			}
			may.all, may.known = false, map[string]bool{acme: true, other: false}
			s.Review()
			secret := keyRecord("k-secret", other)
			putKey(hub, secret)
			if e := enforcement(hub, secret); !e.Complete || e.Servers != 0 {
				t.Errorf("it counts for a group that it may not have any more: %+v", e)
			}
			if serves, _ := s.Serves(other); serves || s.ServesKey(other, "k-other") {
				t.Error("it may speak of the group")
			}
			s.take(t, true)
			if s.groups[other] != nil || s.keys["k-other"] != nil || s.keys["k-secret"] != nil {
				t.Errorf("it has %v and %v", s.groups, s.keys)
			}
			if s.groups[acme] == nil || s.keys["k1"] == nil {
				t.Error("it lacks what it may have")
			}
			may.known[other] = true
			s.Review()
			if e := enforcement(hub, keyRecord("k-other", other)); e.Complete && e.Servers > 0 {
				t.Errorf("what it was not sent is in force there: %+v", e)
			}
			s.take(t, true)
			if s.groups[other] == nil || s.keys["k-other"] == nil || s.keys["k-secret"] == nil {
				t.Errorf("it has %v and %v", s.groups, s.keys)
			}
			may.all = true
			s.Review()
			hub.PutGroup(groupRecord("tenants/new"))
			s.take(t, true)
			if s.groups["tenants/new"] == nil {
				t.Error("it may have everything, and lacks a new group")
			}
		})
	}
}

// TestGroupIsWithdrawnAndGrantedAgain: changes in between are not lost.
func TestGroupIsWithdrawnAndGrantedAgain(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	may := granted(acme)
	s := subscribe(hub, publish.Subscriber{Instance: "s", Authorizer: may})
	s.take(t, true)
	may.known[acme] = false
	s.Review()
	hub.DeleteKey("k1")
	putKey(hub, keyRecord("k2", acme))
	may.known[acme] = true
	s.Review()
	s.take(t, true)
	if s.groups[acme] == nil || s.keys["k1"] != nil || s.keys["k2"] == nil {
		t.Errorf("it has %v and %v", s.groups, s.keys)
	}
}

// TestChangeHasAFixedDeadline: it counts from the publication of the change, no matter which servers connect, disconnect or do
// not answer.
func TestChangeHasAFixedDeadline(t *testing.T) {
	const patience, grace, step = 30 * time.Second, 5 * time.Second, 500 * time.Millisecond
	for name, rogue := range map[string]func(hub *publish.Hub, n int, was *server) *server{
		"holds": func(hub *publish.Hub, n int, was *server) *server {
			if n == 0 {
				return connect(hub, "rogue")
			}
			return was
		},
		"flaps": func(hub *publish.Hub, n int, was *server) *server {
			if was != nil {
				was.Close(false)
			}
			s := subscribe(hub, publish.Subscriber{Instance: "rogue", Known: map[string][]byte{acme: {1}}})
			return s
		},
		"flaps under many names": func(hub *publish.Hub, n int, was *server) *server {
			if was != nil {
				was.Close(false)
			}
			return subscribe(hub, publish.Subscriber{Instance: fmt.Sprint("rogue", n), Known: map[string][]byte{acme: {1}}})
		},
		"says goodbye over and over": func(hub *publish.Hub, n int, was *server) *server {
			if was != nil {
				was.Close(true)
			}
			return subscribe(hub, publish.Subscriber{Instance: "rogue", Known: map[string][]byte{acme: {1}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub, clk := newHub(publish.Options{Grace: grace, Patience: patience})
			good := connect(hub, "good")
			good.take(t, true)
			s := rogue(hub, 0, nil)
			s.take(t, false)
			announced := 0
			hub.OnEnforced(func(publish.Subject) { announced++ })
			key := keyRecord("k2", acme)
			putKey(hub, key)
			begin := clk.Now()
			for n := 1; !enforcement(hub, key).Complete; n++ {
				if clk.Since(begin) > patience+grace+time.Second {
					t.Fatalf("not within %s: %+v", clk.Since(begin), enforcement(hub, key))
				}
				clk.Step(step)
				good.take(t, true)
				s = rogue(hub, n, s)
			}
			e := enforcement(hub, key)
			if waited := clk.Since(begin); e.Acknowledged < 1 || announced == 0 || waited > patience+grace+time.Second {
				t.Errorf("after %s: %+v, announced %d times", waited, e, announced)
			}
			for n := range 20 { // and the server stays expired
				s = rogue(hub, 100+n, s)
				if e := enforcement(hub, key); !e.Complete {
					t.Fatalf("%+v", e)
				}
			}
		})
	}
}

// TestExpiredServerIsNamedUntilItAcknowledges: also if it was connected all the time.
func TestExpiredServerIsNamedUntilItAcknowledges(t *testing.T) {
	hub, clk := newHub(publish.Options{Grace: 5 * time.Second, Patience: 30 * time.Second})
	a, slow := connect(hub, "a"), connect(hub, "slow")
	a.take(t, true)
	slow.take(t, true)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	a.take(t, true)
	slow.take(t, false)
	clk.Step(35 * time.Second)
	if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != 1 || fmt.Sprint(e.Expired) != "[slow]" {
		t.Errorf("%+v", e)
	}
	slow.Ack(slow.received[len(slow.received)-1].GetRevision())
	if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != 2 || len(e.Expired) != 0 {
		t.Errorf("%+v", e)
	}
}

// TestNamesInStatus: two identities with one instance are two servers, which are distinguished if both serve a group; and no
// server is named for a group that it does not serve.
func TestNamesInStatus(t *testing.T) {
	const other = "tenants/other"
	hub, clk := newHub(publish.Options{Grace: time.Second})
	hub.PutGroup(groupRecord(other))
	elsewhere := keyRecord("k-other", other)
	putKey(hub, elsewhere)
	one := subscribe(hub, publish.Subscriber{Instance: "v", Identity: "1", Owner: "tenants/one"})
	two := subscribe(hub, publish.Subscriber{Instance: "v", Identity: "2", Owner: "rogues/two", Authorizer: granted(acme)})
	one.take(t, true)
	two.take(t, true)
	one.Close(false)
	back := subscribe(hub, publish.Subscriber{Instance: "v", Identity: "2", Owner: "rogues/two", Authorizer: granted(acme)})
	back.take(t, true)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	two.take(t, true)
	back.take(t, true)
	if e := enforcement(hub, key); e.Complete || fmt.Sprint(e.Waiting) != "[v (tenants/one)]" {
		t.Errorf("another identity under its name takes its place: %+v", e)
	}
	elsewhere.Suspended = true
	changed := keyRecord("k-other", other)
	changed.Suspended, changed.Projects = true, []string{"changed"}
	putKey(hub, changed)
	if e := enforcement(hub, changed); fmt.Sprint(e.Waiting) != "[v]" {
		t.Errorf("%+v", e)
	}
	clk.Step(time.Second)
	if e := enforcement(hub, key); !e.Complete || fmt.Sprint(e.Expired) != "[v (tenants/one)]" {
		t.Errorf("%+v", e)
	}
	if e := enforcement(hub, changed); !e.Complete || fmt.Sprint(e.Expired) != "[v]" {
		t.Errorf("%+v", e)
	}
}

// TestAckOfUnsentRevisionIsRefused: it is reported, and nothing comes into force by it.
func TestAckOfUnsentRevisionIsRefused(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	s := connect(hub, "s")
	s.take(t, true)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	for _, revision := range []uint64{1 << 40, ^uint64(0)} {
		if s.Ack(revision) {
			t.Errorf("%d was not sent", revision)
		}
	}
	if e := enforcement(hub, key); e.Complete {
		t.Errorf("%+v", e)
	}
	if s.take(t, true); !enforcement(hub, key).Complete {
		t.Error("not in force")
	}
}

// TestGroupOfDigest: a digest has a group as long as a key has the digest.
func TestGroupOfDigest(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	digest := [32]byte{1}
	record := keyRecord("k2", acme)
	record.Versions = []*syncv1.Version{{Digest: digest[:]}}
	putKey(hub, record)
	if group, known := hub.GroupOf(digest); !known || group != acme {
		t.Errorf("%q, %t", group, known)
	}
	replaced := keyRecord("k2", acme)
	replaced.Versions = []*syncv1.Version{{Digest: make([]byte, 32)}}
	putKey(hub, replaced)
	if _, known := hub.GroupOf(digest); known {
		t.Error("the version is gone, and its digest is not")
	}
	hub.DeleteGroup(acme)
	if _, known := hub.GroupOf([32]byte{}); known {
		t.Error("the group is gone, and the digest is not")
	}
}
