// Package session knows which validation servers there are: who is connected, as whom and since when, and who was disconnected, when,
// and with which groups. Everything that counts servers, or waits for them, asks it.
package session

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// forgetAfter is how long a run of a server is known that was disconnected.
	forgetAfter = 24 * time.Hour
	// maxRuns and maxRunsOfOne are how many disconnected runs are kept, in all and of one identity.
	maxRuns, maxRunsOfOne = 40_000, 4000
	// maxNamed is how much of an instance is in the name of a run, which has to fit into a status.
	maxNamed = 240
)

// ID says which server it is: the name that it gives itself, under its authenticated identity. The same name of another identity is
// another server.
type ID struct{ Instance, Identity string }

// Name returns the name of a server. Several servers may have the same instance, but only one has this name. The identity is hashed,
// because a status limits the length of names.
func (id ID) Name() string {
	sum := sha256.Sum256([]byte(id.Identity + "\x00" + id.Instance))
	return id.Instance[:min(len(id.Instance), maxNamed)] + "@" + hex.EncodeToString(sum[:6])
}

// Run is one run of a server: a process.
type Run struct {
	ID

	// Incarnation is what the process calls itself, at random.
	Incarnation string
}

// Name returns the name of a run. No other has it, of any server.
func (r Run) Name() string { return r.ID.Name() + "/" + r.Incarnation }

// Server is a server that connects. Its functions must not call the Registry.
type Server struct {
	Run

	// Serves reports whether it may have the group, and whether that is known.
	Serves func(group string) (serves, known bool)
	// Has reports whether it may have the group, and has it. It is called after the end of the stream, too.
	Has func(group string) bool
	// LastServed returns what it had when its stream ended: as a function like Has, and as a list; nil is all groups. Without
	// it, Has is used while the server is disconnected.
	LastServed func() (has func(group string) bool, groups []string)
}

// Session is one stream of a server. Its fields do not change.
type Session struct {
	Server

	registry *Registry
	since    time.Time
	number   uint64 // in the order of the connections
}

// Registry is safe for concurrent use.
//
// mu guards everything, and is held for look-ups only: the functions of a Server are called without it. A server is in sessions from
// Connect to Close, and in absent from a Close without a goodbye until a server of the same ID connects; none is in both. A run
// is in runs from the Close of its last session on, for forgetAfter, unless it said goodbye.
type Registry struct {
	clock clock.PassiveClock

	mu       sync.Mutex
	began    time.Time // when the first server connected
	number   uint64
	sessions map[*Session]struct{}
	absent   absentServers
	runs     map[Run]time.Time // when they were disconnected
	runsOf   map[string]int    // how many of an identity
}

// NewRegistry returns a Registry without servers.
func NewRegistry(clk clock.PassiveClock) *Registry {
	return &Registry{
		clock: clk, sessions: map[*Session]struct{}{}, absent: newAbsentServers(), runs: map[Run]time.Time{}, runsOf: map[string]int{},
	}
}

// Connect registers a server. The caller must close the session.
func (r *Registry) Connect(server Server) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	s := &Session{Server: server, registry: r, since: r.clock.Now(), number: r.number}
	if r.began.IsZero() {
		r.began = s.since
	}
	r.sessions[s] = struct{}{}
	r.absent.reconnected(server.ID)
	r.forgetRun(server.Run)
	return s
}

// Close ends the session. A server that said goodbye is forgotten. One that was disconnected may go on deciding, and is known
// until it has reconnected.
func (s *Session) Close(goodbye bool) {
	has, groups := s.Has, []string(nil)
	if s.LastServed != nil && !goodbye {
		has, groups = s.LastServed()
	}
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, open := r.sessions[s]; !open {
		return
	}
	delete(r.sessions, s)
	again, sameRun := false, false
	for other := range r.sessions {
		again = again || other.ID == s.ID
		sameRun = sameRun || other.Run == s.Run
	}
	if goodbye {
		return
	}
	now := r.clock.Now()
	if !sameRun {
		r.addRun(s.Run, now)
	}
	if !again && (groups == nil || len(groups) > 0) {
		r.absent.add(s.ID, has, groups, now)
	}
}

// Since is when the session began.
func (s *Session) Since() time.Time { return s.since }

// Began is when the first server connected; the zero time before.
func (r *Registry) Began() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began
}

// Having returns the servers that have the group, by their latest sessions: a process that has reconnected before its earlier session
// has ended is there once. Two processes with one name are two.
func (r *Registry) Having(group string) (having []*Session) {
	for _, s := range r.latest() {
		if s.Has(group) {
			having = append(having, s)
		}
	}
	return having
}

func (r *Registry) latest() map[Run]*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	latest := make(map[Run]*Session, len(r.sessions))
	for s := range r.sessions {
		if other := latest[s.Run]; other == nil || other.number < s.number {
			latest[s.Run] = s
		}
	}
	return latest
}

// MayKnow reports whether a disconnected server of the group may know something that exists since then.
func (r *Registry) MayKnow(group string, since time.Time) bool {
	r.mu.Lock()
	candidates, merged := r.absent.after(group, since)
	r.mu.Unlock()
	if merged {
		return true
	}
	for _, has := range candidates {
		if has(group) {
			return true
		}
	}
	return false
}

// Disconnected returns when a run was disconnected; known is false if it is connected, said goodbye, or was never here.
func (r *Registry) Disconnected(run Run) (at time.Time, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known = r.runs[run]
	return at, known && r.clock.Since(at) <= forgetAfter
}

// IsConnected reports whether a run has an open session.
func (r *Registry) IsConnected(run Run) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		if s.Run == run {
			return true
		}
	}
	return false
}

// Count returns how many servers are connected, how many were disconnected and have not come back, and how many runs of servers were
// disconnected. A server counts once, however often it connects.
func (r *Registry) Count() (connected, absent, runs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	connectedRuns := map[Run]struct{}{}
	for s := range r.sessions {
		connectedRuns[s.Run] = struct{}{}
	}
	return len(connectedRuns), len(r.absent.servers), len(r.runs)
}

// addRun records that a run was disconnected. If there are too many, the oldest is forgotten. The caller holds the lock.
func (r *Registry) addRun(run Run, now time.Time) {
	r.forgetRun(run)
	if len(r.runs) >= maxRuns || r.runsOf[run.Identity] >= maxRunsOfOne {
		r.dropRuns(run.Identity, now)
	}
	r.runs[run] = now
	r.runsOf[run.Identity]++
}

// dropRuns forgets runs that are over, and, if there are too many still, the oldest of the identity, or of any if it has none.
func (r *Registry) dropRuns(identity string, now time.Time) {
	oldest, found := Run{}, false
	own := r.runsOf[identity] > 0
	for run, at := range r.runs {
		switch {
		case now.Sub(at) > forgetAfter:
			r.forgetRun(run)
		case own && run.Identity != identity:
		case !found || at.Before(r.runs[oldest]):
			oldest, found = run, true
		}
	}
	if found && (len(r.runs) >= maxRuns || r.runsOf[identity] >= maxRunsOfOne) {
		r.forgetRun(oldest)
	}
}

func (r *Registry) forgetRun(run Run) {
	if _, known := r.runs[run]; !known {
		return
	}
	delete(r.runs, run)
	if r.runsOf[run.Identity]--; r.runsOf[run.Identity] == 0 {
		delete(r.runsOf, run.Identity)
	}
}
