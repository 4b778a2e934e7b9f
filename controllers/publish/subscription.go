package publish

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
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
	// Incarnation is the run of the server. A subscriber of the same run replaces an earlier one that is connected still: the server
	// has reconnected before the end of its earlier connection was noticed.
	Incarnation string
	// Owner is the identity in a readable form, which is shown where two servers have the same Instance.
	Owner string
	// Version is what the server says that it is. It is shown, and nothing is decided by it.
	Version string
	// Selection is what the subscriber asked for.
	Selection Selection
	// Authorizer says which of those groups it may have. With nil it may have all.
	Authorizer Authorizer
	// Known are the versions of groups that the server has already. After Subscribe, the Hub's lock guards it.
	Known map[string][]byte
	// Rejections are what it cannot use of these.
	Rejections *syncv1.Rejections
}

// Subscription collects the changes that one validation server does not have yet. Only one goroutine at a time may call
// Next; all other methods are safe for concurrent use.
//
// hub, subscriber (except Known), server, session and the channels do not change. The Hub's lock guards everything else. The
// channels wake and servers have one slot each and are sent to without blocking, so a signal may be spurious, but is
// never lost: its receiver looks again under the lock.
//
// While the Hub's lock is not held:
//   - groups == nil means that the server is disconnected; then keys is nil, too, and nothing is added to either;
//   - acked <= sent <= the revision of the Hub; inFlight is strictly ascending, and has the sent revisions above acked;
//   - unacked is zero exactly while inFlight is empty;
//   - incomplete has the groups that are sent whole and that the server does not have yet. Every group that is in queue and not
//     withdrawn is in it, and so is the one in slicing. Of all other groups that it may have, the server has everything up to
//     acked, is sent it in the updates up to sent, or it is in groups and keys;
//   - last has the groups of incomplete in phaseLast, and sentWhole those in phaseSent; both may have others, which have left that phase;
//   - the Hub's rejecting has the subscriptions with a rejected that is not nil, unless they are closed;
//   - a group is not in both allowed and undecided, unless a review asks about a group again that it was granted.
type Subscription struct {
	hub        *Hub
	subscriber Subscriber
	server     server
	session    *session.Session

	// The Hub's lock guards the rest.
	all             bool                // it may have everything that it selects
	allowed         map[string]struct{} // otherwise, what it may have
	undecided       map[string]struct{} // groups to ask about
	withdrawn       map[string]struct{} // groups to withdraw
	servesSnapshot  bool                // it decides by the snapshot that it had when it connected
	groups          map[string]struct{} // groups that have changed
	keys            map[string]string   // keys that have changed, and their groups
	wake            chan struct{}       // one slot: there is something to send or to ask
	caughtUp        bool
	current         uint64 // the revision that the catch-up has ended with; 0 before
	sent            uint64
	acked           uint64
	passedOver      bool      // a change passed its deadline without this server
	inFlight        []uint64  // revisions of updates that are not acknowledged
	unacked         time.Time // since when inFlight is not empty, or was last acknowledged in part
	closed          sync.Once
	servers         chan struct{}  // one slot: the number of servers may have changed
	reportedServers map[string]int // servers by group, as last reported to this server
	queue           []string       // groups that are to be sent whole, in order
	slicing         slicing        // the one that is being sent whole
	sliced          bool           // the last update was a slice, so that it is the turn of changes
	incomplete      map[string]sending
	last, sentWhole []string            // those in incomplete that are in phaseLast and phaseSent, so that nobody looks through all
	versioned       map[string]struct{} // groups of which records were sent since their versions
	rejected        *rejections         // what the server cannot use
	absentAs        session.ID          // as what the server is absent, once it was disconnected
	isAbsent        bool
}

// Session is the server's session in the Registry, from Subscribe to Close.
func (s *Subscription) Session() *session.Session { return s.session }

// Subscribe registers a server. The Hub must be open.
func (h *Hub) Subscribe(subscriber Subscriber) *Subscription {
	rejected := newRejections(subscriber.Rejections)
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &Subscription{
		hub: h, subscriber: subscriber,
		server:          server{session.ID{Instance: subscriber.Instance, Identity: subscriber.Identity}, subscriber.Owner},
		all:             subscriber.Authorizer == nil || subscriber.Authorizer.All(),
		allowed:         map[string]struct{}{},
		undecided:       map[string]struct{}{},
		withdrawn:       map[string]struct{}{},
		servesSnapshot:  len(subscriber.Known) > 0,
		groups:          map[string]struct{}{},
		keys:            map[string]string{},
		wake:            make(chan struct{}, 1),
		servers:         make(chan struct{}, 1),
		reportedServers: map[string]int{},
		incomplete:      map[string]sending{},
		versioned:       map[string]struct{}{},
		rejected:        rejected,
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
		sub.enter(identity)
	}
	slices.Sort(sub.queue)
	var superseded []*Subscription
	sub.subscriber.Known = maps.Clone(subscriber.Known) // groups that match already were removed: release their memory
	for earlier := range h.subs {
		if earlier.server == sub.server && (earlier.isDisconnected() || earlier.subscriber.Incarnation == subscriber.Incarnation) {
			h.addToGroups(earlier, -1)
			delete(h.subs, earlier)
			sub.servesSnapshot = sub.servesSnapshot || earlier.caughtUp
			earlier.disconnect()
			superseded = append(superseded, earlier)
		}
	}
	delete(h.absent, sub.server.ID)
	sub.session = h.sessions.Connect(session.Server{
		Run:  session.Run{ID: sub.server.ID, Incarnation: subscriber.Incarnation},
		Info: session.Info{Owner: subscriber.Owner, Version: subscriber.Version}, Serves: sub.Serves, Has: sub.Has, ServesKey: sub.ServesKey,
	})
	sub.servesSnapshot = sub.servesSnapshot || sub.session.Returned()
	h.subs[sub] = struct{}{}
	h.addToGroups(sub, 1)
	h.reconnectRejections(sub, superseded)
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
	if _, known := s.subscriber.Known[group]; known && s.hub.groups[group] != nil {
		s.enter(group) // it was not there when the server connected with an earlier state of it
		s.signal()
		return
	}
	switch {
	case s.hub.groups[group] == nil && ref.Kind == KindGroup:
		s.groups[ref.ID] = struct{}{}
		s.abandonWhole(group)
	case s.isQueued(group):
		return // the change is sent with the group
	case ref.Kind == KindGroup:
		s.groups[ref.ID] = struct{}{}
	default:
		s.keys[ref.ID] = group
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
	completed := s.completeWhole(revision)
	if s.passedOver || before < s.current && s.current <= revision {
		s.passedOver = !s.hub.reconnected(s)
	}
	s.inFlight = slices.DeleteFunc(s.inFlight, func(sent uint64) bool { return sent <= revision })
	s.unacked = time.Time{}
	if len(s.inFlight) > 0 {
		s.unacked = s.hub.clock.Now()
	}
	s.signal() // the window may have room now
	s.hub.traceAck(s, before, revision)
	if completed {
		before = 0 // changes of a group that was sent whole
	}
	s.hub.evaluateBetween(before, revision)
	return true
}

// Overdue reports whether the server has left an update unacknowledged for longer than patience.
func (s *Subscription) Overdue(patience time.Duration) bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return !s.unacked.IsZero() && s.hub.clock.Since(s.unacked) > patience
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

// take returns the next update if there is one, or nil. Changes and slices of groups that are sent whole take turns.
func (s *Subscription) take() *syncv1.Update {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.isDisconnected() {
		return nil
	}
	if s.sliced || !s.sendsWhole() {
		if update := s.takeChanges(); update != nil {
			s.sliced = false
			return update
		}
	}
	if !s.caughtUp && len(s.undecided) > 0 {
		return s.takeChanges() // the Authorizer is asked first
	}
	if update := s.nextSlice(); update != nil {
		s.sliced = true
		return update
	}
	switch {
	case len(s.groups)+len(s.keys) > 0:
		return s.takeChanges()
	case !s.caughtUp:
		return s.finish(&syncv1.Update{})
	case s.awaitsRevision():
		update := &syncv1.Update{}
		s.markWhole(update)
		return update
	default:
		return nil
	}
}

// finish marks an update after which the server has everything. If that ends the catch-up, any other group that the server knew does
// not exist any more.
func (s *Subscription) finish(update *syncv1.Update) *syncv1.Update {
	if update.GetRevision() == 0 {
		s.markWhole(update)
	}
	if s.caughtUp || s.sendsWhole() || len(s.undecided) > 0 {
		return update
	}
	s.caughtUp, s.current = true, update.GetRevision()
	s.peersChanged()
	update.CaughtUp = true
	update.DeletedGroups = append(update.DeletedGroups, slices.Sorted(maps.Keys(s.subscriber.Known))...)
	s.subscriber.Known = nil
	return update
}

// takeChanges returns the latest state of each record that has changed since the last update, or nil. What exceeds the
// size of one update follows in the next ones, and only the last of them carries the revision.
func (s *Subscription) takeChanges() *syncv1.Update {
	h := s.hub
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
			s.versioned[identity] = struct{}{}
		}
	}
	for id, group := range s.keys {
		if size > chunkBytes {
			return update
		}
		delete(s.keys, id)
		switch key := h.keys[id]; {
		case key == nil:
			update.DeletedKeys = append(update.DeletedKeys, id)
			size += len(id)
			s.versioned[group] = struct{}{}
		case !s.mayHave(key.record.GetGroup()):
		default:
			update.Keys = append(update.Keys, key.record)
			size += proto.Size(key.record)
			s.versioned[key.record.GetGroup()] = struct{}{}
		}
	}
	s.addVersions(update)
	update.Revision = h.revision
	s.markSent(h.revision)
	return s.finish(update)
}

// markSent records that an update with the revision is on its way.
func (s *Subscription) markSent(revision uint64) {
	s.sent = revision
	s.inFlight = append(s.inFlight, revision)
	if s.unacked.IsZero() {
		s.unacked = s.hub.clock.Now()
	}
	s.markWholeSent(revision)
}

// Stale returns the number of groups that the server knows and has to delete.
func (s *Subscription) Stale() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.subscriber.Known)
}

// CaughtUp reports whether the server was sent everything that it lacked when it subscribed.
func (s *Subscription) CaughtUp() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.caughtUp
}
