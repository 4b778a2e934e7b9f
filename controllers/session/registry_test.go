package session_test

import (
	"fmt"
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
	r := session.NewRegistry(clock)
	want := func(when string, connected, absent, runs int) {
		t.Helper()
		if c, a, n := r.Count(); c != connected || a != absent || n != runs {
			t.Fatalf("%s: %d connected, %d absent, %d runs; want %d, %d, %d", when, c, a, n, connected, absent, runs)
		}
	}
	for range 1000 {
		s := r.Connect(server("a", "one"))
		want("connected", 1, 0, 0)
		again := r.Connect(server("a", "one")) // before its earlier stream has ended
		if having := r.Having("tenants/acme"); len(having) != 1 || having[0] != again {
			t.Fatalf("%d servers have the group", len(having))
		}
		s.Close(false)
		want("reconnected", 1, 0, 0)
		again.Close(false)
		again.Close(false)
		want("disconnected", 0, 1, 1)
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
	s.Close(true)
	want("after a goodbye", 0, 0, 1)
	clock.Step(25 * time.Hour)
	if _, known := r.Disconnected(server("a", "one").Run); known {
		t.Error("a run of the day before is expected back")
	}
	if _, known := r.Disconnected(server("a", "two").Run); known {
		t.Error("a run that said goodbye is expected back")
	}
}

// TestManyServersAreBounded: whoever connects under many names costs a bounded amount of memory, and hides nobody else.
func TestManyServersAreBounded(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	r := session.NewRegistry(clock)
	r.Connect(session.Server{
		Run: session.Run{ID: session.ID{Instance: "honest", Identity: "tenants/honest"}, Incarnation: "one"}, Has: all,
	}).Close(false)
	for i := range 6000 {
		rogue := server(fmt.Sprint("rogue", i), fmt.Sprint(i))
		rogue.LastServed = func() (func(string) bool, []string) { return all, []string{"rogues/own"} }
		r.Connect(rogue).Close(false)
		clock.Step(time.Millisecond)
	}
	if _, absent, runs := r.Count(); absent > 1001 || runs > 4001 {
		t.Errorf("%d servers and %d runs are kept", absent, runs)
	}
	if _, known := r.Disconnected(session.Run{ID: session.ID{Instance: "honest", Identity: "tenants/honest"}, Incarnation: "one"}); !known {
		t.Error("a server of somebody else is forgotten")
	}
	if !r.MayKnow("rogues/own", start.Add(6*time.Second)) {
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
