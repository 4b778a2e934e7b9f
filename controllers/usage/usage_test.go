package usage_test

import (
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

var (
	start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	one   = keyformat.DigestOf("one")
	all   = func(string) bool { return true }
)

func newTracker(clk clock.PassiveClock) *usage.Tracker {
	return usage.NewTracker(clk, session.NewRegistry(clk, 0))
}

// connect connects a server to a Tracker for which all digests belong to acme/acme.
func connect(tracker *usage.Tracker, instance string, has func(string) bool) server {
	return connectAs(tracker, session.Server{Run: run(instance, ""), Has: has})
}

// connectAs connects a server that has more.
func connectAs(tracker *usage.Tracker, peer session.Server) server {
	s := tracker.Sessions.Connect(peer)
	return server{tracker.Connect(s, func(keyformat.Digest) (string, bool) { return "acme/acme", true })}
}

func run(instance, identity string) session.Run {
	return session.Run{ID: session.ID{Instance: instance, Identity: identity}, Incarnation: "one"}
}

// server is a server with its session.
type server struct{ *usage.Server }

// Close ends the session of a server that had the groups; without any, of one that had all.
func (s server) Close(goodbye bool, had ...session.Scope) {
	end(s.Session, goodbye, had...)
	s.Forget()
}

func end(s *session.Session, goodbye bool, had ...session.Scope) {
	switch {
	case goodbye:
		s.Goodbye()
	case len(had) == 0:
		s.Disconnect(session.EveryGroup())
	default:
		s.Disconnect(had...)
	}
}

func uses(through, last time.Time, clients ...uint64) *syncv1.VersionReport {
	return &syncv1.VersionReport{ThroughMs: through.UnixMilli(), Versions: []*syncv1.VersionUse{{Digest: one[:], LastMs: last.UnixMilli(),
		Clients: clients}}}
}

// TestThrough: all servers of a group must have reported, and none may be disconnected.
func TestThrough(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	tracker := newTracker(clock)
	want := func(when string, through time.Time, servers int) {
		t.Helper()
		report := tracker.Of("acme/acme", nil, &start)
		if !report.Through.Equal(through) || report.Servers != servers {
			t.Errorf("%s: through %v by %d, want %v by %d", when, report.Through, report.Servers, through, servers)
		}
	}
	want("without servers", time.Time{}, 0)
	a := connect(tracker, "a", all)
	other := connect(tracker, "other", func(group string) bool { return group == "other/other" })
	defer other.Close(true)
	want("before a report", time.Time{}, 1)
	a.Report(uses(start, start))
	want("after one", start, 1)
	b := connect(tracker, "b", all)
	want("when another joins", time.Time{}, 2)
	b.Report(uses(start.Add(-time.Minute), start))
	want("the earlier counts", start.Add(-time.Minute), 2)
	b.Report(uses(start.Add(time.Hour), start))
	want("a clock that is ahead counts as now", start, 2)
	b.Close(false)
	want("while one is disconnected", time.Time{}, 1)
	b = connect(tracker, "b", all)
	b.Report(uses(start, start))
	want("when it has reconnected", start, 2)
	again := connect(tracker, "b", all)
	again.Report(uses(start, start))
	b.Close(false)
	want("when it was back before it was missed", start, 2)
	again.Close(true)
	want("when one says goodbye", start, 1)
}

func TestUses(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	tracker := newTracker(clock)
	a, b := connect(tracker, "a", all), connect(tracker, "b", all)
	a.Report(uses(start, start.Add(-time.Minute), 1, 2))
	b.Report(uses(start, start.Add(-time.Hour), 2, 3))
	b.Report(&syncv1.VersionReport{Versions: []*syncv1.VersionUse{{Digest: []byte("short")}}})
	got := tracker.Of("acme/acme", []keyformat.Digest{keyformat.DigestOf("two"), one}, nil).Of
	if got[0] != (usage.Use{}) || !got[1].Last.Equal(start.Add(-time.Minute)) || got[1].Clients != 3 || got[1].More {
		t.Errorf("got %+v", got)
	}
	for i := range uint64(100) {
		a.Report(uses(start, start, i))
	}
	if got := tracker.Of("acme/acme", []keyformat.Digest{one}, nil).Of[0]; got.Clients != usage.MaxClients || !got.More {
		t.Errorf("got %+v", got)
	}
}

// TestDue: a version is due at its first use, and then once per resolution.
func TestDue(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	tracker := newTracker(clock)
	a := connect(tracker, "a", all)
	for i, step := range []struct {
		after time.Duration
		used  bool
		want  int
	}{{0, true, 1}, {time.Minute, true, 0}, {9 * time.Minute, true, 1}, {time.Hour, false, 0}, {time.Second, true, 1},
		{25 * time.Hour, false, 0}, {0, true, 1}} {
		clock.Step(step.after)
		if step.used {
			a.Report(uses(clock.Now(), clock.Now()))
		}
		if due := tracker.Due(10 * time.Minute); len(due) != step.want {
			t.Errorf("step %d: %d due, want %d", i, len(due), step.want)
		}
	}
}
