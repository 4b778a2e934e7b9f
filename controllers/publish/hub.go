package publish

import (
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// Kind tells the two kinds of records apart.
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
	// Settle is how long after Open nothing counts as enforced, so that servers that were
	// connected to an earlier leader can be back. It must exceed a server's longest pause
	// between two attempts to connect, which is 2 s.
	StartupGrace time.Duration
	// Grace is how long a server whose connection was lost is waited for.
	Grace time.Duration
	// Patience is how long a server may take to acknowledge an update. A change waits for Patience
	// and Grace from its own publication, and no longer, whoever comes, goes or keeps silent
	// meanwhile; 0 lets it wait as long as there is somebody to wait for.
	Patience time.Duration
}

// Hub holds the published records, the subscriptions of validation servers, and how far
// each of them is.
type Hub struct {
	clock   clock.WithDelayedExecution
	options Options

	mu            sync.Mutex
	revision      uint64
	groups        map[string]*groupEntry
	keys          map[string]*keyEntry
	digests       map[keyformat.Digest]*keyEntry // keys by their versions
	limited       map[string]*groupEntry         // in which something has a rate limit
	subs          map[*Subscription]struct{}
	open          chan struct{}
	startupOver   bool
	startupOverAt time.Time // when it settled
	tracking      tracking
	withheld      withheld
	notify        func(Subject)
}

type groupEntry struct {
	record   *syncv1.Group
	revision uint64
	keys     map[string]struct{}
	content  syncv1.Content
	// servers is how many share its rate limits, and limited how many there are of those: its
	// own and those of its keys.
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

// NewHub makes an empty Hub that is not open yet.
func NewHub(clk clock.WithDelayedExecution, options Options) *Hub {
	return &Hub{
		clock:    clk,
		options:  options,
		revision: 1, // so that also an empty Hub has something to acknowledge
		groups:   map[string]*groupEntry{},
		keys:     map[string]*keyEntry{},
		digests:  map[keyformat.Digest]*keyEntry{},
		limited:  map[string]*groupEntry{},
		subs:     map[*Subscription]struct{}{},
		open:     make(chan struct{}),
		tracking: newTracking(),
		withheld: withheld{},
		notify:   func(Subject) {},
	}
}

// OnEnforced has the function called for every record whose latest change has come into
// force on all servers. It is called with the Hub locked and must not block or call back.
func (h *Hub) OnEnforced(notify func(Subject)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	previous := h.notify
	h.notify = func(subject Subject) { previous(subject); notify(subject) }
}

// Open declares the records complete: from now on servers may subscribe.
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
		clear(sub.reportedServers) // what was told so far may have been passed over
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

// PutGroup publishes a group's record, which must not be changed afterwards. One that is too large is withheld: servers are
// sent a record that refuses the group's keys.
func (h *Hub) PutGroup(record *syncv1.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	record, tooLarge := withinBounds(record)
	h.withheld.note(groupSubject(record), tooLarge)
	identity := record.Identity()
	entry := h.groups[identity]
	if entry == nil {
		entry = &groupEntry{keys: map[string]struct{}{}, servers: h.countPeers(identity)}
		h.groups[identity] = entry
	} else if proto.Equal(entry.record, record) {
		return
	} else {
		entry.content.Remove(syncv1.HashGroup(entry.record))
	}
	h.revision++
	h.rateLimitChanged(identity, entry, entry.record.GetLimits().GetRate() != nil, record.GetLimits().GetRate() != nil)
	entry.record, entry.revision = record, h.revision
	entry.content.Add(syncv1.HashGroup(record))
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
	if h.limited[identity] != nil {
		delete(h.limited, identity)
		h.peersChanged()
	}
	h.changed(groupSubject(entry.record))
}

// PutKey publishes the record of the key that is made from the object. The record must not
// be changed afterwards. Without its group it is not published, and neither is one that is too large.
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
	group.content.Add(syncv1.HashKey(record))
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
	}
	h.changed(entry.subject())
}

// leaveGroup takes a key's record out of its group.
func (h *Hub) removeFromGroup(record *syncv1.Key) {
	if group := h.groups[record.GetGroup()]; group != nil {
		delete(group.keys, record.GetId())
		group.content.Remove(syncv1.HashKey(record))
	}
}

// changed tells the subscriptions of the group, and follows the change until it is in force.
func (h *Hub) changed(subject Subject) {
	for sub := range h.subs {
		sub.changed(subject.Ref, subject.Group)
	}
	if h.isOpen() {
		h.track(subject, h.revision, h.clock.Now(), h.deadline())
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

// learn notes the digests of a key, and unlearn forgets them.
func (h *Hub) indexDigests(entry *keyEntry) {
	for _, version := range entry.record.GetVersions() {
		if digest := version.GetDigest(); len(digest) == len(keyformat.Digest{}) {
			h.digests[keyformat.Digest(digest)] = entry
		}
	}
}

func (h *Hub) unindexDigests(entry *keyEntry) {
	for _, version := range entry.record.GetVersions() {
		if digest := version.GetDigest(); len(digest) == len(keyformat.Digest{}) && h.digests[keyformat.Digest(digest)] == entry {
			delete(h.digests, keyformat.Digest(digest))
		}
	}
}
