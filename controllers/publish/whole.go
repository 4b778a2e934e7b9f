package publish

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// A group that a server does not have, or of which it cannot be said what has changed since, is sent whole: in slices, between
// which changes of other groups are sent. So neither the size of a group nor the number of groups delays a change of another.

// sending is how far a group that is sent whole has come.
type sending struct {
	phase phase
	// revision is the one whose acknowledgement says that the server has the group; in phaseSent only.
	revision uint64
}

type phase int

const (
	// phaseQueued: nothing of the group is sent. Changes of it wait.
	phaseQueued phase = iota
	// phaseSlices: slices are being sent, and changes of the group as well.
	phaseSlices
	// phaseLast: the last slice is sent, and with the next revision the server has the group.
	phaseLast
	// phaseSent: that revision is sent.
	phaseSent
)

// slicing is the group that is being sent whole; "" is none.
type slicing struct {
	group string
	keys  []string // that are not sent yet, in order
}

// lacks reports whether a change is not known to be in force on the server.
func (s *Subscription) lacks(c *change) bool {
	if s.acked < c.revision {
		return true
	}
	_, incomplete := s.incomplete[c.Group]
	return incomplete
}

// ackedEverywhere returns the revision up to which the server has all groups.
func (s *Subscription) ackedEverywhere() uint64 {
	if len(s.incomplete) > 0 {
		return 0
	}
	return s.acked
}

// enter has the server sent what it lacks of a group that it may have, and that is published.
func (s *Subscription) enter(identity string) {
	entry := s.hub.groups[identity]
	known, has := s.subscriber.Known[identity]
	delete(s.subscriber.Known, identity)
	if !has {
		s.queueWhole(identity)
		return
	}
	changes, remembered := s.hub.changesSince(entry, known)
	if !remembered {
		s.queueWhole(identity)
		return
	}
	for _, c := range changes {
		if c.key == "" {
			s.groups[identity] = struct{}{}
		} else {
			s.keys[c.key] = identity
		}
	}
}

// queueWhole has a group sent whole.
func (s *Subscription) queueWhole(identity string) {
	s.incomplete[identity] = sending{}
	s.queue = append(s.queue, identity)
}

// sendsWhole reports whether a group is still to be sent whole, or the rest of one.
func (s *Subscription) sendsWhole() bool { return len(s.queue) > 0 || s.slicing.group != "" }

// isQueued reports whether nothing of the group is sent yet.
func (s *Subscription) isQueued(group string) bool {
	state, incomplete := s.incomplete[group]
	return incomplete && state.phase == phaseQueued
}

// nextSlice returns the next slice of a group that is sent whole, or nil if there is none.
func (s *Subscription) nextSlice() *syncv1.Update {
	update := &syncv1.Update{Revision: s.sent}
	if s.slicing.group == "" && !s.beginWhole(update) {
		return nil
	}
	size := 0
	for _, group := range update.GetGroups() {
		size += proto.Size(group)
	}
	for ; len(s.slicing.keys) > 0 && size <= chunkBytes; s.slicing.keys = s.slicing.keys[1:] {
		// A key that was deleted in the meantime is left out, and so is deleted on the server, too.
		if entry := s.hub.keys[s.slicing.keys[0]]; entry != nil {
			update.Keys = append(update.Keys, entry.record)
			size += proto.Size(entry.record)
		}
	}
	if len(s.slicing.keys) == 0 {
		s.endWhole(update)
	}
	return update
}

// beginWhole begins to send the next group that is queued. It reports whether there is one.
func (s *Subscription) beginWhole(update *syncv1.Update) bool {
	for len(s.queue) > 0 {
		identity := s.queue[0]
		s.queue = s.queue[1:]
		if !s.isQueued(identity) {
			continue // it was withdrawn, or queued twice
		}
		entry := s.hub.groups[identity]
		if entry == nil || !s.mayHave(identity) {
			delete(s.incomplete, identity) // it was deleted; the server is sent that as a change
			continue
		}
		if _, withdrawn := s.withdrawn[identity]; withdrawn {
			update.DeletedGroups = append(update.DeletedGroups, identity)
			delete(s.withdrawn, identity)
		}
		delete(s.groups, identity)
		s.incomplete[identity] = sending{phase: phaseSlices}
		s.slicing = slicing{identity, slices.Sorted(maps.Keys(entry.keys))}
		if !s.caughtUp {
			update.ReplacedGroups = append(update.ReplacedGroups, identity)
		}
		update.Groups = append(update.Groups, entry.record)
		return true
	}
	return false
}

// endWhole ends the group that was sent. If nothing else waits, the server has it with this update.
func (s *Subscription) endWhole(update *syncv1.Update) {
	identity := s.slicing.group
	s.slicing = slicing{}
	if s.hub.groups[identity] == nil {
		delete(s.incomplete, identity)
		return
	}
	s.incomplete[identity] = sending{phase: phaseLast}
	s.last = append(s.last, identity)
	s.versioned[identity] = struct{}{}
	if len(s.groups)+len(s.keys) > 0 {
		return // its version may have to wait for one of these
	}
	s.addVersions(update)
	if s.caughtUp && len(s.queue) == 0 {
		s.markWhole(update)
	}
}

// markWhole marks an update after which nothing waits to be sent. Its acknowledgement has to say something new.
func (s *Subscription) markWhole(update *syncv1.Update) {
	if h := s.hub; h.revision == s.sent {
		h.revision++
	}
	update.Revision = s.hub.revision
	s.markSent(update.GetRevision())
}

// addVersions adds the versions of groups to an update with which the server has the groups.
func (s *Subscription) addVersions(update *syncv1.Update) {
	for _, identity := range slices.Sorted(maps.Keys(s.versioned)) {
		if state, incomplete := s.incomplete[identity]; incomplete && state.phase < phaseLast {
			continue // the last slice brings it
		}
		if s.hub.groups[identity] != nil && s.mayHave(identity) {
			update.Versions = append(update.Versions, s.hub.versionOf(identity))
		}
	}
	clear(s.versioned)
}

// abandonWhole ends the sending of a group that was deleted. Changes of its keys were not recorded while it was queued, so the server
// is sent the deletion even if there is a group of this name again by then.
func (s *Subscription) abandonWhole(identity string) {
	if _, incomplete := s.incomplete[identity]; !incomplete {
		return
	}
	delete(s.incomplete, identity)
	if s.slicing.group == identity {
		s.slicing = slicing{}
	}
	s.withdrawn[identity] = struct{}{}
}

// awaitsRevision reports whether the server was sent whole groups, and no revision since.
func (s *Subscription) awaitsRevision() bool {
	return slices.ContainsFunc(s.last, func(identity string) bool { return s.incomplete[identity].phase == phaseLast })
}

// markWholeSent records that a revision is on its way, with which the server has the groups whose last slice was sent.
func (s *Subscription) markWholeSent(revision uint64) {
	for _, identity := range s.last {
		if s.incomplete[identity].phase == phaseLast {
			s.incomplete[identity] = sending{phaseSent, revision}
			s.sentWhole = append(s.sentWhole, identity)
		}
	}
	s.last = nil
}

// completeWhole records that the server has acknowledged a revision. It reports whether it has a group now that it lacked.
func (s *Subscription) completeWhole(revision uint64) (some bool) {
	s.sentWhole = slices.DeleteFunc(s.sentWhole, func(identity string) bool {
		state := s.incomplete[identity]
		if state.phase != phaseSent {
			return true // it was withdrawn or deleted, and maybe is sent again
		}
		if state.revision <= revision {
			delete(s.incomplete, identity)
			some = true
			return true
		}
		return false
	})
	if len(s.sentWhole) == 0 {
		s.sentWhole = nil // a catch-up may have made it long
	}
	return some
}
