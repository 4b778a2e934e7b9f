package session

import (
	"slices"
	"time"
)

// Absence is a server that was disconnected, and may go on deciding.
type Absence struct {
	ID
	Info
	// At is when it was disconnected; of Others, the latest of them.
	At time.Time
	// ConnectedSince is since when it had been connected then.
	ConnectedSince time.Time
}

// AbsentFor returns the servers of the group that have been disconnected for that long, the first first.
func (r *Registry) AbsentFor(group string, least time.Duration) []Absence {
	r.mu.Lock()
	defer r.mu.Unlock()
	var absent []Absence
	before := r.clock.Now().Add(-least)
	for id := range r.absent.having(group) {
		at := time.Time{}
		if gone := r.absent.servers[id]; gone != nil {
			at = gone.at
		} else {
			for _, s := range scopesOf(group) {
				if of := r.absent.others[s]; of.After(at) {
					at = of
				}
			}
		}
		if !at.After(before) {
			absent = append(absent, Absence{ID: id, At: at})
		}
	}
	slices.SortFunc(absent, func(a, b Absence) int { return a.At.Compare(b.At) })
	return absent
}

// AnyAbsentFor reports whether any server has been disconnected for that long.
func (r *Registry) AnyAbsentFor(least time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.clock.Now().Add(-least)
	for _, gone := range r.absent.servers {
		if !gone.at.After(before) {
			return true
		}
	}
	return len(r.absent.others) > 0 // the time of the latest says nothing about the others
}
