package grouplog

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

const (
	// absentAfter is how long a validation server is disconnected before that is in the log.
	absentAfter = 5 * time.Minute
	// lookEvery is how often it is looked which servers are absent, and which are back.
	lookEvery = time.Minute
	// maxAbsent is how many absent servers of a Group have events of their own at a time, and stays how long one that does not come back is
	// among them where there are more. A server chooses its name, so that there may be any number.
	maxAbsent, stays = 16, 24 * time.Hour
)

// Servers knows which validation servers there are.
type Servers interface {
	// AbsentFor returns the servers of a group, namespace/name, that have been disconnected for that long, the first first.
	AbsentFor(group string, least time.Duration) []session.Absence
	// AnyAbsentFor reports whether any server has been disconnected for that long.
	AnyAbsentFor(least time.Duration) bool
	// Having returns the servers that are connected and have the group.
	Having(group string) []*session.Session
}

// servers are those that a log says are absent, by their names, with when they were disconnected.
type servers map[string]time.Time

// note remembers what an event says. A server that is absent again without having come back is not in the log twice.
func (s servers) note(event *groupevent.Event) {
	data := groupevent.ServerChange{}
	if json.Unmarshal(event.Data, &data) != nil {
		return
	}
	if event.Type == groupevent.TypeGroupServerBack {
		delete(s, data.Server)
		return
	}
	s[data.Server] = event.Time
}

// absent adds an event for each server that is absent and not known to be, at most maxAbsent and one for the rest in a day.
func (s servers) absent(e *evidence, absent []session.Absence, now time.Time) {
	others := session.Others().Instance
	named := len(s)
	if _, summed := s[others]; summed {
		named--
	}
	for _, gone := range absent {
		name := gone.Name()
		if _, known := s[name]; known {
			continue
		}
		if named >= maxAbsent && s.forget(now) {
			named--
		}
		transition := "server/" + name + "/" + gone.At.UTC().Format(time.RFC3339Nano)
		if named >= maxAbsent || gone.ID == session.Others() {
			name = others
			if earlier, known := s[name]; known && sameDay(earlier, gone.At) {
				continue
			}
			transition = "server/" + name + "/" + gone.At.UTC().Format(time.DateOnly)
		} else {
			named++
		}
		e.addToGroup(groupevent.TypeGroupServerAbsent, e.group.UID, transition+"/absent", gone.At, groupevent.ServerChange{Server: name})
	}
}

// forget forgets the server that was absent first, if that was long ago. It reports whether there was one.
func (s servers) forget(now time.Time) bool {
	first := ""
	for name, at := range s {
		if name != session.Others().Instance && (first == "" || at.Before(s[first]) || at.Equal(s[first]) && name < first) {
			first = name
		}
	}
	if first == "" || now.Sub(s[first]) < stays {
		return false
	}
	delete(s, first)
	return true
}

// back adds an event for each server that was absent and is connected.
func (s servers) back(e *evidence, connected []*session.Session) {
	slices.SortFunc(connected, func(a, b *session.Session) int { return strings.Compare(a.ID.Name(), b.ID.Name()) })
	for i, server := range connected {
		name := server.ID.Name()
		at, was := s[name]
		if !was || i > 0 && connected[i-1].ID.Name() == name || !server.Since().After(at) {
			continue
		}
		since := at.UTC().Format(time.RFC3339Nano)
		e.addToGroup(groupevent.TypeGroupServerBack, e.group.UID, "server/"+name+"/"+since+"/back", server.Since(),
			groupevent.ServerChange{Server: name, Since: since})
	}
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Format(time.DateOnly) == b.UTC().Format(time.DateOnly)
}

// LookAtServers notes which validation servers of Groups are absent, and which of them are back. Nothing is done while there is none of either.
func (w *Writer) LookAtServers() error {
	if w.Servers == nil {
		return nil
	}
	absent := w.Servers.AnyAbsentFor(absentAfter)
	for _, c := range w.all() {
		if err := w.lookAtServersOf(c, absent); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) lookAtServersOf(c *chain, anyAbsent bool) error {
	c.mu.Lock()
	known := len(c.servers) > 0
	over := c.deleted
	c.mu.Unlock()
	if over || !anyAbsent && !known {
		return nil
	}
	// Without the lock of the chain: the Registry and the servers have their own.
	var absent []session.Absence
	if anyAbsent {
		absent = w.Servers.AbsentFor(c.name(), absentAfter)
	}
	var connected []*session.Session
	if known {
		connected = w.Servers.Having(c.name())
	}
	found := &evidence{group: c.group, subject: groupevent.Subject{Kind: kindGroup, Namespace: c.group.Namespace, Name: c.group.Name, UID: c.group.UID}}
	now := w.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	found.contacts = c.contacts
	c.servers.absent(found, absent, now)
	c.servers.back(found, connected)
	w.noteIn(c, found)
	return found.err
}

// noteIn adds what was found to what is pending in a log, and reports whether anything was. It is called with the lock of the chain.
func (w *Writer) noteIn(c *chain, found *evidence) bool {
	added := c.add(found.events, w.Clock.Now().Add(-deletedRetention))
	if added && w.queue != nil {
		w.queue.AddAfter(uidOf(c.group), gather)
	}
	return added
}
