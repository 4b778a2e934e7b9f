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

// window is how many updates a server may leave unacknowledged. Past it, changes gather here,
// where a later one replaces an earlier, rather than in the buffers of the connection.
const window = 4

// chunkBytes is about how much one update carries; a single record may exceed it.
const chunkBytes = 512 << 10

// Subscriber is who subscribes, and to what.
type Subscriber struct {
	// Instance names the validation server.
	Instance string
	// Identity is who the server proved to be. A subscriber of the same instance and
	// identity takes the place of an earlier one whose connection was lost; one of the same
	// instance and another identity is another server.
	Identity string
	// Owner is the identity as people read it, for where two servers have one Instance.
	Owner string
	// Selects is whether the subscriber asked for the group.
	Selects func(group string) bool
	// Authorizer says which groups it may have of these. Nil lets it have all.
	Authorizer Authorizer
	// Known are the hashes of groups that the server holds already.
	Known map[string][]byte
}

// Subscription collects what one validation server has still to learn. Next is for one
// goroutine at a time.
type Subscription struct {
	hub        *Hub
	subscriber Subscriber
	server     server

	// The rest is guarded by the Hub's lock.
	all             bool                // it may have everything that it selects
	allowed         map[string]struct{} // otherwise, what it may have
	undecided       map[string]struct{} // groups to ask about
	withdrawn       map[string]struct{} // groups to take back
	servesSnapshot  bool                // it decides by what it held when it came
	groups          map[string]struct{} // dirty groups
	keys            map[string]struct{} // dirty keys
	wake            chan struct{}       // one slot: there is something to do
	joined          uint64              // the revision that the catch-up brings
	caughtUp        bool
	sent            uint64
	acked           uint64
	passedOver      bool      // a change is no longer waited for here
	inFlight        []uint64  // revisions of updates that are not acknowledged
	unacked         time.Time // since when there are any, or since the last acknowledgement; zero if none
	closed          sync.Once
	servers         chan struct{}  // one slot: look how many servers there are
	reportedServers map[string]int // how many there are of groups, as the server was told
	// replay are, during the catch-up, groups still to be sent or confirmed, in order; replaying
	// are the remaining keys of the one under way.
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
		if !subscriber.Selects(identity) {
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
		known, held := subscriber.Known[identity]
		delete(subscriber.Known, identity)
		if !held || !bytes.Equal(known, h.groups[identity].content.Bytes()) {
			sub.replay = append(sub.replay, identity)
		}
	}
	slices.Sort(sub.replay)
	sub.subscriber.Known = maps.Clone(subscriber.Known) // what was confirmed is not kept
	for earlier := range h.subs {
		if earlier.server == sub.server && earlier.isDisconnected() {
			delete(h.subs, earlier)
			sub.servesSnapshot = sub.servesSnapshot || earlier.caughtUp
		}
	}
	h.subs[sub] = struct{}{}
	h.addToGroups(sub, 1)
	return sub
}

func (s *Subscription) changed(ref Ref, group string) {
	if s.isDisconnected() || !s.subscriber.Selects(group) {
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

// Ack takes note that the server has everything up to the revision in force. It returns false for a revision that
// was not sent, which no server can have.
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
	s.signal() // there may be more to send now
	s.hub.evaluateBetween(before, revision)
	return true
}

// Overdue is whether the server has left an update unacknowledged for longer than patience.
func (s *Subscription) Overdue(patience time.Duration) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return !s.unacked.IsZero() && s.hub.clock.Since(s.unacked) > patience
}

// Close ends the subscription. A server that said goodbye is forgotten at once; one that
// was lost is waited for a while, for it goes on deciding by what it knows.
func (s *Subscription) Close(goodbye bool) {
	s.closed.Do(func() {
		h := s.hub
		h.mu.Lock()
		defer h.mu.Unlock()
		h.addToGroups(s, -1)
		if goodbye || h.options.Grace <= 0 {
			if !goodbye {
				h.expire(s)
			}
			delete(h.subs, s)
			h.evaluateAfter(s.acked)
			return
		}
		s.groups, s.keys = nil, nil // marks it as away
		s.replay, s.replaying, s.undecided, s.withdrawn, s.reportedServers, s.subscriber.Known = nil, nil, nil, nil, nil, nil
		h.clock.AfterFunc(h.options.Grace, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if _, remaining := h.subs[s]; !remaining {
				return // it is back
			}
			h.expire(s)
			delete(h.subs, s)
			h.evaluateAfter(s.acked)
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

// take returns what there is to send, or nil.
func (s *Subscription) take() *syncv1.Update {
	if !s.CaughtUp() {
		return s.catchUp()
	}
	return s.takeChanges()
}

// catchUp returns the next piece of what the server lacked when it subscribed; nil where there is something to ask
// about first.
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
			continue // it is gone meanwhile, or was taken back
		}
		known, held := s.subscriber.Known[identity]
		delete(s.subscriber.Known, identity)
		if held && bytes.Equal(known, group.content.Bytes()) {
			continue
		}
		s.replaying = slices.Sorted(maps.Keys(group.keys))
		return &syncv1.Update{ReplacedGroups: []string{identity}, Groups: []*syncv1.Group{group.record}}
	}
}

// finishCatchUp says that the rest of what the server knew is no more.
func (s *Subscription) finishCatchUp() *syncv1.Update {
	s.caughtUp = true
	s.peersChanged()
	s.markSent(s.joined)
	stale := slices.Sorted(maps.Keys(s.subscriber.Known))
	s.subscriber.Known = nil
	return &syncv1.Update{Revision: s.joined, CaughtUp: true, DeletedGroups: stale}
}

// takeChanges returns what has changed since, the latest state of each record, or nil. What
// exceeds one update follows in the next, and only the last of them carries the revision.
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

func (s *Subscription) markSent(revision uint64) {
	s.sent = revision
	s.inFlight = append(s.inFlight, revision)
	if s.unacked.IsZero() {
		s.unacked = s.hub.clock.Now()
	}
}

// Stale is of how many groups that it knew the server is still to be told that they are no more.
func (s *Subscription) Stale() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.subscriber.Known)
}

// replayKeys takes the next keys of the group that is being replayed.
func (s *Subscription) replayKeys() []*syncv1.Key {
	var records []*syncv1.Key
	for size := 0; len(s.replaying) > 0 && size <= chunkBytes; s.replaying = s.replaying[1:] {
		// A key that is gone meanwhile is left out, and so is gone for the server too.
		if entry := s.hub.keys[s.replaying[0]]; entry != nil {
			records = append(records, entry.record)
			size += proto.Size(entry.record)
		}
	}
	return records
}

// CaughtUp is whether the server was sent everything that it lacked when it subscribed.
func (s *Subscription) CaughtUp() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.caughtUp
}
