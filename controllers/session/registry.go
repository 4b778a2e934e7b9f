// Package session knows which validation servers there are: who is connected, as whom and since when, and who was disconnected, when,
// and with which groups. Everything that counts servers, or waits for them, asks it.
package session

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
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

// Info is what is shown of a server. Nothing is decided by it.
type Info struct {
	// Owner is the authenticated identity in a readable form, Version what the server says that it is.
	Owner, Version string
}

// Server is a server that connects. Its functions are called without the Registry's lock.
type Server struct {
	Run
	Info

	// Serves reports whether it may have the group, and whether that is known.
	Serves func(group string) (serves, known bool)
	// Has reports whether it may have the group, and has it. It is called after the end of the stream, too.
	Has func(group string) bool
	// ServesKey reports whether the group has the key of that id, and the server may have both. What has no keys in its reports needs none.
	ServesKey func(group, id string) bool
}

// Session is one stream of a server. Its fields do not change.
type Session struct {
	Server

	registry *Registry
	since    time.Time
	lasting  time.Time // see ConnectedSince
	returned bool
}

// Interruption is how long a run may be disconnected without that being shown: streams have a maximum age, and leaders change.
const Interruption = time.Minute

// Registry is safe for concurrent use.
//
// mu guards everything, and is held for look-ups only: nothing is called with it that takes another lock, so that it may be taken under
// any. A server is in sessions from Connect until its session ends, and in absent from a Disconnect until a server of the same
// ID connects, or it is forgotten; none is in both. A run has one session at most. It is in
// runs from the Disconnect of its session on, unless it connects again or is forgotten.
type Registry struct {
	clock       clock.PassiveClock
	forgetAfter time.Duration

	mu       sync.Mutex
	began    time.Time // when the first server connected
	sessions map[*Session]struct{}
	absent   absentServers
	runs     endedRuns
}

// NewRegistry returns a Registry without servers. A server that is disconnected is absent for forgetAfter; with 0 that is until it connects
// again.
func NewRegistry(clk clock.PassiveClock, forgetAfter time.Duration) *Registry {
	return &Registry{
		clock: clk, forgetAfter: forgetAfter, sessions: map[*Session]struct{}{}, absent: newAbsentServers(), runs: newEndedRuns(),
	}
}

// Connect registers a server. The caller must end the session with Goodbye or Disconnect. An earlier session of the same run is over: the
// server has reconnected before the end of its earlier stream was noticed.
func (r *Registry) Connect(server Server) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Session{Server: server, registry: r, since: r.clock.Now(), returned: r.absent.remove(server.ID)}
	if r.began.IsZero() {
		r.began = s.since
	}
	s.lasting = s.since
	if ended, known := r.runs.known[s.Run]; known && s.since.Sub(ended.at) <= Interruption {
		s.lasting = ended.lasting
	}
	for earlier := range r.sessions {
		if earlier.Run == s.Run {
			s.lasting = earlier.lasting
			delete(r.sessions, earlier)
		}
	}
	r.sessions[s] = struct{}{}
	r.runs.forget(server.Run)
	return s
}

// Goodbye ends the session of a server that decides nothing any more. It is forgotten.
func (s *Session) Goodbye() {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s)
}

// Disconnect ends the session of a server that was disconnected, and may go on deciding by what it had. It returns the ID under which the
// server is absent now: its own or that of Others. It is not absent if it had nothing, if another process of its ID is connected, or if the
// session was over.
func (s *Session) Disconnect(had ...Scope) (as ID, absent bool) {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, open := r.sessions[s]; !open {
		return ID{}, false
	}
	delete(r.sessions, s)
	another, sameRun := false, false
	for other := range r.sessions {
		another = another || other.ID == s.ID
		sameRun = sameRun || other.Run == s.Run
	}
	now := r.clock.Now()
	if !sameRun {
		r.runs.add(s.Run, endedRun{at: now, lasting: s.lasting}, max(runsFor, r.forgetAfter))
	}
	if another || len(had) == 0 {
		return ID{}, false
	}
	as = r.absent.add(s.ID, had, now)
	if gone := r.absent.servers[as]; gone != nil {
		gone.info, gone.lasting = s.Info, s.lasting
	}
	return as, true
}

// Returned reports whether the server was absent when it connected.
func (s *Session) Returned() bool { return s.returned }

// Since is when the session began.
func (s *Session) Since() time.Time { return s.since }

// ConnectedSince is since when the run is connected, without having been disconnected for more than Interruption. A stream that reaches its
// maximum age does not change it.
func (s *Session) ConnectedSince() time.Time { return s.lasting }

// Began is when the first server connected; the zero time before.
func (r *Registry) Began() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.began
}

// Having returns the servers that are connected and have the group. Two processes with one name are two.
func (r *Registry) Having(group string) (having []*Session) {
	r.mu.Lock()
	sessions := slices.Collect(maps.Keys(r.sessions))
	r.mu.Unlock()
	for _, s := range sessions {
		if s.Has(group) {
			having = append(having, s)
		}
	}
	return having
}

// Absent returns the servers that were disconnected and had the group, each once. The Registry is locked during the loop, which must not
// call it.
func (r *Registry) Absent(group string) iter.Seq[ID] {
	return func(yield func(ID) bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.absent.having(group)(yield)
	}
}

// IsAbsent reports whether a server was disconnected, and is kept under its own ID.
func (r *Registry) IsAbsent(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.absent.servers[id] != nil
}

// Forget forgets the servers that have been absent for too long. It returns them, and when it has to be called again; the zero time while
// no server is absent that will be forgotten.
func (r *Registry) Forget() (forgotten []ID, next time.Time) {
	if r.forgetAfter <= 0 {
		return nil, time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.absent.forget(r.forgetAfter, r.clock.Now())
}

// MayKnow reports whether a disconnected server of the group may know something that exists since then. So a server that never returns
// delays the end of what existed before it was disconnected, until it is forgotten.
func (r *Registry) MayKnow(group string, since time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.absent.mayKnow(group, since)
}

// Disconnected returns when a run was disconnected; known is false if it is connected, said goodbye, or was never here.
func (r *Registry) Disconnected(run Run) (at time.Time, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended, known := r.runs.known[run]
	return ended.at, known && r.clock.Since(ended.at) <= max(runsFor, r.forgetAfter)
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

// Absences returns the servers that are absent, in no order. Those that are not kept separately are one, Others.
func (r *Registry) Absences() []Absence {
	r.mu.Lock()
	defer r.mu.Unlock()
	absent := make([]Absence, 0, len(r.absent.servers)+1)
	for _, gone := range r.absent.servers {
		absent = append(absent, Absence{ID: gone.id, Info: gone.info, At: gone.at, ConnectedSince: gone.lasting})
	}
	if len(r.absent.others) > 0 {
		absent = append(absent, Absence{ID: Others(), At: r.absent.othersAt})
	}
	return absent
}

// Count returns how many servers are connected, and how many are absent, each under its own ID. A server counts once, however often it
// connects.
func (r *Registry) Count() (connected, absent int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions), len(r.absent.servers)
}
