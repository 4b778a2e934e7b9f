package publish

import (
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/controllers/session"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Kind distinguishes the two kinds of records.
type Kind int

// Kinds of records.
const (
	KindGroup Kind = iota
	KindKey
)

// Ref names a record: a Group by namespace/name, a key by its id.
type Ref struct {
	Kind Kind
	ID   string
}

// GroupRef names the record of a group by its identity namespace/name.
func GroupRef(identity string) Ref { return Ref{KindGroup, identity} }

// KeyRef names the record of a key by its id.
func KeyRef(id string) Ref { return Ref{KindKey, id} }

// Options bound how long the Hub waits for validation servers.
type Options struct {
	// StartupGrace is how long nothing counts as enforced once the Hub is open, so that servers that were connected to an
	// earlier leader can reconnect. It must exceed a server's longest pause between two attempts to connect, which
	// is 2 s.
	StartupGrace time.Duration
	// Grace is how long the Hub waits for a disconnected server. After that the server is expired: changes that it lacks name it, because
	// it decides by the snapshot that it had, until the Registry has forgotten it.
	Grace time.Duration
	// DeliverDespiteRejections has keys delivered that a connected server cannot use.
	DeliverDespiteRejections bool
	// Patience is how long a server may take to acknowledge an update. A change waits at most Patience plus Grace from
	// its own publication, no matter which servers connect, disconnect or do not answer in the meantime. With 0 it
	// waits as long as there is a server to wait for.
	Patience time.Duration
}

// Hub holds the published records, the subscriptions of validation servers, and the revision that each of them has
// acknowledged.
//
// One lock, mu, guards the Hub and the mutable state of all its Subscriptions: whether a change is in force depends on
// both. It is never held while a message is sent, or while an Authorizer asks. The callbacks that run under it
// (Authorizer.All and Known, notify) must not block and must not call the Hub or a Subscription.
// Other locks may be taken under it, the lock of rights and that of the Registry for example, and a caller that holds one of those must
// not take mu.
//
// While mu is not held:
//   - revision never decreases, and no record has a higher one;
//   - a key in keys is in the keys of its group, which is in groups; content is the sum of the hashes of both;
//   - remembered is the number of changes in the logs of groups;
//   - digests has, for a digest, the key that was put last with it, until that key changes;
//   - limited has exactly the groups with a limited above 0, and groupEntry.servers is countPeers of the group;
//   - subs has the servers that are connected to the Registry, and those that are disconnected for less than Grace;
//   - absent has servers that are absent in the Registry and not in subs, and Others.
type Hub struct {
	clock    clock.WithDelayedExecution
	sessions *session.Registry
	options  Options

	mu            sync.Mutex
	revision      uint64
	term          [termSize]byte
	remembered    int // how many changes are in the logs of groups
	groups        map[string]*groupEntry
	keys          map[string]*keyEntry
	digests       map[keyformat.Digest]*keyEntry // keys by the digests of their versions
	limited       map[string]*groupEntry         // groups that have a rate limit, or a key that has one
	subs          map[*Subscription]struct{}
	rejecting     map[*Subscription]struct{} // those in subs that cannot use some records
	open          chan struct{}
	startupOver   bool
	startupOverAt time.Time // when StartupGrace ended
	tracking      tracking
	absent        map[session.ID]*lastKnown
	withheld      withheld
	notify        func(Subject)
	tracer        trace.Tracer // nil if changes are not traced

	forgetScheduled bool // a timer for forgetAbsent runs
}

type groupEntry struct {
	record   *syncv1.Group
	revision uint64
	keys     map[string]struct{}
	content  content
	log      changeLog
	// servers is how many servers share the rate limits of the group; limited is how many such limits there are: its own
	// and those of its keys.
	servers, limited int
}

type keyEntry struct {
	record   *syncv1.Key
	object   types.NamespacedName
	revision uint64
}

func (e *keyEntry) subject() Subject {
	return Subject{Ref: KeyRef(e.record.GetId()), Group: e.record.GetGroup(), Object: e.object}
}

// NewHub returns an empty Hub that is not open yet. It registers each server that subscribes in the Registry, and asks the Registry which
// servers are absent.
func NewHub(clk clock.WithDelayedExecution, sessions *session.Registry, options Options) *Hub {
	return &Hub{
		clock:     clk,
		sessions:  sessions,
		options:   options,
		revision:  1, // an empty Hub, too, has a revision to acknowledge
		term:      newTerm(),
		groups:    map[string]*groupEntry{},
		keys:      map[string]*keyEntry{},
		digests:   map[keyformat.Digest]*keyEntry{},
		limited:   map[string]*groupEntry{},
		subs:      map[*Subscription]struct{}{},
		rejecting: map[*Subscription]struct{}{},
		open:      make(chan struct{}),
		tracking:  newTracking(),
		absent:    map[session.ID]*lastKnown{},
		withheld:  withheld{},
		notify:    func(Subject) {},
	}
}

// OnEnforced registers a function that is called for every record whose latest change has come into force on all
// servers. It is called with the Hub locked: it must not block, and must not call the Hub.
func (h *Hub) OnEnforced(notify func(Subject)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	previous := h.notify
	h.notify = func(subject Subject) { previous(subject); notify(subject) }
}

// Open declares the records complete. From then on servers may subscribe.
func (h *Hub) Open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.open)
	for ref, subject := range h.tracking.askedEarly {
		h.track(subject, h.revisionOf(ref), time.Time{}, h.deadline())
	}
	h.tracking.askedEarly = nil
	if h.options.StartupGrace <= 0 {
		h.endStartupGrace()
		return
	}
	h.clock.AfterFunc(h.options.StartupGrace, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.endStartupGrace()
	})
}

func (h *Hub) endStartupGrace() {
	h.startupOver, h.startupOverAt = true, h.clock.Now()
	for sub := range h.subs {
		clear(sub.reportedServers) // servers may have ignored the counts that they were sent so far
	}
	h.peersChanged()
	h.evaluateAfter(0)
}

// Opened is closed when the records are complete.
func (h *Hub) Opened() <-chan struct{} { return h.open }

func (h *Hub) isOpen() bool {
	select {
	case <-h.open:
		return true
	default:
		return false
	}
}

// PutGroup publishes the record of a group. The caller must not change it afterwards. A record that is too large is withheld:
// servers receive a record that refuses the group's keys.
func (h *Hub) PutGroup(record *syncv1.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	record, tooLarge := withinBounds(record)
	h.withheld.note(groupSubject(record), tooLarge)
	identity := record.Identity()
	entry := h.groups[identity]
	if entry == nil {
		entry = &groupEntry{keys: map[string]struct{}{}, servers: h.countPeers(identity)}
		entry.log.since = h.revision + 1
		h.groups[identity] = entry
	} else if proto.Equal(entry.record, record) {
		return
	} else {
		entry.content.remove(hashGroup(entry.record))
	}
	h.revision++
	h.rateLimitChanged(identity, entry, entry.record.GetLimits().GetRate() != nil, record.GetLimits().GetRate() != nil)
	entry.record, entry.revision = record, h.revision
	entry.content.add(hashGroup(record))
	h.remember(entry, "")
	h.changed(groupSubject(entry.record))
}

// DeleteGroup withdraws a group with all its keys.
func (h *Hub) DeleteGroup(identity string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.withheld.forget(GroupRef(identity))
	entry := h.groups[identity]
	if entry == nil {
		return
	}
	h.revision++
	for id := range entry.keys {
		subject := h.keys[id].subject()
		h.unindexDigests(h.keys[id])
		delete(h.keys, id)
		h.changed(subject)
	}
	delete(h.groups, identity)
	h.remembered -= len(entry.log.changes)
	if h.limited[identity] != nil {
		delete(h.limited, identity)
		h.peersChanged()
	}
	h.changed(groupSubject(entry.record))
}

// PutKey publishes the record of the key that is made from the object. The caller must not change the record
// afterwards. It is not published while its group is not, nor if it is too large.
func (h *Hub) PutKey(record *syncv1.Key, object types.NamespacedName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := record.GetId()
	tooLarge := proto.Size(record) > MaxRecordBytes
	h.withheld.note(Subject{Ref: KeyRef(id), Group: record.GetGroup(), Object: object}, tooLarge)
	if tooLarge {
		h.deleteKey(id)
		return
	}
	group := h.groups[record.GetGroup()]
	if group == nil {
		return
	}
	entry := h.keys[id]
	if entry != nil && proto.Equal(entry.record, record) {
		return
	}
	if entry == nil {
		entry = &keyEntry{}
		h.keys[id] = entry
	} else {
		h.removeFromGroup(entry.record)
		h.unindexDigests(entry)
	}
	h.revision++
	h.rateLimitChanged(record.GetGroup(), group, entry.record.GetRate() != nil, record.GetRate() != nil)
	entry.record, entry.object, entry.revision = record, object, h.revision
	h.indexDigests(entry)
	group.keys[id] = struct{}{}
	group.content.add(hashKey(record))
	h.remember(group, id)
	h.changed(entry.subject())
}

// DeleteKey withdraws a key.
func (h *Hub) DeleteKey(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.withheld.forget(KeyRef(id))
	h.deleteKey(id)
}

func (h *Hub) deleteKey(id string) {
	entry := h.keys[id]
	if entry == nil {
		return
	}
	h.revision++
	delete(h.keys, id)
	h.unindexDigests(entry)
	h.removeFromGroup(entry.record)
	if group := h.groups[entry.record.GetGroup()]; group != nil {
		h.rateLimitChanged(entry.record.GetGroup(), group, entry.record.GetRate() != nil, false)
		h.remember(group, id)
	}
	h.changed(entry.subject())
}

// removeFromGroup removes the record of a key from its group.
func (h *Hub) removeFromGroup(record *syncv1.Key) {
	if group := h.groups[record.GetGroup()]; group != nil {
		delete(group.keys, record.GetId())
		group.content.remove(hashKey(record))
	}
}

// changed marks the record in the subscriptions of its group, and tracks the change until it is in force.
func (h *Hub) changed(subject Subject) {
	for sub := range h.subs {
		sub.changed(subject.Ref, subject.Group)
	}
	if h.isOpen() {
		c := &change{Subject: subject, revision: h.revision, at: h.clock.Now(), deadline: h.deadline()}
		h.beginTrace(c, h.tracking.latest[subject.Ref])
		h.follow(c)
	}
}

func groupSubject(record *syncv1.Group) Subject {
	return Subject{
		Ref: GroupRef(record.Identity()), Group: record.Identity(),
		Object: types.NamespacedName{Namespace: record.GetNamespace(), Name: record.GetName()},
	}
}

func (h *Hub) revisionOf(ref Ref) uint64 {
	switch ref.Kind {
	case KindGroup:
		if entry := h.groups[ref.ID]; entry != nil {
			return entry.revision
		}
	case KindKey:
		if entry := h.keys[ref.ID]; entry != nil {
			return entry.revision
		}
	}
	return 0
}

func (h *Hub) recordID(ref Ref) string {
	switch ref.Kind {
	case KindGroup:
		if entry := h.groups[ref.ID]; entry != nil {
			return RecordID(entry.record)
		}
	case KindKey:
		if entry := h.keys[ref.ID]; entry != nil {
			return RecordID(entry.record)
		}
	}
	return NoRecord
}

// Groups returns the identities of all groups.
func (h *Hub) Groups() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.groups))
}

// GroupOf returns the group of the key that has a version of the digest.
func (h *Hub) GroupOf(digest keyformat.Digest) (group string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	entry := h.digests[digest]
	if entry == nil {
		return "", false
	}
	return entry.record.GetGroup(), true
}

// indexDigests adds the digests of a key to the index.
func (h *Hub) indexDigests(entry *keyEntry) {
	for _, version := range entry.record.GetVersions() {
		if digest := version.GetDigest(); len(digest) == len(keyformat.Digest{}) {
			h.digests[keyformat.Digest(digest)] = entry
		}
	}
}

// unindexDigests removes them, unless another key has them now.
func (h *Hub) unindexDigests(entry *keyEntry) {
	for _, version := range entry.record.GetVersions() {
		if digest := version.GetDigest(); len(digest) == len(keyformat.Digest{}) && h.digests[keyformat.Digest(digest)] == entry {
			delete(h.digests, keyformat.Digest(digest))
		}
	}
}
