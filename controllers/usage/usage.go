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
// mu guards everything but Keys, which has a lock of its own, and but the fields of Peer, which do not change. The
// functions of a Peer are called under mu and take the Hub's lock; nothing that holds the Hub's lock calls a Tracker.
// uses has at most maxUses entries. A server is in servers from Connect to Close, and in disconnected from a Close without
// goodbye until a server of the same instance and identity connects. By instance and identity, none is in both.
type Tracker struct {
	// Keys counts requests by key.
	Keys *Keys

	clock clock.PassiveClock

	mu           sync.Mutex
	since        time.Time
	uses         map[keyformat.Digest]*use
	servers      map[*Server]struct{}
	disconnected disconnectedServers
}

// Peer is a validation server as the tracker sees it.
type Peer struct {
	// Instance and Identity say which server it is: the same name of another identity is another.
	Instance, Identity string
	// Serves reports whether it may have the group, and has it. It is called after the end of the stream, too.
	Serves func(group string) bool
	// GroupOf is the group of the key that has a version of the digest.
	GroupOf func(digest keyformat.Digest) (group string, known bool)
	// LastServed returns what it served when its stream ended: as a function like Serves, and as a list; nil is all groups.
	// Without it, Serves is used while the server is disconnected.
	LastServed func() (serves func(group string) bool, groups []string)
}

type use struct {
	group          string
	last, returned time.Time
	clients        []uint64
	more           bool
}

// NewTracker returns a tracker without reports.
func NewTracker(clk clock.PassiveClock) *Tracker {
	return &Tracker{
		Keys: newKeys(clk), clock: clk,
		uses: map[keyformat.Digest]*use{}, servers: map[*Server]struct{}{}, disconnected: newDisconnectedServers(),
	}
}

// Server is one connected validation server.
type Server struct {
	Peer

	tracker *Tracker
	through time.Time // up to when it has reported; zero before its first report; the Tracker's lock guards it
}

// Connect registers a server. The caller must close it.
func (t *Tracker) Connect(peer Peer) *Server {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Server{Peer: peer, tracker: t}
	t.servers[s] = struct{}{}
	t.disconnected.reconnected(peer)
	if t.since.IsZero() { // a replica that does not lead receives no reports
		t.since = t.clock.Now()
	}
	return s
}

// Close forgets a server that said goodbye. A server that was disconnected may go on serving, and is tracked until it has
// reconnected.
func (s *Server) Close(goodbye bool) {
	t := s.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.servers, s)
	for other := range t.servers {
		if other.Instance == s.Instance && other.Identity == s.Identity {
			return // it has reconnected already
		}
	}
	if !goodbye {
		t.disconnected.add(s.Peer, t.clock.Now())
	}
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
	if report.GetThroughMs() > 0 {
		s.through = earlier(time.UnixMilli(report.GetThroughMs()), now)
	}
}

// use returns the use of the version, or nil if the server may not report it.
func (t *Tracker) use(s *Server, digest keyformat.Digest) *use {
	if known := t.uses[digest]; known != nil {
		if !s.Serves(known.group) {
			return nil
		}
		return known
	}
	group, ok := s.GroupOf(digest)
	if !ok || !s.Serves(group) || len(t.uses) >= maxUses {
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
	report := Report{Since: t.since, Of: make([]Use, len(digests))}
	for i, digest := range digests {
		if known := t.uses[digest]; known != nil {
			report.Of[i] = Use{Last: known.last, Clients: len(known.clients), More: known.more}
		}
	}
	if oldest == nil {
		return report
	}
	unreported := false
	for server := range t.servers {
		if !server.Serves(group) {
			continue
		}
		if report.Servers++; report.Servers == 1 || server.through.Before(report.Through) {
			report.Through = server.through
		}
		unreported = unreported || server.through.IsZero()
	}
	if unreported || t.disconnected.mayKnow(group, *oldest) {
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
