package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage/store"
	"github.com/keyward-dev/keyward/controllers/usage/traffic"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const acme = "tenants/acme"

func connect(clock *clocktesting.FakeClock, serves ...string) *session.Session {
	return session.NewRegistry(clock, 0).Connect(session.Server{
		Run: session.Run{ID: session.ID{Instance: "server"}, Incarnation: "one"},
		Serves: func(group string) (bool, bool) {
			for _, one := range serves {
				if one == group {
					return true, true
				}
			}
			return false, true
		},
		ServesKey: func(_, id string) bool { return !strings.HasPrefix(id, "invented") },
	})
}

func report(group string, refusals map[string]uint64, origins ...string) *syncv1.TrafficReport {
	said := &syncv1.GroupTraffic{Group: group, Refusals: refusals}
	for _, origin := range origins {
		said.Origins = append(said.Origins, &syncv1.OriginUse{Origin: origin, Requests: 2})
	}
	return &syncv1.TrafficReport{Groups: []*syncv1.GroupTraffic{said}}
}

// TestReport: what servers report adds up; what is of no group of theirs, or nothing that a server counts, is left out.
func TestReport(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := traffic.New(clock)
	s := connect(clock, acme)
	p.Report(s, report(acme, map[string]uint64{"origin_denied": 3}, "https://acme.com"))
	p.Report(s, report(acme, map[string]uint64{"origin_denied": 4, "of_a_later_release": 5}, "https://acme.com",
		"acme.com", "https://acme.com/path?token=vctrl", "https://user@acme.com", "https://"+strings.Repeat("a", 200)+".com", "https://a b.com", "://", ""))
	p.Report(s, report("tenants/other", map[string]uint64{"origin_denied": 1}))
	seen := p.Take(acme)
	if len(seen.Refusals) != 2 || seen.Refusals["origin_denied"] != 7 || seen.Refusals[usageseries.Other] != 5 ||
		len(seen.Origins) != 1 || seen.Origins["https://acme.com"] != 4 {
		t.Errorf("%+v", seen)
	}
	if again, other := p.Take(acme), p.Take("tenants/other"); !again.IsEmpty() || !other.IsEmpty() {
		t.Errorf("%+v is counted twice, and %+v is of a group that the server does not serve", again, other)
	}
	p.GiveBack(acme, seen)
	p.Report(s, report(acme, map[string]uint64{"origin_denied": 1}))
	if seen := p.Take(acme); seen.Refusals["origin_denied"] != 8 {
		t.Errorf("with what was given back: %+v", seen)
	}
}

// TestReportIsBounded: numbers do not overflow, and origins have a bound.
func TestReportIsBounded(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := traffic.New(clock)
	s := connect(clock, acme)
	for i := range 1000 {
		p.Report(s, report(acme, map[string]uint64{"origin_denied": 1<<64 - 1, fmt.Sprint(i): 1}, fmt.Sprintf("https://%d.com", i)))
	}
	if seen := p.Take(acme); int64(seen.Refusals["origin_denied"]) <= 0 || len(seen.Refusals) != 2 || len(seen.Origins) > 64 {
		t.Errorf("%d codes, %d origins, %d refusals", len(seen.Refusals), len(seen.Origins), seen.Refusals["origin_denied"])
	}
}

// TestRecord: what nothing else records is recorded after a minute; what cannot be recorded is tried again, unless the Group is
// gone.
func TestRecord(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := traffic.New(clock)
	outcomes := make(chan error, 1)
	recorded := make(chan string)
	p.Record = func(_ context.Context, group string) error {
		err := <-outcomes
		if err == nil {
			p.Take(group)
		}
		recorded <- group
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx) }()
	s := connect(clock, acme)
	p.Report(s, report(acme, map[string]uint64{"origin_denied": 1}))
	for _, outcome := range []error{errors.New("the API server is unreachable"), nil} {
		outcomes <- outcome
		step(t, clock, recorded)
	}
	p.Report(s, report(acme, map[string]uint64{"origin_denied": 1}))
	outcomes <- store.ErrNoGroup
	step(t, clock, recorded)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if seen := p.Take(acme); !seen.IsEmpty() {
		t.Errorf("%+v is kept of a Group that is gone", seen)
	}
}

// step turns the clock until something is recorded.
func step(t *testing.T, clock *clocktesting.FakeClock, recorded <-chan string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-recorded:
			return
		case <-tick.C:
			clock.Step(time.Minute)
		case <-deadline:
			t.Fatal("nothing is recorded")
		}
	}
}
