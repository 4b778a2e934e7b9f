package publish_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/publish"
	"github.com/keyward-dev/keyward/controllers/session"
)

const acme = "tenants/acme"

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func groupRecord(identity string) *syncv1.Group {
	namespace, name, _ := strings.Cut(identity, "/")
	return &syncv1.Group{Namespace: namespace, Name: name, Projects: []*syncv1.Project{{Name: "default", OwnsAll: true}}}
}

func keyRecord(id, group string) *syncv1.Key {
	return &syncv1.Key{Id: id, Group: group, Projects: []string{"default"}}
}

func objectOf(record *syncv1.Key) types.NamespacedName {
	return types.NamespacedName{Namespace: "web", Name: record.GetId()}
}

func putKey(hub *publish.Hub, record *syncv1.Key) { hub.PutKey(record, objectOf(record)) }

// newHub returns an open Hub with a group and a key.
func newHub(options publish.Options) (*publish.Hub, *steppedClock) {
	return newHubThatForgets(0, options)
}

func newHubThatForgets(after time.Duration, options publish.Options) (*publish.Hub, *steppedClock) {
	clk := newClock()
	hub := publish.NewHub(clk, session.NewRegistry(clk, after), options)
	hub.PutGroup(groupRecord(acme))
	putKey(hub, keyRecord("k1", acme))
	hub.Open()
	return hub, clk
}

// server is the other end of a subscription: the records that a validation server has, by the rules of the protocol.
type server struct {
	*publish.Subscription
	groups   map[string]*syncv1.Group
	keys     map[string]*syncv1.Key
	replaced map[string]map[string]bool
	versions map[string][]byte
	pending  map[string][]byte // versions of replaced groups
	received []*syncv1.Update
}

func connect(hub *publish.Hub, instance string) *server {
	return subscribe(hub, publish.Subscriber{Instance: instance})
}

// subscribe connects a server, which is another run of it unless one is given.
func subscribe(hub *publish.Hub, subscriber publish.Subscriber) *server {
	subscriber.Incarnation = cmp.Or(subscriber.Incarnation, rand.Text())
	return &server{
		Subscription: hub.Subscribe(subscriber),
		groups:       map[string]*syncv1.Group{}, keys: map[string]*syncv1.Key{}, replaced: map[string]map[string]bool{},
		versions: map[string][]byte{}, pending: map[string][]byte{},
	}
}

// take applies the updates that are ready, and acknowledges them if that is asked for.
func (s *server) take(t interface {
	Context() context.Context
	Helper()
}, acknowledge bool) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(t.Context())
		if s.CaughtUp() {
			cancel() // an update that is ready is returned nevertheless
		}
		update, err := s.Next(ctx)
		cancel()
		if err != nil {
			break
		}
		s.apply(update)
	}
	for _, update := range s.received {
		if acknowledge {
			s.Ack(update.GetRevision())
		}
	}
}

func (s *server) apply(u *syncv1.Update) {
	s.received = append(s.received, u)
	for _, identity := range u.GetDeletedGroups() {
		delete(s.groups, identity)
		delete(s.versions, identity)
		s.dropKeys(func(k *syncv1.Key) bool { return k.GetGroup() == identity })
	}
	for _, id := range u.GetDeletedKeys() {
		if key := s.keys[id]; key != nil {
			s.touch(key.GetGroup())
		}
		delete(s.keys, id)
	}
	for _, identity := range u.GetReplacedGroups() {
		s.replaced[identity] = map[string]bool{}
	}
	for _, group := range u.GetGroups() {
		s.groups[group.Identity()] = group
		s.touch(group.Identity())
	}
	for _, key := range u.GetKeys() {
		s.keys[key.GetId()] = key
		s.touch(key.GetGroup())
		if seen := s.replaced[key.GetGroup()]; seen != nil {
			seen[key.GetId()] = true
		}
	}
	for _, v := range u.GetVersions() {
		if _, replaced := s.replaced[v.GetGroup()]; replaced {
			s.pending[v.GetGroup()] = v.GetVersion()
		} else {
			s.versions[v.GetGroup()] = v.GetVersion()
		}
	}
	if u.GetCaughtUp() {
		maps.Copy(s.versions, s.pending)
		clear(s.pending)
		s.dropKeys(func(k *syncv1.Key) bool {
			seen, replaced := s.replaced[k.GetGroup()]
			return replaced && !seen[k.GetId()]
		})
		clear(s.replaced)
	}
}

func (s *server) dropKeys(which func(*syncv1.Key) bool) {
	for id, key := range s.keys {
		if which(key) {
			delete(s.keys, id)
		}
	}
}

// touch takes the version of a group away.
func (s *server) touch(group string) {
	delete(s.versions, group)
	delete(s.pending, group)
}

func (s *server) known() map[string][]byte {
	known := map[string][]byte{}
	for identity := range s.groups {
		known[identity] = s.versions[identity]
	}
	return known
}

// reconnect continues with what the server has.
func (s *server) reconnect(hub *publish.Hub, instance string) *server {
	again := subscribe(hub, publish.Subscriber{Instance: instance, Known: s.known()})
	again.groups, again.keys, again.versions = s.groups, s.keys, s.versions
	return again
}

func enforcement(hub *publish.Hub, record *syncv1.Key) publish.Enforcement {
	return hub.Enforcement(publish.Subject{Ref: publish.KeyRef(record.GetId()), Group: record.GetGroup()}, publish.RecordID(record))
}

func TestEnforcementIsAcknowledged(t *testing.T) {
	hub, clk := newHub(publish.Options{})
	a, b := connect(hub, "a"), connect(hub, "b")
	a.take(t, true)
	b.take(t, true)

	var announced []string
	hub.OnEnforced(func(s publish.Subject) { announced = append(announced, s.ID+" "+s.Object.String()) })
	key := keyRecord("k2", acme)
	putKey(hub, key)
	a.take(t, true)
	b.take(t, false)
	if e := enforcement(hub, key); e.Complete || e.Servers != 2 || e.Acknowledged != 1 || fmt.Sprint(e.Waiting) != "[b]" {
		t.Errorf("after one of two: %+v", e)
	}
	if len(announced) != 0 {
		t.Errorf("announced %v too early", announced)
	}
	clk.Step(7 * time.Millisecond)
	b.Ack(b.received[len(b.received)-1].GetRevision())
	if e := enforcement(hub, key); !e.Complete || e.Acknowledged != 2 || e.Latency != 7*time.Millisecond {
		t.Errorf("after both: %+v", e)
	}
	if fmt.Sprint(announced) != "[k2 web/k2]" {
		t.Errorf("announced %v", announced)
	}
	if e := enforcement(hub, keyRecord("k2", "tenants/other")); e.Complete {
		t.Error("another content of the record is said to be in force")
	}
}

func TestEnforcementWithoutServers(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	key := keyRecord("k2", acme)
	putKey(hub, key)
	if e := enforcement(hub, key); !e.Complete || e.Servers != 0 {
		t.Errorf("%+v", e)
	}
	late := connect(hub, "late")
	late.take(t, true)
	if late.keys["k2"] == nil {
		t.Error("a server that came later lacks the key")
	}
}

func TestNewServerIsWaitedFor(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	a := connect(hub, "a")
	a.take(t, true)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	b := subscribe(hub, publish.Subscriber{Instance: "b", Known: map[string][]byte{acme: []byte("outdated")}})
	a.take(t, true)
	if e := enforcement(hub, key); e.Complete || fmt.Sprint(e.Waiting) != "[b]" {
		t.Errorf("b is connected and decides by what it knew: %+v", e)
	}
	b.take(t, true)
	if e := enforcement(hub, key); !e.Complete || e.Servers != 2 {
		t.Errorf("%+v", e)
	}
}

func TestSlowServerDelaysNoOtherAndGetsTheLatestState(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	quick, slow := connect(hub, "quick"), connect(hub, "slow")
	quick.take(t, true)
	slow.take(t, true)
	for i := range 1000 {
		key := keyRecord("k1", acme)
		key.Projects = []string{fmt.Sprint(i)}
		putKey(hub, key)
		quick.take(t, true)
		if got := quick.keys["k1"].GetProjects()[0]; got != fmt.Sprint(i) {
			t.Fatalf("the quick server has %s of %d", got, i)
		}
	}
	before := len(slow.received)
	slow.take(t, true)
	if n := len(slow.received) - before; n != 1 || slow.keys["k1"].GetProjects()[0] != "999" {
		t.Errorf("the slow server was sent %d updates and has %v", n, slow.keys["k1"].GetProjects())
	}
}

func TestSlowServerIsNotSentMoreThanItAcknowledges(t *testing.T) {
	hub, _ := newHub(publish.Options{})
	slow := connect(hub, "slow")
	slow.take(t, true)
	before := len(slow.received)
	for i := range 1000 {
		key := keyRecord("k1", acme)
		key.Projects = []string{fmt.Sprint(i)}
		putKey(hub, key)
		slow.take(t, false)
	}
	if sent := len(slow.received) - before; sent > 4 {
		t.Errorf("%d updates were sent without an acknowledgement", sent)
	}
	slow.Ack(slow.received[len(slow.received)-1].GetRevision())
	slow.take(t, true)
	if slow.keys["k1"].GetProjects()[0] != "999" {
		t.Errorf("after acknowledging it has %v", slow.keys["k1"].GetProjects())
	}
}

func TestDisconnectedServer(t *testing.T) {
	const grace = 5 * time.Second
	setup := func(t *testing.T) (*publish.Hub, *steppedClock, *server, *syncv1.Key) {
		hub, clk := newHub(publish.Options{Grace: grace})
		a, b := connect(hub, "a"), connect(hub, "b")
		a.take(t, true)
		b.take(t, true)
		b.Close(false)
		key := keyRecord("k2", acme)
		putKey(hub, key)
		a.take(t, true)
		if e := enforcement(hub, key); e.Complete || fmt.Sprint(e.Waiting) != "[b]" {
			t.Fatalf("a disconnected server is not waited for: %+v", e)
		}
		return hub, clk, b, key
	}
	t.Run("is given up after a while, and named", func(t *testing.T) {
		hub, clk, _, key := setup(t)
		clk.Step(grace - 1)
		if enforcement(hub, key).Complete {
			t.Error("given up too early")
		}
		clk.Step(1)
		if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != 1 || fmt.Sprint(e.Expired) != "[b]" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("is waited for when it is back in time", func(t *testing.T) {
		hub, clk, _, key := setup(t)
		back := connect(hub, "b")
		clk.Step(grace)
		if e := enforcement(hub, key); e.Complete || fmt.Sprint(e.Waiting) != "[b]" {
			t.Errorf("%+v", e)
		}
		back.take(t, true)
		if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || len(e.Expired) != 0 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("is no longer named when it is back late", func(t *testing.T) {
		hub, clk, _, key := setup(t)
		clk.Step(grace)
		back := connect(hub, "b")
		back.take(t, true)
		if e := enforcement(hub, key); !e.Complete || e.Servers != 2 || e.Acknowledged != 2 || len(e.Expired) != 0 {
			t.Errorf("%+v", e)
		}
	})
}

func TestGoodbyeIsNotWaitedFor(t *testing.T) {
	hub, _ := newHub(publish.Options{Grace: time.Minute})
	a := connect(hub, "a")
	a.take(t, true)
	key := keyRecord("k2", acme)
	putKey(hub, key)
	a.Close(true)
	if e := enforcement(hub, key); !e.Complete || e.Servers != 0 || len(e.Expired) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestStartupGrace(t *testing.T) {
	clk := newClock()
	hub := publish.NewHub(clk, session.NewRegistry(clk, 0), publish.Options{StartupGrace: 5 * time.Second})
	hub.PutGroup(groupRecord(acme))
	key := keyRecord("k1", acme)
	putKey(hub, key)
	if e := enforcement(hub, key); e.Complete || !e.InStartupGrace {
		t.Errorf("before Open: %+v", e)
	}
	announced := 0
	hub.OnEnforced(func(publish.Subject) { announced++ })
	hub.Open()
	if e := enforcement(hub, key); e.Complete || !e.InStartupGrace {
		t.Errorf("servers of an earlier leader may be on their way: %+v", e)
	}
	clk.Step(5 * time.Second)
	if e := enforcement(hub, key); !e.Complete || announced != 1 {
		t.Errorf("%+v, announced %d times", e, announced)
	}
}

func TestReconnectTransfersDifferences(t *testing.T) {
	const other, gone = "tenants/other", "tenants/gone"
	hub, _ := newHub(publish.Options{})
	for _, identity := range []string{other, gone} {
		hub.PutGroup(groupRecord(identity))
		putKey(hub, keyRecord("k-"+identity, identity))
	}
	first := connect(hub, "a")
	first.take(t, true)
	first.Close(true)

	hub.DeleteGroup(gone)
	putKey(hub, keyRecord("k9", other))
	hub.DeleteKey("k-" + other)
	again := first.reconnect(hub, "a")
	again.take(t, true)

	if len(again.received) != 1 { // the changes, with the end of the catch-up
		t.Errorf("%d updates: %v", len(again.received), again.received)
	}
	for _, update := range again.received {
		if slices.Contains(update.GetReplacedGroups(), acme) {
			t.Error("a group that is unchanged was sent again")
		}
	}
	if again.groups[gone] != nil || again.keys["k-"+gone] != nil || again.keys["k-"+other] != nil {
		t.Error("what is gone is still there")
	}
	if again.keys["k9"] == nil || again.keys["k1"] == nil {
		t.Error("something is missing")
	}
	if e := enforcement(hub, keyRecord("k9", other)); !e.Complete {
		t.Errorf("caught up, but not in force: %+v", e)
	}
}

func TestLargeUpdatesAreSplit(t *testing.T) {
	const keys = 20_000
	hub, _ := newHub(publish.Options{})
	early := connect(hub, "early")
	early.take(t, true)
	last := keyRecord("", acme)
	for i := range keys {
		last = keyRecord(fmt.Sprintf("bulk%05d", i), acme)
		putKey(hub, last)
	}
	late := connect(hub, "late")
	for name, s := range map[string]*server{"changes": early, "catch-up": late} {
		before := len(s.received)
		s.take(t, false)
		if pieces := len(s.received) - before; pieces < 2 {
			t.Errorf("%s: %d pieces", name, pieces)
		}
		for _, update := range s.received[before : len(s.received)-1] {
			s.Ack(update.GetRevision())
		}
		if len(s.keys) != keys+1 {
			t.Errorf("%s: %d keys", name, len(s.keys))
		}
	}
	if e := enforcement(hub, last); e.Complete || e.Acknowledged != 0 {
		t.Errorf("in force before the last piece: %+v", e)
	}
	early.Ack(early.received[len(early.received)-1].GetRevision())
	late.Ack(late.received[len(late.received)-1].GetRevision())
	if e := enforcement(hub, last); !e.Complete {
		t.Errorf("%+v", e)
	}
}

func TestAuthorization(t *testing.T) {
	const other = "tenants/other"
	hub, _ := newHub(publish.Options{})
	hub.PutGroup(groupRecord(other))
	asked := map[string]int{}
	may := func(_ context.Context, group string) (bool, error) {
		asked[group]++
		return group == acme, nil
	}
	s := subscribe(hub, publish.Subscriber{Instance: "a", Authorizer: asking(may)})
	s.take(t, true)
	secret := keyRecord("k2", other)
	putKey(hub, secret)
	hub.PutGroup(groupRecord("tenants/new"))
	s.take(t, true)
	if len(s.groups) != 1 || len(s.keys) != 1 {
		t.Errorf("it has %d groups and %d keys that it may not have", len(s.groups)-1, len(s.keys)-1)
	}
	if e := enforcement(hub, secret); !e.Complete || e.Servers != 0 {
		t.Errorf("a server that may not have the group is waited for: %+v", e)
	}
	for group, times := range asked {
		if times != 1 {
			t.Errorf("asked %d times about %s", times, group)
		}
	}
}

// TestGroupCreatedDuringAuthorization: a group may be created between the calls of the Authorizer and the next update.
func TestGroupCreatedDuringAuthorization(t *testing.T) {
	const asked, secret = "tenants/asked", "tenants/secret"
	hub, _ := newHub(publish.Options{})
	may := func(_ context.Context, group string) (bool, error) {
		if group == asked {
			hub.PutGroup(groupRecord(secret))
			putKey(hub, keyRecord("k2", secret))
		}
		return group != secret, nil
	}
	s := subscribe(hub, publish.Subscriber{Instance: "a", Authorizer: asking(may)})
	s.take(t, true)
	hub.PutGroup(groupRecord(asked))
	s.take(t, true)
	putKey(hub, keyRecord("k3", asked))
	s.take(t, true)
	if s.groups[secret] != nil || s.keys["k2"] != nil {
		t.Error("it has a group that it may not have")
	}
	if s.groups[asked] == nil || s.keys["k3"] == nil {
		t.Error("it lacks a group that it may have")
	}
}

func TestServerOfAnEmptyHubIsNotOverdue(t *testing.T) {
	clk := newClock()
	hub := publish.NewHub(clk, session.NewRegistry(clk, 0), publish.Options{})
	hub.Open()
	s := connect(hub, "a")
	s.take(t, true)
	clk.Step(time.Hour)
	if s.Overdue(time.Minute) {
		t.Error("it has acknowledged that there is nothing")
	}
}

func TestOverdue(t *testing.T) {
	hub, clk := newHub(publish.Options{})
	s := connect(hub, "a")
	s.take(t, true)
	clk.Step(time.Hour)
	if s.Overdue(time.Minute) {
		t.Error("an idle server is overdue")
	}
	putKey(hub, keyRecord("k2", acme))
	s.take(t, false)
	clk.Step(time.Minute + 1)
	if !s.Overdue(time.Minute) {
		t.Error("an unacknowledged update is not overdue")
	}
	s.Ack(s.received[len(s.received)-1].GetRevision())
	if s.Overdue(time.Minute) {
		t.Error("an acknowledged update is overdue")
	}
}

// TestServerIsNotOverdueAfterAGrant: a review of rights sends an update although no record has changed. Its acknowledgement
// counts.
func TestServerIsNotOverdueAfterAGrant(t *testing.T) {
	hub, clk := newHub(publish.Options{})
	may := granted()
	s := subscribe(hub, publish.Subscriber{Instance: "s", Authorizer: may})
	s.take(t, true)
	may.known[acme] = true
	s.Review()
	s.take(t, true)
	if s.groups[acme] == nil {
		t.Fatal("it lacks the group")
	}
	clk.Step(2 * time.Minute)
	if s.Overdue(time.Minute) {
		t.Error("it is overdue with an update that it has acknowledged")
	}
}
