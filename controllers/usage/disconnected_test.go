package usage_test

import (
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/controllers/usage"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// none serves no group.
func none(string) bool { return false }

// through returns Report.Through for a version that was minted then.
func through(tracker *usage.Tracker, minted time.Time) time.Time {
	return tracker.Of("acme/acme", nil, &minted).Through
}

// TestServersWithoutTheGroupDoNotDelayRetirement: a server that does not serve a group does not delay it, however it was
// disconnected.
func TestServersWithoutTheGroupDoNotDelayRetirement(t *testing.T) {
	tracker := newTracker(clocktesting.NewFakeClock(start))
	a := connect(tracker, "a", all)
	a.Report(uses(start, start))
	for i := range 20_000 {
		stranger := connectAs(tracker, session.Server{Run: run(fmt.Sprint("stranger", i), ""), Has: none})
		stranger.Disconnect()
		stranger.Forget()
	}
	for i := range 20_000 {
		connectAs(tracker, session.Server{Run: run(fmt.Sprint("neighbour", i), ""), Has: none}).Close(false, session.OneGroup("other/other"))
	}
	if got := through(tracker, start); !got.Equal(start) {
		t.Errorf("through %v", got)
	}
}

// TestReconnectionIsByInstanceAndIdentity: a server with the name of a disconnected one, and another identity, does not replace
// it.
func TestReconnectionIsByInstanceAndIdentity(t *testing.T) {
	tracker := newTracker(clocktesting.NewFakeClock(start))
	a := connect(tracker, "a", all)
	a.Report(uses(start, start))
	b := session.Server{Run: run("b", "tenants/b"), Has: all}
	connectAs(tracker, b).Close(false)
	for _, serves := range []func(string) bool{none, all} {
		borrowed := connectAs(tracker, session.Server{Run: run("b", "rogues/r"), Has: serves})
		borrowed.Report(uses(start, start))
		if !through(tracker, start).IsZero() {
			t.Error("another identity of its name made it forgotten")
		}
		borrowed.Close(true)
	}
	back := connectAs(tracker, b)
	back.Report(&syncv1.VersionReport{ThroughMs: start.UnixMilli()})
	if through(tracker, start).IsZero() {
		t.Error("it is back, and still missed")
	}
}

// TestDisconnectedServerDelaysVersionsThatItMayKnow: versions that were minted before it was disconnected, and no others, until
// it reconnects; also if too many servers are disconnected to be kept separately.
func TestDisconnectedServerDelaysVersionsThatItMayKnow(t *testing.T) {
	for _, lost := range []int{1, 30_000} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			clock := clocktesting.NewFakeClock(start)
			tracker := newTracker(clock)
			a := connect(tracker, "a", all)
			for i := range lost {
				peer := session.Server{Run: run(fmt.Sprint("gone", i), fmt.Sprint(i%3)), Has: all}
				connectAs(tracker, peer).Close(false, session.OneGroup("acme/acme"))
			}
			clock.Step(30 * 24 * time.Hour)
			now := clock.Now()
			a.Report(uses(now, now))
			for minted, held := range map[time.Time]bool{start.Add(-time.Hour): true, start: true, start.Add(time.Hour): false,
				now: false} {
				if got := through(tracker, minted); got.IsZero() != held {
					t.Errorf("minted %s after the loss: through %v", minted.Sub(start), got)
				}
			}
		})
	}
}

// TestServerReportsOnlyItsOwnGroups: uses are accepted for known versions of groups that the server serves.
func TestServerReportsOnlyItsOwnGroups(t *testing.T) {
	tracker := newTracker(clocktesting.NewFakeClock(start))
	groupOf := func(digest keyformat.Digest) (string, bool) {
		switch digest {
		case one:
			return "acme/acme", true
		case keyformat.DigestOf("own"):
			return "rogues/own", true
		}
		return "", false
	}
	rogue := tracker.Connect(tracker.Sessions.Connect(session.Server{
		Run: run("rogue", ""), Has: func(group string) bool { return group == "rogues/own" },
	}), groupOf)
	own := keyformat.DigestOf("own")
	said := &syncv1.VersionReport{}
	for i := range 100_000 {
		digest := keyformat.DigestOf(fmt.Sprint(i))
		said.Versions = append(said.Versions, &syncv1.VersionUse{Digest: digest[:], LastMs: start.UnixMilli(), Clients: []uint64{1}})
	}
	said.Versions = append(said.Versions, uses(start, start, 1, 2).GetVersions()[0],
		&syncv1.VersionUse{Digest: own[:], LastMs: start.UnixMilli()})
	rogue.Report(said)
	if due := tracker.Due(time.Minute); len(due) != 1 || due[0] != own {
		t.Errorf("%d versions are kept", len(due))
	}
	legit := connect(tracker, "a", all)
	legit.Report(uses(start, start, 1))
	rogue.Report(uses(start, start, 2, 3, 4))
	if got := tracker.Of("acme/acme", []keyformat.Digest{one}, nil).Of[0]; got.Clients != 1 {
		t.Errorf("somebody else's word is taken for it: %+v", got)
	}
}
