package session

import (
	"context"
	"sync"
	"time"
)

// Revocations are the sessions that were ended before their time. An error of Revoked refuses every request, so it is of what cannot be read only.
type Revocations interface {
	// Revoked reports whether a session of a person, who signed in at that time, was ended.
	Revoked(ctx context.Context, name, session string, since time.Time) (bool, error)
	// EndSession ends a session that would end at until at the latest.
	EndSession(ctx context.Context, session string, until time.Time) error
	// EndPerson ends every session of a person who signed in at that time or before.
	EndPerson(ctx context.Context, name string, before time.Time) error
}

// MostRevocations is how many sessions, and as many people, Memory keeps.
const MostRevocations = 10_000

// Memory keeps revocations in the process. Each is kept until what it ends would have ended, at most 8 hours.
//
// If there are too many, it forgets them, and ends every session that began before: nothing that was ended is ever good again.
type Memory struct {
	now func() time.Time

	mu        sync.Mutex
	sessions  map[string]time.Time // until when they are kept
	people    map[string]time.Time // before when they are ended
	allBefore time.Time            // everything that began then or before is ended
}

// NewMemory returns a Memory for which every session that began at allBefore or before has ended. The start of the process is one: what was ended
// before that is not known.
func NewMemory(now func() time.Time, allBefore time.Time) *Memory {
	return &Memory{now: now, allBefore: allBefore, sessions: map[string]time.Time{}, people: map[string]time.Time{}}
}

// Revoked returns no error.
func (m *Memory) Revoked(_ context.Context, name, session string, since time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ended := m.sessions[session]; ended {
		return true, nil
	}
	before, ended := m.people[name]
	return ended && !since.After(before) || !since.After(m.allBefore), nil
}

// EndSession returns no error.
func (m *Memory) EndSession(_ context.Context, session string, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.sessions[session]; !known {
		m.makeRoom()
	}
	m.sessions[session] = until
	return nil
}

// EndPerson returns no error.
func (m *Memory) EndPerson(_ context.Context, name string, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.people[name]
	if !ok {
		m.makeRoom()
	}
	if before.After(known) {
		m.people[name] = before
	}
	return nil
}

// makeRoom drops what has ended; and if that is too little, everything.
func (m *Memory) makeRoom() {
	if len(m.sessions) < MostRevocations && len(m.people) < MostRevocations {
		return
	}
	now := m.now()
	for session, until := range m.sessions {
		if !now.Before(until) {
			delete(m.sessions, session)
		}
	}
	for name, before := range m.people {
		if now.Sub(before) >= Most+skew {
			delete(m.people, name)
		}
	}
	// An eighth has to be free, so that not each further one looks at all.
	if len(m.sessions) < MostRevocations*7/8 && len(m.people) < MostRevocations*7/8 {
		return
	}
	m.allBefore = now
	clear(m.sessions)
	clear(m.people)
}
