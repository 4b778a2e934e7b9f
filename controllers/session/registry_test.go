package session_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keyward-dev/keyward/controllers/session"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func all(string) bool { return true }

func server(instance, incarnation string) session.Server {
	return session.Server{
		Run: session.Run{ID: session.ID{Instance: instance, Identity: "tenants/v"}, Incarnation: incarnation}, Has: all,
		Serves: func(string) (bool, bool) { return true, true },
	}
}

// TestFlappingServerIsOne: a server that is disconnected and comes back, and goes again, is one server in every count.
func TestFlappingServerIsOne(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	r := session.NewRegistry(clock, time.Hour)
	want := func(when string, connected, absent, runs int) {
		t.Helper()
		if c, a := r.Count(); c != connected || a != absent || r.Runs() != runs {
			t.Fatalf("%s: %d connected, %d absent, %d runs; want %d, %d, %d", when, c, a, r.Runs(), connected, absent, runs)
		}
	}
	gone := func(s *session.Session, want bool) {
		t.Helper()
		if as, absent := s.Disconnect(session.EveryGroup()); absent != want || absent && as != s.ID {
			t.Fatalf("absent as %v, %t", as, absent)
		}
	}
	for i := range 1000 {
		s := r.Connect(server("a", "one"))
		if s.Returned() != (i > 0) {
			t.Fatal("whether it was absent")
		}
		want("connected", 1, 0, 0)
		again := r.Connect(server("a", "one")) // before its earlier stream has ended
		want("connected again", 1, 0, 0)
		if having := r.Having("tenants/acme"); len(having) != 1 || having[0] != again {
			t.Fatalf("%d servers have the group", len(having))
		}
		first, second := s, again
		if i%2 == 1 { // the later stream may end first
			first, second = again, s
		}
		gone(first, first == again)
		gone(second, second == again)
		want("disconnected", 0, 1, 1)
		gone(again, false)
		clock.Step(time.Second)
	}
	if at, known := r.Disconnected(server("a", "one").Run); !known || !at.Equal(clock.Now().Add(-time.Second)) {
		t.Errorf("disconnected at %v, %t", at, known)
	}
	if !r.MayKnow("tenants/acme", start) || r.MayKnow("tenants/acme", clock.Now().Add(time.Hour)) {
		t.Error("what a disconnected server may know")
	}
	s := r.Connect(server("a", "two")) // another process
	want("restarted", 1, 0, 1)
	s.Goodbye()
	want("after a goodbye", 0, 0, 1)
	clock.Step(25 * time.Hour)
	if _, known := r.Disconnected(server("a", "one").Run); known {
		t.Error("a run of the day before is expected back")
	}
	if _, known := r.Disconnected(server("a", "two").Run); known {
		t.Error("a run that said goodbye is expected back")
	}
}

// TestProcessesOfOneNameAreTwo: a server is not absent while another process of its name is connected.
func TestProcessesOfOneNameAreTwo(t *testing.T) {
	r := session.NewRegistry(clocktesting.NewFakeClock(start), time.Hour)
	one, two := r.Connect(server("a", "one")), r.Connect(server("a", "two"))
	if n := len(r.Having("tenants/acme")); n != 2 {
		t.Fatalf("%d servers have the group, want both", n)
	}
	if _, absent := one.Disconnect(session.EveryGroup()); absent {
		t.Error("it is absent while another is connected")
	}
	if as, absent := two.Disconnect(session.EveryGroup()); !absent || as != two.ID || !r.IsAbsent(two.ID) {
		t.Error("both are gone, and it is not absent")
	}
	if connected, absent := r.Count(); connected != 0 || absent != 1 || r.Runs() != 2 {
		t.Errorf("%d are connected, %d absent, %d runs", connected, absent, r.Runs())
	}
}

// TestManyServersAreBounded: whoever connects under many names costs a bounded amount of memory, and hides nobody else.
func TestManyServersAreBounded(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	r := session.NewRegistry(clock, 0)
	honest := session.ID{Instance: "honest", Identity: "tenants/honest"}
	r.Connect(session.Server{Run: session.Run{ID: honest, Incarnation: "one"}}).Disconnect(session.EveryGroup())
	for i := range 6000 {
		r.Connect(server(fmt.Sprint("rogue", i), fmt.Sprint(i))).Disconnect(session.OneGroup("rogues/own"))
		clock.Step(time.Millisecond)
	}
	if _, absent := r.Count(); absent > session.MaxAbsentOfOne+1 || r.Runs() > 4001 {
		t.Errorf("%d servers and %d runs are kept", absent, r.Runs())
	}
	if _, known := r.Disconnected(session.Run{ID: honest, Incarnation: "one"}); !known || !r.IsAbsent(honest) {
		t.Error("a server of somebody else is forgotten")
	}
	if !r.MayKnow("rogues/own", start.Add(6*time.Second)) || !slices.Contains(slices.Collect(r.Absent("rogues/own")), session.Others()) {
		t.Error("a server that is not kept separately is forgotten")
	}
}

// TestNamesAreUnique: no two runs have one name, and a name fits into a status.
func TestNamesAreUnique(t *testing.T) {
	names := map[string]bool{}
	for _, instance := range []string{"a", "a@b", "a/b"} {
		for _, identity := range []string{"", "x", "b\x00a"} {
			run := session.Run{ID: session.ID{Instance: instance, Identity: identity}, Incarnation: "one"}
			if names[run.Name()] || len(run.Name()) > 300 {
				t.Errorf("%q", run.Name())
			}
			names[run.Name()] = true
		}
	}
}

// TestServersAreShownAsConnectedAllTheTime: a stream that ends and is opened again within a minute does not show, and one that is opened
// later does.
func TestServersAreShownAsConnectedAllTheTime(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	r := session.NewRegistry(clock, time.Hour)
	connect := func() *session.Session {
		s := server("a", "one")
		s.Info = session.Info{Owner: "tenants/v", Version: "v0.1.0"}
		return r.Connect(s)
	}
	s := connect()
	for range 3 {
		clock.Step(30 * time.Minute)
		s.Disconnect(session.EveryGroup())
		connected, _ := r.Count()
		absent := r.Absences()
		if connected != 0 || len(absent) != 1 || absent[0].Info != s.Info || !absent[0].ConnectedSince.Equal(start) || !absent[0].At.Equal(clock.Now()) {
			t.Fatalf("%d, %+v", connected, absent)
		}
		clock.Step(time.Minute)
		s = connect()
		if !s.ConnectedSince().Equal(start) {
			t.Fatalf("connected since %s", s.ConnectedSince())
		}
	}
	again := connect() // before the end of its earlier stream is noticed
	if !again.ConnectedSince().Equal(start) {
		t.Fatalf("connected since %s", again.ConnectedSince())
	}
	connected, _ := r.Count()
	if absent := r.Absences(); connected != 1 || len(absent) != 0 {
		t.Fatalf("%d, %+v", connected, absent)
	}
	again.Disconnect(session.EveryGroup())
	clock.Step(time.Minute + time.Second)
	if s = connect(); !s.ConnectedSince().Equal(clock.Now()) {
		t.Fatalf("connected since %s", s.ConnectedSince())
	}
}
