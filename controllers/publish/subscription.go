package publish

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// window is how many updates a server may leave unacknowledged. Beyond it, changes accumulate here, where a later change
// replaces an earlier one, and not in the buffers of the connection.
const window = 4

// chunkBytes is the approximate size of one update; a single record may exceed it.
const chunkBytes = 512 << 10

// Subscriber is a server that subscribes, and what it subscribes to. Its fields do not change; Known is the exception.
type Subscriber struct {
	// Instance names the validation server.
	Instance string
	// Identity is the authenticated identity of the server. A subscriber of the same instance and identity replaces an
	// earlier one that is disconnected; one of the same instance and another identity is another server.
	Identity string
	// Owner is the identity in a readable form, which is shown where two servers have the same Instance.
	Owner string
	// Selection is what the subscriber asked for.
	Selection Selection
	// Authorizer says which of those groups it may have. With nil it may have all.
	Authorizer Authorizer
	// Known are the hashes of groups that the server has already. After Subscribe, the Hub's lock guards it.
	Known map[string][]byte
}

// Subscription collects the changes that one validation server does not have yet. Only one goroutine at a time may call
// Next; all other methods are safe for concurrent use.
//
// hub, subscriber (except Known), server and the channels do not change. The Hub's lock guards everything else. The
// channels wake and servers have one slot each and are sent to without blocking, so a signal may be spurious, but is
// never lost: its receiver looks again under the lock.
//
// While the Hub's lock is not held:
//   - groups == nil means that the server is disconnected; then keys is nil, too, and nothing is added to either;
//   - acked <= sent <= the revision of the Hub; inFlight is strictly ascending, and has the sent revisions above acked;
//   - unacked is zero exactly while inFlight is empty;
//   - until caughtUp, replay has, in order, the groups that are not sent yet, and sent is 0;
//   - a group is not in both allowed and undecided, unless a review asks about a group again that it was granted.
type Subscription struct {
	hub        *Hub
	subscriber Subscriber
	server     server

	// The Hub's lock guards the rest.
	all             bool                // it may have everything that it selects
	allowed         map[string]struct{} // otherwise, what it may have
	undecided       map[string]struct{} // groups to ask about
	withdrawn       map[string]struct{} // groups to withdraw
	servesSnapshot  bool                // it decides by the snapshot that it had when it connected
	groups          map[string]struct{} // groups that have changed
	keys            map[string]struct{} // keys that have changed
	wake            chan struct{}       // one slot: there is something to send or to ask
	joined          uint64              // the revision that the catch-up ends with
	caughtUp        bool
	sent            uint64
	acked           uint64
	passedOver      bool      // a change passed its deadline without this server
	inFlight        []uint64  // revisions of updates that are not acknowledged
	unacked         time.Time // since when inFlight is not empty, or was last acknowledged in part
	closed          sync.Once
	servers         chan struct{}  // one slot: the number of servers may have changed
	reportedServers map[string]int // servers by group, as last reported to this server
	// During the catch-up, replay has the groups that are still to be sent or confirmed, in order; replaying has the
	// remaining keys of the group that is being sent.
	replay    []string
	replaying []string
}

// Subscribe registers a server. The Hub must be open.
func (h *Hub) Subscribe(subscriber Subscriber) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &Subscription{
		hub: h, subscriber: subscriber,
		server:          server{subscriber.Instance, subscriber.Identity, subscriber.Owner},
		all:             subscriber.Authorizer == nil || subscriber.Authorizer.All(),
		allowed:         map[string]struct{}{},
		undecided:       map[string]struct{}{},
		withdrawn:       map[string]struct{}{},
		servesSnapshot:  len(subscriber.Known) > 0,
		groups:          map[string]struct{}{},
		keys:            map[string]struct{}{},
		wake:            make(chan struct{}, 1),
		servers:         make(chan struct{}, 1),
		reportedServers: map[string]int{},
		joined:          h.revision,
	}
	for identity := range h.groups {
		if !subscriber.Selection.Selects(identity) {
			continue
		}
		if !sub.all {
			allowed, known := subscriber.Authorizer.Known(identity)
			if !known {
				sub.undecided[identity] = struct{}{}
			}
			if !allowed || !known {
				continue
			}
			sub.allowed[identity] = struct{}{}
		}
		known, has := subscriber.Known[identity]
		delete(subscriber.Known, identity)
		if !has || !bytes.Equal(known, h.groups[identity].content.Bytes()) {
			sub.replay = append(sub.replay, identity)
		}
	}
	slices.Sort(sub.replay)
	sub.subscriber.Known = maps.Clone(subscriber.Known) // groups that match already were removed: release their memory
	for earlier := range h.subs {
		if earlier.server == sub.server && earlier.isDisconnected() {
			delete(h.subs, earlier)
			sub.servesSnapshot = sub.servesSnapshot || earlier.caughtUp
		}
	}
	if h.absent.remove(sub.server) {
		sub.servesSnapshot = true
	}
	h.subs[sub] = struct{}{}
	h.addToGroups(sub, 1)
	return sub
}

func (s *Subscription) changed(ref Ref, group string) {
	if s.isDisconnected() || !s.subscriber.Selection.Selects(group) {
		return
	}
	if !s.mayHave(group) {
		switch allowed, known := s.subscriber.Authorizer.Known(group); {
		case !known:
			s.undecided[group] = struct{}{}
			s.signal()
		case allowed:
			s.grant(group)
		}
		return
	}
	switch ref.Kind {
	case KindGroup:
		s.groups[ref.ID] = struct{}{}
	case KindKey:
		s.keys[ref.ID] = struct{}{}
	}
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ack records that the server has everything up to the revision in force. It returns false for a revision that was not
// sent: no server can have that.
func (s *Subscription) Ack(revision uint64) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if revision > s.sent {
		return false
	}
	if revision <= s.acked {
		return true
	}
	before := s.acked
	s.acked = revision
	if s.passedOver || before < s.joined && s.joined <= revision {
		s.passedOver = !s.hub.reconnected(s)
	}
	s.inFlight = slices.DeleteFunc(s.inFlight, func(sent uint64) bool { return sent <= revision })
	s.unacked = time.Time{}
	if len(s.inFlight) > 0 {
		s.unacked = s.hub.clock.Now()
	}
	s.signal() // the window may have room now
	s.hub.traceAck(s, before, revision)
	s.hub.evaluateBetween(before, revision)
	return true
}

// Overdue reports whether the server has left an update unacknowledged for longer than patience.
func (s *Subscription) Overdue(patience time.Duration) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return !s.unacked.IsZero() && s.hub.clock.Since(s.unacked) > patience
}

// Close ends the subscription. A server that said goodbye is removed at once. The Hub waits for Grace for one that was
// disconnected, because that goes on deciding by its last snapshot, and afterwards names it in every change that it lacks.
func (s *Subscription) Close(goodbye bool) {
	s.closed.Do(func() {
		h := s.hub
		h.mu.Lock()
		defer h.mu.Unlock()
		h.addToGroups(s, -1)
		if goodbye {
			delete(h.subs, s)
			h.absent.remove(s.server)
			h.evaluateAfter(s.acked)
			return
		}
		if h.options.Grace <= 0 {
			h.expire(s)
			return
		}
		s.groups, s.keys = nil, nil // marks it as disconnected
		s.replay, s.replaying, s.undecided, s.withdrawn, s.reportedServers, s.subscriber.Known = nil, nil, nil, nil, nil, nil
		h.clock.AfterFunc(h.options.Grace, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if _, remaining := h.subs[s]; !remaining {
				return // it has reconnected
			}
			h.expire(s)
		})
	})
}

func (s *Subscription) isDisconnected() bool { return s.groups == nil }

// Next returns the next update, waiting until there is one.
func (s *Subscription) Next(ctx context.Context) (*syncv1.Update, error) {
	for {
		if update := s.take(); update != nil {
			return update, nil
		}
		if asked, err := s.ask(ctx); err != nil {
			return nil, err
		} else if asked {
			continue
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// take returns the next update if there is one, or nil.
func (s *Subscription) take() *syncv1.Update {
	if !s.CaughtUp() {
		return s.catchUp()
	}
	return s.takeChanges()
}

// catchUp returns the next part of what the server lacked when it subscribed, or nil if the Authorizer must be asked
// first.
func (s *Subscription) catchUp() *syncv1.Update {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case s.isDisconnected(), len(s.undecided) > 0:
			return nil
		case len(s.replaying) > 0:
			return &syncv1.Update{Keys: s.replayKeys()}
		case len(s.replay) == 0:
			return s.finishCatchUp()
		}
		identity := s.replay[0]
		s.replay = s.replay[1:]
		group := h.groups[identity]
		if group == nil || !s.mayHave(identity) {
			continue // it was deleted or withdrawn in the meantime
		}
		known, has := s.subscriber.Known[identity]
		delete(s.subscriber.Known, identity)
		if has && bytes.Equal(known, group.content.Bytes()) {
			continue
		}
		s.replaying = slices.Sorted(maps.Keys(group.keys))
		return &syncv1.Update{ReplacedGroups: []string{identity}, Groups: []*syncv1.Group{group.record}}
	}
}

// finishCatchUp ends the catch-up: any other group that the server knew does not exist any more.
func (s *Subscription) finishCatchUp() *syncv1.Update {
	s.caughtUp = true
	s.peersChanged()
	s.markSent(s.joined)
	stale := slices.Sorted(maps.Keys(s.subscriber.Known))
	s.subscriber.Known = nil
	return &syncv1.Update{Revision: s.joined, CaughtUp: true, DeletedGroups: stale}
}

// takeChanges returns the latest state of each record that has changed since the last update, or nil. What exceeds the
// size of one update follows in the next ones, and only the last of them carries the revision.
func (s *Subscription) takeChanges() *syncv1.Update {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(s.groups)+len(s.keys) == 0 || len(s.inFlight) >= window {
		return nil
	}
	update, size := &syncv1.Update{Revision: s.sent}, 0
	for identity := range s.groups {
		if size > chunkBytes {
			return update
		}
		delete(s.groups, identity)
		_, withdrawn := s.withdrawn[identity]
		delete(s.withdrawn, identity)
		group := h.groups[identity]
		if withdrawn || group == nil && s.mayHave(identity) {
			update.DeletedGroups = append(update.DeletedGroups, identity)
			size += len(identity)
		}
		if group != nil && s.mayHave(identity) {
			update.Groups = append(update.Groups, group.record)
			size += proto.Size(group.record)
		}
	}
	for id := range s.keys {
		if size > chunkBytes {
			return update
		}
		delete(s.keys, id)
		switch key := h.keys[id]; {
		case key == nil:
			update.DeletedKeys = append(update.DeletedKeys, id)
			size += len(id)
		case !s.mayHave(key.record.GetGroup()):
		default:
			update.Keys = append(update.Keys, key.record)
			size += proto.Size(key.record)
		}
	}
	update.Revision = h.revision
	s.markSent(h.revision)
	return update
}

// markSent records that an update with the revision is on its way.
func (s *Subscription) markSent(revision uint64) {
	s.sent = revision
	s.inFlight = append(s.inFlight, revision)
	if s.unacked.IsZero() {
		s.unacked = s.hub.clock.Now()
	}
}

// Stale returns the number of groups that the server knows and has to delete.
func (s *Subscription) Stale() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.subscriber.Known)
}

// replayKeys returns the next keys of the group that is being replayed.
func (s *Subscription) replayKeys() []*syncv1.Key {
	var records []*syncv1.Key
	for size := 0; len(s.replaying) > 0 && size <= chunkBytes; s.replaying = s.replaying[1:] {
		// A key that was deleted in the meantime is left out, and so is deleted on the server, too.
		if entry := s.hub.keys[s.replaying[0]]; entry != nil {
			records = append(records, entry.record)
			size += proto.Size(entry.record)
		}
	}
	return records
}

// CaughtUp reports whether the server was sent everything that it lacked when it subscribed.
func (s *Subscription) CaughtUp() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.caughtUp
}
