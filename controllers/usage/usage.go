// Package usage gathers what validation servers report about the use of keys: when each
// version last let a request through, and whether every server that matters has reported.
// It lives in memory; what is worth keeping is written into status, now and then.
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
	// MaxClients is how many client addresses of a version are told apart.
	MaxClients = 32
	// forgetAfter is how long the use of a version is remembered.
	forgetAfter = 24 * time.Hour
	// maxUses is of how many versions it is.
	maxUses = 2_000_000
)

// Use is the use of one version.
type Use struct {
	// Last is when it last let a request through.
	Last time.Time
	// Clients is from how many addresses during its overlap; More says there were more.
	Clients int
	More    bool
}

// Report is what is known about some versions of one group.
type Report struct {
	// Since is from when on uses are known.
	Since time.Time
	// Through is until when all servers of the group have reported; zero while one of them
	// has not, or is away and may know a version that was asked about, or there is none.
	Through time.Time
	// Servers is how many servers of the group are connected.
	Servers int
	// Of are the uses, in the order of the digests.
	Of []Use
}

// Tracker is safe for concurrent use.
type Tracker struct {
	// Keys counts requests.
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
	// Serves is whether it may have the group, and has it. It is asked after the end of the stream, too.
	Serves func(group string) bool
	// GroupOf is the group of the key that has a version of the digest.
	GroupOf func(digest keyformat.Digest) (group string, known bool)
	// Left returns what it served when its stream ended, for as long as it is missed: as Serves, and as a
	// list; nil is all groups. Without it, Serves goes on to say so.
	LastServed func() (serves func(group string) bool, groups []string)
}

type use struct {
	group          string
	last, returned time.Time
	clients        []uint64
	more           bool
}

// NewTracker returns a tracker that has heard nothing yet.
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
	through time.Time
}

// Connect notes a server, and which groups it serves. It is to be closed.
func (t *Tracker) Connect(peer Peer) *Server {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &Server{Peer: peer, tracker: t}
	t.servers[s] = struct{}{}
	t.disconnected.reconnected(peer)
	if t.since.IsZero() { // a replica that does not lead hears nothing
		t.since = t.clock.Now()
	}
	return s
}

// Close forgets a server that said goodbye. One that was lost may go on serving, and is
// missed until it is back.
func (s *Server) Close(goodbye bool) {
	t := s.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.servers, s)
	for other := range t.servers {
		if other.Instance == s.Instance && other.Identity == s.Identity {
			return // it is back already
		}
	}
	if !goodbye {
		t.disconnected.add(s.Peer, t.clock.Now())
	}
}

// Report takes note of uses: of versions that are known, of groups that the server serves. A server's clock is
// believed only as far as it is not ahead.
func (s *Server) Report(uses *syncv1.Uses) {
	t := s.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for _, v := range uses.GetVersions() {
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
	if uses.GetThroughMs() > 0 {
		s.through = earlier(time.UnixMilli(uses.GetThroughMs()), now)
	}
}

// use is that of the version, where the server may speak of it.
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

// Of reports on versions of keys of the group namespace/name, by their digests. Oldest is since when
// servers may have known one that is in its overlap: a server that was lost before does not matter. Without one,
// nobody asks through when servers have reported.
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

// Due returns the digests of versions whose last use has moved on by the resolution since
// they were last returned, and forgets what was not used for a day.
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
