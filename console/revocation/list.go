// Package revocation is the list of sessions of the console that were ended before their time, as replicas share it: its text, what it bounds, and what it
// forgets. It has no I/O.
package revocation

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/keyward-dev/keyward/console/session"
)

const (
	// Most is how many sessions and people together a List has. It then has about 300 KB of text.
	Most = 5000
	// MostText is how many bytes of text are read.
	MostText = 512 << 10
	// Skew is how far the clocks of two replicas may differ. What was ended is kept so much longer.
	Skew = time.Minute

	// ahead is how far in the future a time may be that the list says something began. It is wide: beyond it, the text is no work of a console.
	ahead   = time.Hour
	version = 1
)

// hash is that of a session or a name, so that who reads the list reads neither.
type hash [sha256.Size]byte

var encoding = base64.RawURLEncoding.Strict()

func ofSession(id string) hash  { return sha256.Sum256([]byte("session\x00" + id)) }
func ofPerson(name string) hash { return sha256.Sum256([]byte("person\x00" + name)) }

// MarshalText returns no error.
func (h hash) MarshalText() ([]byte, error) { return encoding.AppendEncode(nil, h[:]), nil }

// UnmarshalText returns an error for what is no hash.
func (h *hash) UnmarshalText(text []byte) error {
	if len(text) != encoding.EncodedLen(len(h)) {
		return errors.New("a hash has 43 characters")
	}
	if _, err := encoding.Decode(h[:], text); err != nil {
		return errors.New("a hash is base64url without padding")
	}
	return nil
}

// milliseconds are a time, since 1970.
type milliseconds int64

// up rounds up, so that nothing is forgotten or good again too early.
func up(t time.Time) milliseconds {
	return milliseconds(t.Add(time.Millisecond - 1).UnixMilli())
}

func (m milliseconds) time() time.Time { return time.UnixMilli(int64(m)) }

// List is what was ended. It never changes: With returns another.
type List struct {
	allBefore milliseconds          // everything that began then or before is ended
	sessions  map[hash]milliseconds // when they would have ended on their own
	people    map[hash]milliseconds // whose sessions that began then or before are ended
}

// Begin returns the list of which nothing earlier is known: everything that began until now is ended.
func Begin(now time.Time) *List { return &List{allBefore: up(now)} }

// Ended reports whether a session of a person, who signed in at that time, was ended.
func (l *List) Ended(name, id string, since time.Time) bool {
	if !since.After(l.allBefore.time()) {
		return true
	}
	if _, ended := l.sessions[ofSession(id)]; ended {
		return true
	}
	before, ended := l.people[ofPerson(name)]
	return ended && !since.After(before.time())
}

// Len is how many sessions and people the list has.
func (l *List) Len() int { return len(l.sessions) + len(l.people) }

// WithSession returns the list in which a session is ended as well, which would end on its own at until.
func (l *List) WithSession(id string, until, now time.Time) *List {
	next := l.current(now)
	next.sessions[ofSession(id)] = max(up(until), next.sessions[ofSession(id)])
	return next.bounded(now)
}

// WithPerson returns the list in which every session of a person is ended as well that began at that time or before.
func (l *List) WithPerson(name string, before, now time.Time) *List {
	next := l.current(now)
	next.people[ofPerson(name)] = max(up(before), next.people[ofPerson(name)])
	return next.bounded(now)
}

// current returns a copy without what would have ended on its own.
func (l *List) current(now time.Time) *List {
	next := &List{allBefore: l.allBefore, sessions: map[hash]milliseconds{}, people: map[hash]milliseconds{}}
	maps.Copy(next.sessions, l.sessions)
	maps.Copy(next.people, l.people)
	maps.DeleteFunc(next.sessions, func(_ hash, until milliseconds) bool { return now.After(until.time().Add(Skew)) })
	maps.DeleteFunc(next.people, func(_ hash, before milliseconds) bool { return now.After(before.time().Add(session.Most + Skew)) })
	return next
}

// bounded is the list itself, or, if that has too many, one that ends everything that began until now: what was ended is never good again.
func (l *List) bounded(now time.Time) *List {
	if l.Len() <= Most {
		return l
	}
	return &List{allBefore: max(l.allBefore, up(now))}
}

// text is a List as JSON.
type text struct {
	Version   int                   `json:"version"`
	AllBefore milliseconds          `json:"allBefore"`
	Sessions  map[hash]milliseconds `json:"sessions,omitempty"`
	People    map[hash]milliseconds `json:"people,omitempty"`
}

// Text returns what Parse reads.
func (l *List) Text() (string, error) {
	written, err := json.Marshal(text{version, l.allBefore, l.sessions, l.people})
	if err != nil {
		return "", fmt.Errorf("encoding the list of sessions that were ended: %w", err)
	}
	return string(written), nil
}

// Parse reads a text. It returns an error for everything that no console writes: more than Most entries, other fields, and times that
// are too far ahead to be those of a session.
func Parse(written string, now time.Time) (*List, error) {
	if len(written) > MostText {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(written), MostText)
	}
	var t text
	decoder := json.NewDecoder(bytes.NewReader([]byte(written)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return nil, fmt.Errorf("it is not as the console writes it: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it goes on after its end")
	}
	l := &List{t.AllBefore, t.Sessions, t.People}
	latest := up(now.Add(ahead))
	switch {
	case t.Version != version:
		return nil, fmt.Errorf("its version is %d, and this console reads %d", t.Version, version)
	case l.Len() > Most:
		return nil, fmt.Errorf("it has %d sessions and people; at most %d are read", l.Len(), Most)
	case l.allBefore <= 0:
		return nil, errors.New("allBefore is missing: the time until which every session is ended")
	case l.allBefore > latest:
		return nil, errors.New("allBefore is in the future")
	}
	for _, before := range l.people {
		if before <= 0 || before > latest {
			return nil, errors.New("a person has signed out at a time that is in the future or none")
		}
	}
	for _, until := range l.sessions {
		if until <= 0 || until > latest+milliseconds(session.Most.Milliseconds()) {
			return nil, errors.New("a session ends later than one can, or at no time")
		}
	}
	return l, nil
}
