package snapshot

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
	// identity takes the place of an earlier one whose connection was lost.
	Identity string
	// Selects is whether the subscriber asked for the group.
	Selects func(group string) bool
	// Authorize is whether the subscriber may have a group that it selects; it may take
	// its time. Nil authorizes all.
	Authorize func(ctx context.Context, group string) (bool, error)
	// Known are the hashes of groups that the server holds already.
	Known map[string][]byte
}

// Subscription collects what one validation server has still to learn. Next is for one
// goroutine at a time.
type Subscription struct {
	hub        *Hub
	subscriber Subscriber
	instance   string

	// The rest is guarded by the Hub's lock.
	decided   map[string]bool     // authorization of groups, where there is a question
	undecided map[string]struct{} // groups to authorize
	groups    map[string]struct{} // dirty groups
	keys      map[string]struct{} // dirty keys
	wake      chan struct{}       // one slot: there is something to do
	joined    uint64              // the revision that the catch-up brings
	caughtUp  bool
	sent      uint64
	acked     uint64
	inFlight  []uint64  // revisions of updates that are not acknowledged
	unacked   time.Time // since when there are any, or since the last acknowledgement; zero if none
	closed    sync.Once
	servers   chan struct{}  // one slot: look how many servers there are
	told      map[string]int // how many there are of groups, as the server was told
	// replay are, during the catch-up, groups still to be sent or confirmed; replaying are
	// the remaining keys of the one under way. Both belong to Next alone.
	replay    []string
	replaying []string
}

// Subscribe registers a server. The Hub must be open.
func (h *Hub) Subscribe(subscriber Subscriber) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &Subscription{
		hub: h, subscriber: subscriber, instance: subscriber.Instance,
		decided:   map[string]bool{},
		undecided: map[string]struct{}{},
		groups:    map[string]struct{}{},
		keys:      map[string]struct{}{},
		wake:      make(chan struct{}, 1),
		servers:   make(chan struct{}, 1),
		told:      map[string]int{},
		joined:    h.revision,
	}
	for identity := range h.groups {
		if subscriber.Selects(identity) {
			sub.replay = append(sub.replay, identity)
		}
	}
	slices.Sort(sub.replay)
	for earlier := range h.subs {
		if earlier.instance == sub.instance && earlier.subscriber.Identity == subscriber.Identity && earlier.isAway() {
			delete(h.subs, earlier)
		}
	}
	h.subs[sub] = struct{}{}
	h.count(sub, 1)
	return sub
}

// serves is whether a change of the group is for this server. While it is undecided whether
// the server may have the group, it is counted.
func (s *Subscription) serves(group string) bool {
	if !s.subscriber.Selects(group) {
		return false
	}
	allowed, decided := s.decided[group]
	return allowed || !decided
}

// Serves is whether the server may have the group; known is false while that is being asked.
func (s *Subscription) Serves(group string) (serves, known bool) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[group] == nil || !s.subscriber.Selects(group) {
		return false, true
	}
	allowed, decided := s.decided[group]
	return allowed || s.subscriber.Authorize == nil, decided || s.subscriber.Authorize == nil
}

func (s *Subscription) changed(ref Ref, group string) {
	if !s.serves(group) || s.isAway() {
		return
	}
	if _, decided := s.decided[group]; !decided && s.subscriber.Authorize != nil {
		s.undecided[group] = struct{}{}
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

// Ack takes note that the server has everything up to the revision in force.
func (s *Subscription) Ack(revision uint64) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	revision = min(revision, s.sent)
	if revision <= s.acked {
		return
	}
	before := s.acked
	s.acked = revision
	if before < s.joined && s.joined <= revision {
		s.hub.found(s.instance)
	}
	s.inFlight = slices.DeleteFunc(s.inFlight, func(sent uint64) bool { return sent <= revision })
	s.unacked = time.Time{}
	if len(s.inFlight) > 0 {
		s.unacked = s.hub.clock.Now()
	}
	s.signal() // there may be more to send now
	s.hub.evaluateBetween(before, revision)
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
		h.count(s, -1)
		if goodbye || h.options.Grace <= 0 {
			if !goodbye {
				h.lost(s)
			}
			delete(h.subs, s)
			h.evaluateAfter(s.acked)
			return
		}
		s.groups, s.keys = nil, nil // marks it as away
		h.clock.AfterFunc(h.options.Grace, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if _, waiting := h.subs[s]; !waiting {
				return // it is back
			}
			h.lost(s)
			delete(h.subs, s)
			h.evaluateAfter(s.acked)
		})
	})
}

func (s *Subscription) isAway() bool { return s.groups == nil }

// Next returns the next update, waiting until there is one.
func (s *Subscription) Next(ctx context.Context) (*syncv1.Update, error) {
	for {
		if err := s.authorize(ctx); err != nil {
			return nil, err
		}
		if !s.caughtUp {
			return s.catchUp(ctx)
		}
		if update := s.takeChanges(); update != nil {
			return update, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// catchUp returns the next piece of what the server lacked when it subscribed.
func (s *Subscription) catchUp(ctx context.Context) (*syncv1.Update, error) {
	for {
		if len(s.replaying) > 0 {
			return &syncv1.Update{Keys: s.replayKeys()}, nil
		}
		if len(s.replay) == 0 {
			return s.finishCatchUp(), nil
		}
		identity := s.replay[0]
		s.replay = s.replay[1:]
		allowed, err := s.may(ctx, identity)
		if err != nil {
			return nil, err
		}
		if !allowed {
			continue
		}
		known, held := s.subscriber.Known[identity]
		if held && bytes.Equal(known, s.hub.hash(identity)) {
			delete(s.subscriber.Known, identity)
			continue
		}
		if update := s.startReplay(identity); update != nil {
			delete(s.subscriber.Known, identity)
			return update, nil
		}
	}
}

func (s *Subscription) startReplay(identity string) *syncv1.Update {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	group := h.groups[identity]
	if group == nil {
		return nil // deleted meanwhile
	}
	s.replaying = slices.Sorted(maps.Keys(group.keys))
	return &syncv1.Update{ReplacedGroups: []string{identity}, Groups: []*syncv1.Group{group.record}}
}

// finishCatchUp says that the rest of what the server knew is no more.
func (s *Subscription) finishCatchUp() *syncv1.Update {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.caughtUp = true
	s.recounted()
	s.took(s.joined)
	return &syncv1.Update{
		Revision:      s.joined,
		CaughtUp:      true,
		DeletedGroups: slices.Sorted(maps.Keys(s.subscriber.Known)),
	}
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
	if len(s.undecided) > 0 {
		return nil // a group has appeared that is to be asked about first; it has signalled so
	}
	update, size := &syncv1.Update{Revision: s.sent}, 0
	for identity := range s.groups {
		if size > chunkBytes {
			return update
		}
		delete(s.groups, identity)
		switch group := h.groups[identity]; {
		case s.refused(identity):
		case group == nil:
			update.DeletedGroups = append(update.DeletedGroups, identity)
			size += len(identity)
		default:
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
		case s.refused(key.record.GetGroup()):
		default:
			update.Keys = append(update.Keys, key.record)
			size += proto.Size(key.record)
		}
	}
	update.Revision = h.revision
	s.took(h.revision)
	return update
}

func (s *Subscription) took(revision uint64) {
	s.sent = revision
	s.inFlight = append(s.inFlight, revision)
	if s.unacked.IsZero() {
		s.unacked = s.hub.clock.Now()
	}
}

// replayKeys takes the next keys of the group that is being replayed.
func (s *Subscription) replayKeys() []*syncv1.Key {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
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
