package groupevent

import (
	"errors"
	"fmt"
)

// Head is a position in a log: the sequence number, id and hash of an event. The zero Head is before the first event.
type Head struct {
	Sequence uint64
	ID, Hash string
}

// Head returns the position of the event.
func (e *Event) Head() Head { return Head{Sequence: e.Sequence, ID: e.ID, Hash: e.Hash} }

// Append puts an event into the log after the head.
func Append(head Head, event Event) (Event, error) {
	if head.Sequence == 0 != (head.Hash == "") {
		return Event{}, errors.New("the head of the log has either no sequence number or no hash")
	}
	event.Sequence, event.PrevID, event.PrevHash = head.Sequence+1, head.ID, head.Hash
	var err error
	event.Hash, err = event.Sum()
	return event, err
}

// Fault is what is wrong with a log.
type Fault string

// The faults of a log.
const (
	// Unreadable is a line that is no event.
	Unreadable Fault = "unreadable"
	// Foreign is an event of another log.
	Foreign Fault = "foreign"
	// Changed is an event whose content was changed.
	Changed Fault = "changed"
	// Removed is that events are missing.
	Removed Fault = "removed"
	// Replayed is an event, or a segment, that is there twice.
	Replayed Fault = "replayed"
	// Replaced is an event that does not follow the one before it: that one, or everything from here on, is another.
	Replaced Fault = "replaced"
	// MissingTail is that the log ends before its head.
	MissingTail Fault = "missing-tail"
)

// Divergence is the first fault of a log.
type Divergence struct {
	Fault Fault
	// Sequence is the number of the first event that is not what it should be.
	Sequence uint64
	Message  string
}

// Error implements error.
func (d *Divergence) Error() string {
	return fmt.Sprintf("%s at %d: %s", d.Fault, d.Sequence, d.Message)
}

// Verifier verifies a log line by line.
type Verifier struct {
	group string // the UID of the Group; empty until the first event if it is not known
	last  Head
	// anchors are heads that the log must contain.
	anchors []Head
}

// NewVerifier returns a Verifier of the log of the Group with this UID, or of any if that is empty, whose first line follows the
// head: the zero Head for a whole log. Anchors are positions that the log is known to have had.
func NewVerifier(groupUID string, after Head, anchors ...Head) *Verifier {
	return &Verifier{group: groupUID, last: after, anchors: anchors}
}

// Last returns the position of the last event.
func (v *Verifier) Last() Head { return v.last }

// Add verifies the next line. After a divergence the Verifier must not be used any more.
func (v *Verifier) Add(line []byte) (Event, *Divergence) {
	next := v.last.Sequence + 1
	event, err := Decode(line)
	if err != nil {
		return Event{}, &Divergence{Unreadable, next, err.Error()}
	}
	if v.group == "" {
		v.group = event.Group.UID
	}
	if event.Group.UID != v.group {
		return event, &Divergence{Foreign, next, fmt.Sprintf("this is an event of the Group with the UID %s", event.Group.UID)}
	}
	sum, err := event.Sum()
	if err != nil || sum != event.Hash {
		return event, &Divergence{Changed, next, fmt.Sprintf("event %d has another hash than its content", event.Sequence)}
	}
	switch {
	case event.Sequence < next:
		return event, &Divergence{Replayed, next, fmt.Sprintf("event %d is there again", event.Sequence)}
	case event.Sequence > next:
		return event, &Divergence{Removed, next, fmt.Sprintf("the next event is %d: %d are missing", event.Sequence, event.Sequence-next)}
	case event.PrevHash != v.last.Hash || event.PrevID != v.last.ID:
		return event, &Divergence{Replaced, next, "it follows another event than the one that is before it"}
	}
	for _, anchor := range v.anchors {
		if anchor.Sequence == next && anchor.Hash != event.Hash {
			return event, &Divergence{Replaced, next, "the log is known to have had another event here"}
		}
	}
	v.last = event.Head()
	return event, nil
}

// Close reports whether the log ends before an anchor.
func (v *Verifier) Close() *Divergence {
	for _, anchor := range v.anchors {
		if anchor.Sequence > v.last.Sequence {
			return &Divergence{MissingTail, v.last.Sequence + 1, fmt.Sprintf("the log is known to have reached %d: %d are missing",
				anchor.Sequence, anchor.Sequence-v.last.Sequence)}
		}
	}
	return nil
}
