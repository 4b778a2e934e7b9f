package session_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/keyward-dev/keyward/console/session"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	now := start()
	m := session.NewMemory(func() time.Time { return now }, start().Add(-time.Hour))
	revoked := func(name, id string, since time.Time) bool {
		ended, err := m.Revoked(t.Context(), name, id, since)
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
	_ = m.EndSession(t.Context(), "s1", now.Add(session.Most))
	_ = m.EndPerson(t.Context(), "jane", now)
	_ = m.EndPerson(t.Context(), "jane", now.Add(-time.Minute)) // arrives late, and takes nothing back
	for _, test := range []struct {
		name, id string
		since    time.Time
		want     bool
	}{
		{"jim", "s1", now, true},
		{"jim", "s2", now, false},
		{"jane", "s3", now.Add(-time.Second), true},
		{"jane", "s3", now, true},
		{"jane", "s3", now.Add(time.Millisecond), false},
		{"jim", "s4", now.Add(-time.Hour), true}, // before the process began
	} {
		if got := revoked(test.name, test.id, test.since); got != test.want {
			t.Errorf("%s, %s, since %s: %v", test.name, test.id, test.since.Sub(now), got)
		}
	}
}

// TestMemoryIsBounded ends more sessions than are kept. None is good again, and nobody is signed out while the old ones make room.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	now := start()
	m := session.NewMemory(func() time.Time { return now }, start().Add(-time.Hour))
	end := func(prefix string, n int) {
		for i := range n {
			_ = m.EndSession(t.Context(), prefix+strconv.Itoa(i), now.Add(session.Most))
		}
	}
	revoked := func(id string, since time.Time) bool {
		ended, err := m.Revoked(t.Context(), "jim", id, since)
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
	end("a", session.MostRevocations)
	if revoked("other", now) {
		t.Error("somebody else is signed out while there is room")
	}
	now = now.Add(session.Most)
	end("b", session.MostRevocations) // which the first make room for
	if revoked("other", now.Add(-time.Minute)) {
		t.Error("somebody else is signed out though the first sessions were over")
	}
	end("c", 1)
	for _, id := range []string{"b0", "c0", "other"} {
		if !revoked(id, now.Add(-time.Minute)) {
			t.Errorf("%s is good after too many", id)
		}
	}
	if revoked("new", now.Add(time.Millisecond)) {
		t.Error("who signs in after that is signed out")
	}
	if !revoked("c0", now.Add(time.Hour)) {
		t.Error("the session that was ended last is good")
	}
}
