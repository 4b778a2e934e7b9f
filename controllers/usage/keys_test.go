package usage_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
	recorder "github.com/keyward-dev/keyward/server/usage"
)

var web = usage.KeyName{Group: "tenants/acme", ID: "k1"}

// shown is the status of a key.
type shown struct {
	period   string
	requests uint64
	before   *shown // what a cache that lags has
}

// write writes the count of a key, as the controller does. With outcome 0 the write succeeds, with 1 it fails, with 2 it
// succeeds but returns an error.
func (s *shown) write(keys *usage.Keys, outcome int) {
	c := keys.Of(web, s.period, s.requests)
	if c == nil {
		return
	}
	keys.Writing(c)
	if outcome != 1 {
		*s = shown{c.Month.String(), c.Requests, &shown{period: s.period, requests: s.requests}}
	}
	if outcome == 0 {
		keys.Wrote(c)
	}
}

// writeStale is a write from a cache that lags, which the API server refuses.
func (s *shown) writeStale(keys *usage.Keys) {
	if s.before == nil {
		return
	}
	if c := keys.Of(web, s.before.period, s.before.requests); c != nil {
		keys.Writing(c)
		keys.Refused(c)
	}
}

// connectKeys connects one run of a server.
func connectKeys(tracker *usage.Tracker, instance, incarnation string) keyStream {
	named := run(instance, "")
	named.Incarnation = incarnation
	s := tracker.Sessions.Connect(session.Server{Run: named, Serves: mayServe, Has: all})
	return keyStream{tracker.Keys.Connect(s, func(string, string) bool { return true }), s}
}

// keyStream is the stream of a server with its session.
type keyStream struct {
	*usage.KeyReporter

	session *session.Session
}

func (s keyStream) Close(goodbye bool) {
	end(s.session, goodbye)
	s.KeyReporter.Close()
}

func mayServe(group string) (serves, known bool) {
	return group == web.Group, group != "tenants/undecided"
}

func say(requests, recorded uint64) *syncv1.KeyUse {
	return &syncv1.KeyUse{Group: web.Group, Key: web.ID, Period: "2026-11", Requests: requests, Recorded: recorded}
}

// TestKeyReports: a wrong count is left out and changes nothing, and so does a count that was reported before.
func TestKeyReports(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*syncv1.KeyUse)
		want   uint64
	}{
		"good":                 {func(*syncv1.KeyUse) {}, 12},
		"again":                {func(u *syncv1.KeyUse) { u.Requests = 10 }, 10},
		"late":                 {func(u *syncv1.KeyUse) { u.Requests = 9 }, 10},
		"overflow":             {func(u *syncv1.KeyUse) { u.Requests = 1 << 63 }, 10},
		"recorded beyond":      {func(u *syncv1.KeyUse) { u.Recorded = 13 }, 10},
		"a group of others":    {func(u *syncv1.KeyUse) { u.Group = "tenants/other" }, 10},
		"an undecided group":   {func(u *syncv1.KeyUse) { u.Group = "tenants/undecided" }, 10},
		"a month to come":      {func(u *syncv1.KeyUse) { u.Period = "2026-12" }, 10},
		"a month of last year": {func(u *syncv1.KeyUse) { u.Period = "2025-11" }, 10},
		"no month":             {func(u *syncv1.KeyUse) { u.Period = "" }, 10},
		"last month":           {func(u *syncv1.KeyUse) { u.Period = "2026-10" }, 10},
		"no key":               {func(u *syncv1.KeyUse) { u.Key = "" }, 10},
		"a long key":           {func(u *syncv1.KeyUse) { u.Key = strings.Repeat("k", 65) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			tracker := newTracker(clocktesting.NewFakeClock(start))
			keys, r := tracker.Keys, connectKeys(tracker, "server", "one")
			r.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{say(10, 0)}})
			use := say(12, 0)
			c.change(use)
			r.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{use}})
			s := &shown{}
			s.write(keys, 0)
			if s.requests != c.want || s.period != "2026-11" {
				t.Errorf("%+v", s)
			}
			if due := keys.Due(0, 10); len(due) != 0 {
				t.Errorf("%v is to be written", due)
			}
		})
	}
}

// TestKeysMonth: a new month replaces the last one, whose late reports are not needed.
func TestKeysMonth(t *testing.T) {
	clk := clocktesting.NewFakeClock(start)
	tracker, s := newTracker(clk), &shown{}
	keys, a, b := tracker.Keys, connectKeys(tracker, "a", "one"), connectKeys(tracker, "b", "two")
	december := &syncv1.KeyUse{Group: web.Group, Key: web.ID, Period: "2026-12", Requests: 3}
	a.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{say(10, 0)}})
	s.write(keys, 0)
	clk.SetTime(time.Date(2026, 12, 1, 0, 0, 1, 0, time.UTC))
	a.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{say(11, 10), december}})
	b.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{say(5, 0)}})
	s.write(keys, 0)
	if s.period != "2026-12" || s.requests != 3 {
		t.Errorf("%+v", s)
	}
	if acknowledged := b.Take().GetKeys(); len(acknowledged) != 1 || acknowledged[0].GetRecorded() != 5 {
		t.Errorf("%v", acknowledged)
	}
}

// TestKeysDue: a key is due when there is something to write, once per resolution; at most so many at a time, the oldest writes
// first; and an idle key is never due.
func TestKeysDue(t *testing.T) {
	clk := clocktesting.NewFakeClock(start)
	tracker, s := newTracker(clk), &shown{}
	keys, r := tracker.Keys, connectKeys(tracker, "a", "one")
	report := func(id string, n uint64) {
		r.Report(&syncv1.KeyReport{Keys: []*syncv1.KeyUse{{Group: web.Group, Key: id, Period: "2026-11", Requests: n}}})
	}
	requests := uint64(0)
	for i, step := range []struct {
		after time.Duration
		used  bool
		due   int
	}{{0, true, 1}, {time.Minute, true, 0}, {9 * time.Minute, false, 1}, {time.Hour, false, 0}, {time.Minute, true, 1}} {
		clk.Step(step.after)
		if step.used {
			requests++
			report(web.ID, requests)
		}
		due := keys.Due(10*time.Minute, 10)
		if len(due) != step.due {
			t.Errorf("step %d: %v", i, due)
		}
		if c := keys.Of(web, s.period, s.requests); len(due) > 0 && !c.Due || len(due) == 0 && c != nil && c.Due {
			t.Errorf("step %d: %+v", i, c)
		}
		if len(due) > 0 {
			s.write(keys, 0)
		}
	}
	clk.Step(time.Hour)
	requests++
	report(web.ID, requests) // it was written before
	for i := range 20 {
		report(fmt.Sprint("new", i), 1)
	}
	if due := keys.Due(10*time.Minute, 20); len(due) != 20 || strings.Contains(fmt.Sprint(due), web.ID+"}") {
		t.Errorf("%v", due)
	}
	keys.Forget(usage.KeyName{Group: web.Group, ID: "new3"})
	if due := keys.Due(10*time.Minute, 100); len(due) != 20 {
		t.Errorf("%d are due", len(due))
	}
}

// keyNetwork is servers and a leader, with the messages between them.
type keyNetwork struct {
	*usage.Tracker

	servers []*keyServer
	status  shown
	used    uint64
}

type keyServer struct {
	*recorder.Recorder

	incarnation string
	stream      *keyStream
}

func (s *keyServer) connect(tracker *usage.Tracker) {
	if s.stream != nil {
		s.stream.Close(false)
	}
	s.stream = new(connectKeys(tracker, "server", s.incarnation))
	s.report(true)
}

func (s *keyServer) report(whole bool) {
	s.stream.Report(&syncv1.KeyReport{Keys: slices.Collect(s.Keys(whole))})
}

func (n *keyNetwork) use(s *keyServer) {
	n.used++
	request := &decision.Request{Credential: decision.Credential{Digest: keyformat.DigestOf("one")}}
	s.Used(web.ID, &decision.Group{Identity: web.Group}, request, start, false, netip.Addr{})
}

// TestKeysAreCountedOnce: with lost streams, repeated or lost reports and acknowledgements, and writes that fail or seem to fail,
// each request is shown exactly once in the end. A new leader may show twice what the last one had written and not
// acknowledged, and nothing else.
func TestKeysAreCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clk := clocktesting.NewFakeClock(start)
		n := &keyNetwork{Tracker: newTracker(clk)}
		for i := range 2 {
			n.servers = append(n.servers, &keyServer{Recorder: recorder.New(), incarnation: fmt.Sprint(i)})
			n.servers[i].connect(n.Tracker)
		}
		pick := func(t *rapid.T) *keyServer { return n.servers[rapid.IntRange(0, 1).Draw(t, "server")] }
		acknowledge := func() {
			for _, s := range n.servers {
				s.Recorded(s.stream.Take(), start)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"use":         func(t *rapid.T) { n.use(pick(t)) },
			"report":      func(t *rapid.T) { pick(t).report(rapid.Bool().Draw(t, "whole")) },
			"connect":     func(t *rapid.T) { pick(t).connect(n.Tracker) },
			"write":       func(t *rapid.T) { n.status.write(n.Keys, rapid.IntRange(0, 2).Draw(t, "outcome")) },
			"write stale": func(*rapid.T) { n.status.writeStale(n.Keys) },
			"told":        func(t *rapid.T) { s := pick(t); s.Recorded(s.stream.Take(), start) },
			"told late":   func(t *rapid.T) { pick(t).stream.Take() },
			"goodbye": func(t *rapid.T) {
				s := pick(t)
				s.report(false)
				s.stream.Close(true)
				*s = keyServer{Recorder: recorder.New(), incarnation: s.incarnation + "'"}
				s.connect(n.Tracker)
			},
			"leader": func(t *rapid.T) {
				for _, s := range n.servers {
					s.report(true)
				}
				n.status.write(n.Keys, 0)
				n.status.write(n.Keys, 0)
				for _, s := range n.servers { // lost messages are sent again
					s.connect(n.Tracker)
				}
				acknowledge()
				n.Tracker = newTracker(clk)
				for _, s := range n.servers {
					s.stream = nil
					s.connect(n.Tracker)
				}
			},
		})
		for _, s := range n.servers {
			s.report(true)
		}
		for range 2 { // the first may only detect that the count was written
			n.status.write(n.Keys, 0)
		}
		if n.status.requests != n.used {
			t.Fatalf("%d shown of %d", n.status.requests, n.used)
		}
	})
}

// TestNewLeader: counts that the last leader had written and not acknowledged are counted twice; counts that it had accepted and
// not written are not lost.
func TestNewLeader(t *testing.T) {
	clk := clocktesting.NewFakeClock(start)
	n := &keyNetwork{Tracker: newTracker(clk), servers: []*keyServer{{Recorder: recorder.New(), incarnation: "one"}}}
	s := n.servers[0]
	for range 5 {
		n.use(s)
	}
	s.connect(n.Tracker)
	n.status.write(n.Keys, 0)
	s.Recorded(s.stream.Take(), start)
	n.use(s)
	s.report(false)
	n.status.write(n.Keys, 0) // and is not acknowledged
	n.use(s)
	s.report(false)
	n.Tracker = newTracker(clk)
	s.stream = nil
	s.connect(n.Tracker)
	n.status.write(n.Keys, 0)
	if n.used != 7 || n.status.requests != 8 {
		t.Errorf("%d shown of %d", n.status.requests, n.used)
	}
}
