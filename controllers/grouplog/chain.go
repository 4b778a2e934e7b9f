package grouplog

import (
	"cmp"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/keyward-dev/keyward/api/v1alpha1"
	"github.com/keyward-dev/keyward/internal/groupevent"
)

// defaultMaxPending bounds what waits to be written into one log: nothing is written while the API server refuses it, such as for a quota of
// the namespace.
const defaultMaxPending = 8192

// id is a hash of the id of an event.
type id [16]byte

func idOf(text string) id {
	sum := sha256.Sum256([]byte(text))
	return id(sum[:16])
}

func uidOf(group groupevent.Group) types.UID { return types.UID(group.UID) }

// chain is what is remembered of the log of a Group: nothing that the segments do not say.
type chain struct {
	mu    sync.Mutex
	group groupevent.Group
	// contacts are those of the Group, as it was seen last.
	contacts []v1alpha1.Contact
	// head is the position of the last event, and recorded what the GroupUsage says about that.
	head     groupevent.Head
	recorded groupevent.Head
	// pruned is how far the log was deleted because of its age or size; nil if it was not.
	pruned   *v1alpha1.PrunedLog
	segments []segment
	// known are the ids of events that the log has, with their numbers, and live the objects that were not deleted, by UID; nil once
	// deletions are seen when they happen.
	known map[id]uint64
	live  map[string]groupevent.Subject
	// pending are events that the log is to have, at most maxPending of them, and as many deletions.
	pending    []groupevent.Event
	maxPending int
	waiting    map[id]struct{} // their ids
	// missed reports that events did not fit into pending. The objects still are evidence of them.
	missed bool
	// stale reports that another manager has written to the log, so that it has to be read again.
	stale bool
	// deleted reports that the Group is deleted, and terminating that nothing can be written in its namespace, which ends.
	deleted, terminating bool
	// servers, refused and rejecting are what the log says about validation servers, refused requests, and rejected records.
	servers   servers
	refused   refusedDays
	rejecting perDay
}

func (w *Writer) newChain(group groupevent.Group) *chain {
	c := &chain{group: group, maxPending: cmp.Or(w.MaxPending, defaultMaxPending), live: map[string]groupevent.Subject{}}
	c.forget()
	c.waiting = map[id]struct{}{}
	return c
}

func (c *chain) name() string { return c.group.Namespace + "/" + c.group.Name }

// forget forgets what the segments say.
func (c *chain) forget() {
	c.head, c.segments, c.known = groupevent.Head{}, nil, map[id]uint64{}
	c.servers, c.refused, c.rejecting = servers{}, refusedDays{}, perDay{}
	clear(c.live)
}

// read takes over a segment. Segments are read in their order. It returns the first line that cannot be read, as an error; the
// rest is read nevertheless, because an event that is in the log must not get into it again.
func (c *chain) read(of *v1alpha1.GroupLog) error {
	s := segment{name: of.Name, last: c.head, size: len(of.Spec.Events)}
	var unreadable error
	for _, line := range lines(of) {
		event, err := groupevent.Decode([]byte(line))
		if err != nil {
			if unreadable == nil {
				unreadable = err
			}
			continue
		}
		c.note(&event)
		if event.Sequence > s.last.Sequence {
			s.last = event.Head()
		}
		s.latest = later(s.latest, event.Time)
	}
	c.segments, c.head = append(c.segments, s), s.last
	return unreadable
}

// note remembers an event that the log has.
func (c *chain) note(event *groupevent.Event) {
	c.known[idOf(event.ID)] = event.Sequence
	if strings.HasSuffix(event.Type.Short(), ".deleted") || event.Type == groupevent.TypeRequestEnded {
		delete(c.live, event.Subject.UID)
	} else if event.Subject.UID != "" && c.live != nil {
		c.live[event.Subject.UID] = event.Subject
	}
	if event.Type == groupevent.TypeGroupDeleted {
		c.deleted = true
	}
	c.consider(event)
}

// consider takes over what an event that the log has, or is to have, says about what no object does.
func (c *chain) consider(event *groupevent.Event) {
	switch event.Type {
	case groupevent.TypeGroupServerAbsent, groupevent.TypeGroupServerBack:
		c.servers.note(event)
	case groupevent.TypeGroupRequestsRefused:
		c.refused.note(event)
	case groupevent.TypeGroupRecordsRejected:
		c.rejecting.has(event, maxRejecting)
	}
}

// add adds what the log does not have to what is pending, and reports whether anything was.
func (c *chain) add(events []groupevent.Event, after time.Time) bool {
	added := false
	for _, event := range c.unknown(events) {
		of := idOf(event.ID)
		_, waits := c.waiting[of]
		if waits || !c.takes(&event, after) {
			continue
		}
		deletion := strings.HasSuffix(event.Type.Short(), ".deleted") || event.Type == groupevent.TypeRequestEnded
		if len(c.pending) >= c.maxPending && (!deletion || len(c.pending) >= 2*c.maxPending) {
			c.missed = true
			continue
		}
		if event.Type == groupevent.TypeGroupRecordsRejected && !c.rejecting.has(&event, maxRejecting) {
			continue
		}
		c.pending, c.waiting[of], added = append(c.pending, event), struct{}{}, true
		c.deleted = event.Type == groupevent.TypeGroupDeleted // the log ends with it
		c.consider(&event)
	}
	return added
}

// takes reports whether the log is to have an event that it does not have.
func (c *chain) takes(event *groupevent.Event, after time.Time) bool {
	return !c.deleted && !c.terminating && event.Time.After(after) && !c.isPruned(event)
}

// unknown returns the events that the log does not have.
func (c *chain) unknown(events []groupevent.Event) []groupevent.Event {
	var unknown []groupevent.Event
	for i := range events {
		if _, known := c.known[idOf(events[i].ID)]; !known {
			unknown = append(unknown, events[i])
		}
	}
	return unknown
}

// isPruned reports whether an event is as old as those that were deleted: it may have been among them.
func (c *chain) isPruned(event *groupevent.Event) bool {
	return c.pruned != nil && !event.Time.After(c.pruned.Through.Time)
}

// continueFrom has the log go on from the recorded head, if its end is missing: what is missing stays visible.
func (c *chain) continueFrom(recorded groupevent.Head) (missing uint64) {
	c.recorded = recorded
	if recorded.Sequence <= c.head.Sequence {
		return 0
	}
	missing = recorded.Sequence - c.head.Sequence
	c.head = recorded
	return missing
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func headOf(position v1alpha1.LogPosition) groupevent.Head {
	return groupevent.Head{Sequence: uint64(position.Sequence), ID: position.ID, Hash: position.Hash}
}

func positionOf(head groupevent.Head) v1alpha1.LogPosition {
	return v1alpha1.LogPosition{Sequence: int64(head.Sequence), ID: head.ID, Hash: head.Hash}
}
