// Package usage collects what validation servers report about the use of keys: when each version was last used for an
// allowed request, and whether every server that matters has reported. It is kept in memory; what has to last is written
// into status periodically.
package usage

import (
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

const (
	// MaxClients is how many client addresses of a version are distinguished.
	MaxClients = 32
	// forgetAfter is how long the use of a version is kept.
	forgetAfter = 24 * time.Hour
	// maxUses is the number of versions whose use is kept.
	maxUses = 2_000_000
)

// Use is the use of one version.
type Use struct {
	// Last is when it was last used for an allowed request.
	Last time.Time
	// Clients is the number of client addresses during its overlap; More reports that there were more.
	Clients int
	More    bool
}

// Report is the use of some versions of one group.
type Report struct {
	// Since is the time from which on uses are known.
	Since time.Time
	// Through is the time up to which all servers of the group have reported. It is zero while one of them has not
	// reported, or is disconnected and may know a version that was asked for, or if the group has no server.
	Through time.Time
	// Servers is how many servers of the group are connected.
	Servers int
	// Of has the uses, in the order of the digests.
	Of []Use
}

// Tracker collects the use of versions. It is safe for concurrent use.
//
// mu guards everything but Keys, which has a lock of its own. The
// functions of a session are called under mu and take the Hub's lock; nothing that holds the Hub's lock calls a Tracker.
// uses has at most maxUses entries, and through those of servers that are connected and have reported.
type Tracker struct {
	// Keys counts requests by key.
	Keys *Keys
	// Sessions knows which servers there are.
	Sessions *session.Registry

	clock clock.PassiveClock

	mu      sync.Mutex
	uses    map[keyformat.Digest]*use
	through map[*session.Session]time.Time // until when a server has reported
}

type use struct {
	group          string
	last, returned time.Time
	clients        []uint64
	more           bool
}

// NewTracker returns a tracker without reports, by the servers that are connected to the Registry.
func NewTracker(clk clock.PassiveClock, sessions *session.Registry) *Tracker {
	return &Tracker{
		Keys: newKeys(clk, sessions), Sessions: sessions, clock: clk,
		uses: map[keyformat.Digest]*use{}, through: map[*session.Session]time.Time{},
	}
}

// Server is one connected validation server.
type Server struct {
	*session.Session

	tracker *Tracker
	groupOf func(digest keyformat.Digest) (group string, known bool)
	gone    bool // a report that arrives late is not for anybody; the Tracker's lock guards it
}

// Connect begins to track what a server of the Tracker's Sessions reports, until its session is closed; the caller calls Forget
// then. groupOf returns the group of the key that has a version of the digest.
func (t *Tracker) Connect(s *session.Session, groupOf func(digest keyformat.Digest) (group string, known bool)) *Server {
	return &Server{Session: s, tracker: t, groupOf: groupOf}
}

// Forget forgets until when the server has reported.
func (s *Server) Forget() {
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	s.gone = true
	delete(s.tracker.through, s.Session)
}

// Report records uses of versions that are known, of groups that the server serves. Times that are ahead of the manager's
// clock count as now.
func (s *Server) Report(report *syncv1.VersionReport) {
	t := s.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for _, v := range report.GetVersions() {
		if len(v.GetDigest()) != len(keyformat.Digest{}) {
			versionsRefused.Inc()
			continue
		}
		known := t.use(s, keyformat.Digest(v.GetDigest()))
		if known == nil {
			versionsRefused.Inc()
			continue
		}
		if last := earlier(time.UnixMilli(v.GetLastMs()), now); last.After(known.last) {
			known.last = last
		}
		known.add(v.GetClients(), v.GetMoreClients())
	}
	if report.GetThroughMs() > 0 && !s.gone {
		t.through[s.Session] = earlier(time.UnixMilli(report.GetThroughMs()), now)
	}
}

// use returns the use of the version, or nil if the server may not report it.
func (t *Tracker) use(s *Server, digest keyformat.Digest) *use {
	if known := t.uses[digest]; known != nil {
		if !s.Has(known.group) {
			return nil
		}
		return known
	}
	group, ok := s.groupOf(digest)
	if !ok || !s.Has(group) || len(t.uses) >= maxUses {
		return nil
	}
	known := &use{group: group}
	t.uses[digest] = known
	return known
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (u *use) add(clients []uint64, more bool) {
	u.more = u.more || more
	for _, client := range clients {
		switch {
		case slices.Contains(u.clients, client):
		case len(u.clients) >= MaxClients:
			u.more = true
		default:
			u.clients = append(u.clients, client)
		}
	}
}

// Of reports on versions of keys of the group namespace/name, by their digests. oldest is the earliest time at which a server
// may have learned a version that is in its overlap: a server that was disconnected before that does not matter. With nil,
// Through and Servers are not filled in.
func (t *Tracker) Of(group string, digests []keyformat.Digest, oldest *time.Time) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	report := Report{Since: t.Sessions.Began(), Of: make([]Use, len(digests))}
	for i, digest := range digests {
		if known := t.uses[digest]; known != nil {
			report.Of[i] = Use{Last: known.last, Clients: len(known.clients), More: known.more}
		}
	}
	if oldest == nil {
		return report
	}
	unreported := false
	for _, server := range t.Sessions.Having(group) {
		through := t.through[server]
		if report.Servers++; report.Servers == 1 || through.Before(report.Through) {
			report.Through = through
		}
		unreported = unreported || through.IsZero()
	}
	if unreported || t.Sessions.MayKnow(group, *oldest) {
		report.Through = time.Time{}
	}
	return report
}

// Due returns the digests of versions whose last use is later, by the resolution or more, than when they were last
// returned. It forgets versions that were not used for a day.
func (t *Tracker) Due(resolution time.Duration) []keyformat.Digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []keyformat.Digest
	now := t.clock.Now()
	for digest, known := range t.uses {
		switch {
		case now.Sub(known.last) > forgetAfter:
			delete(t.uses, digest)
		case known.returned.IsZero(), known.last.Sub(known.returned) >= resolution:
			known.returned = known.last
			due = append(due, digest)
		}
	}
	return due
}
