package publish

import (
	"maps"
	"strings"
	"unicode"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// Rejection is a server that cannot use a record, and why.
type Rejection struct{ Server, Reason string }

const (
	// MaxRejected is how many rejected records a server may list; a longer list is refused before it is decoded. A server that cannot use
	// more says so, and then rejects everything that it has.
	MaxRejected = 1000
	// maxRejectedAbsent is how many are kept of a server that is absent.
	maxRejectedAbsent = 16
	// tooManyReason is the reason for a record that a server does not list.
	tooManyReason = "the server cannot use more records than it lists"
)

// rejections are the records that a server cannot use. They never change; others replace them. A nil one has none.
type rejections struct {
	reasons map[Ref]string
	more    bool
}

func newRejections(list *syncv1.Rejections) *rejections {
	if len(list.GetRecords()) == 0 && !list.GetMore() {
		return nil
	}
	r := &rejections{reasons: map[Ref]string{}, more: list.GetMore()}
	for _, rejected := range list.GetRecords() {
		ref := KeyRef(rejected.GetId())
		if rejected.GetKind() == syncv1.RecordKind_RECORD_KIND_GROUP {
			ref = GroupRef(rejected.GetId())
		}
		r.reasons[ref] = strings.Map(printable, rejected.GetReason())
	}
	return r
}

// printable replaces what a terminal would not print: reasons are shown to people.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return ' '
}

// of returns why a record is rejected, if it is. A group stands for all of its keys.
func (r *rejections) of(subject Subject) (reason string, rejected bool) {
	if r == nil {
		return "", false
	}
	if reason, rejected = r.reasons[subject.Ref]; rejected {
		return reason, true
	}
	if reason, rejected = r.reasons[GroupRef(subject.Group)]; rejected {
		return reason, true
	}
	return tooManyReason, r.more
}

func (r *rejections) equal(other *rejections) bool {
	if r == nil || other == nil {
		return r == other
	}
	return r.more == other.more && maps.Equal(r.reasons, other.reasons)
}

// shortened returns what is kept of a server that is absent.
func (r *rejections) shortened() *rejections {
	if r == nil || len(r.reasons) <= maxRejectedAbsent {
		return r
	}
	return &rejections{more: true}
}

// Reject replaces the records that the server cannot use. The caller calls it before it acknowledges the update that had them.
func (s *Subscription) Reject(list *syncv1.Rejections) {
	now := newRejections(list)
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.isDisconnected() {
		h.setRejections(s, now)
	}
}

// setRejections replaces the rejections of a subscription, and notifies those that are about records of groups that the server has.
func (h *Hub) setRejections(s *Subscription, now *rejections) {
	was := s.rejected
	if was.equal(now) {
		return
	}
	s.rejected = now
	delete(h.rejecting, s)
	if now != nil {
		h.rejecting[s] = struct{}{}
	}
	changed := map[Ref]struct{}{}
	for _, r := range []*rejections{was, now} {
		if r == nil {
			continue
		}
		for ref := range r.reasons {
			changed[ref] = struct{}{}
		}
	}
	for ref := range changed {
		if subject, known := h.subjectOf(ref); known && s.has(subject.Group) {
			h.notify(subject)
		}
	}
	h.notifyRejected(s)
}

// notifyRejected notifies what was last said to be rejected, if it may be by this server: it may not be any more.
func (h *Hub) notifyRejected(s *Subscription) {
	for _, subject := range h.tracking.rejected {
		if s.mayHave(subject.Group) {
			h.notify(subject)
		}
	}
}

// reconnectRejections registers the rejections of a server that connects, and notifies only if it has come with others than it had.
func (h *Hub) reconnectRejections(s *Subscription, earlier []*Subscription) {
	now := s.rejected
	s.rejected = nil
	for _, sub := range earlier {
		delete(h.rejecting, sub)
		s.rejected = sub.rejected
	}
	if s.rejected != nil {
		h.rejecting[s] = struct{}{}
	}
	h.setRejections(s, now)
}

// dropRejections forgets the rejections of a server that does not count any more.
func (h *Hub) dropRejections(s *Subscription) {
	if _, is := h.rejecting[s]; is {
		delete(h.rejecting, s)
		h.notifyRejected(s)
	}
}

// IsRejected reports whether a connected server that has the record's group cannot use the record.
func (h *Hub) IsRejected(subject Subject) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isRejected(subject)
}

func (h *Hub) isRejected(subject Subject) bool {
	for s := range h.rejecting {
		if _, rejected := s.rejected.of(subject); rejected && s.has(subject.Group) {
			return true
		}
	}
	return false
}

// Rejected returns of how many records Enforcement has last said that connected servers reject them, and how many servers reject any.
func (h *Hub) Rejected() (records, servers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tracking.rejected), len(h.rejecting)
}

// subjectOf returns the record that is published under the name.
func (h *Hub) subjectOf(ref Ref) (subject Subject, known bool) {
	switch ref.Kind {
	case KindGroup:
		if entry := h.groups[ref.ID]; entry != nil {
			return groupSubject(entry.record), true
		}
	case KindKey:
		if entry := h.keys[ref.ID]; entry != nil {
			return entry.subject(), true
		}
	}
	return Subject{}, false
}
