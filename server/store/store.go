// Package store has what a validation server knows: groups compiled for decisions, and keys by the digests of their versions. It
// implements decision.Snapshot, applies the updates of the sync stream, and can keep a journal of them to start from.
package store

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
	"github.com/keyward-dev/keyward/server/store/keytable"
)

// Config configures a store. With its zero value nothing is persisted, and the store never becomes stale.
type Config struct {
	// Dir is the directory of the journal; "" is none.
	Dir string
	// MaxStaleness is how long after the last contact with the manager the store may still be used for decisions, if
	// DenyStale is set; 0 is for ever.
	MaxStaleness time.Duration
	DenyStale    bool
}

// Store is safe for concurrent use by any number of readers and one sync stream.
//
// Locks: writing is held for a whole update. Its holder is the only one that changes anything, so it reads without mu, and
// takes mu only to change one record: decisions, which hold mu for reading, never wait for a whole update. writing is taken
// before mu, never after. No function of a caller runs under mu.
//
// Invariants, whenever mu is free:
//   - Each key in keys has the number of a scope that is in scopes, and each scope points to the record of its group. While
//     a group is being deleted, its keys point to a record that is no longer in groups, until they are deleted as well.
//   - origins follows groups a few entries at a time. The entries of a compiled group are added when it is in groups
//     already, and those of the one that it replaces are removed last. So an origin that a group allows before and after a
//     change always finds it, maybe twice.
//   - claims follows groups in the same way: what a group claims with a change is in it before the change is in force, and what it no
//     longer claims leaves it afterwards. It has records, so that a request is compared with what is in force.
//   - What a decision gets out of the store (compiled groups, scopes, ids) never changes. Changes replace it.
//
// Whenever writing is free, a groupRecord with a version has all records that the manager has named so, keys of it is the number of
// its keys, and scope.keys is the number of keys with that scope, which is not 0. If an update was acknowledged, the
// journal has it, or there is no journal file that a restart would begin from.
//
// The atomics are set by the holder of writing, after what they announce is in force, except lastContact, which stands alone.
type Store struct {
	config  Config
	log     *slog.Logger
	metrics *metrics

	writing sync.Mutex
	mu      sync.RWMutex
	groups  map[string]*groupRecord // by identity
	keys    *keytable.Table
	scopes  scopes
	urls    urlSecrets        // guarded by mu
	origins origins           // groups by the origins that they allow
	claims  claims            // groups by what they claim; nil while none has public paths
	public  int               // how many have
	journal *journal          // nil if there is none
	pass    uint32            // grows with each announcement of replaced groups
	renewed map[string]uint32 // replaced groups, and the pass that replaces them
	pending map[string][]byte // their versions, once they are replaced

	rejected rejections

	// These are buffers of the holder of writing, which are reused.
	record  keyRecord
	encoded []byte

	secret      atomic.Pointer[keyformat.DigestSecret] // keys the digests of imported keys; nil while there are none
	synced      atomic.Bool
	opens       atomic.Bool // there are claims
	revision    atomic.Uint64
	lastContact atomic.Int64 // Unix milliseconds; 0 is never
}

// groupRecord is one group. compiled is replaced, never changed.
type groupRecord struct {
	wire     *syncv1.Group
	compiled *decision.Group
	version  []byte // as the manager names the group with its keys; nil if it has not named the group as it is
	keys     int    // how many the group has
}

// Open returns a store with the content of its journal, if there is one. If the journal cannot be trusted, it is renamed,
// and the store is empty. Open fails if the directory cannot be written.
func Open(config Config, log *slog.Logger, registry prometheus.Registerer) (*Store, error) {
	s := &Store{
		config:  config,
		log:     log,
		groups:  map[string]*groupRecord{},
		keys:    keytable.New(),
		scopes:  newScopes(),
		origins: origins{},
		renewed: map[string]uint32{}, pending: map[string][]byte{},
		rejected: newRejections(),
	}
	s.metrics = newMetrics(s, registry)
	if config.Dir == "" {
		return s, nil
	}
	if err := s.openJournal(); err != nil {
		return nil, fmt.Errorf("keep a snapshot in %s: %w", config.Dir, err)
	}
	return s, nil
}

// Close closes the journal. The store can still be read.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.journal == nil {
		return nil
	}
	journal := s.journal
	s.journal = nil
	return journal.close()
}

// Health implements decision.Snapshot.
func (s *Store) Health(now time.Time) decision.Health {
	switch {
	case !s.synced.Load():
		return decision.Unsynced
	case s.config.DenyStale && s.config.MaxStaleness > 0 && now.UnixMilli()-s.lastContact.Load() > s.config.MaxStaleness.Milliseconds():
		return decision.TooStale
	default:
		return decision.Synced
	}
}

// Find implements decision.Snapshot.
func (s *Store) Find(digest keyformat.Digest) (decision.Match, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	key, version, ok := s.keys.Find(&digest)
	if !ok {
		return decision.Match{}, false
	}
	of := s.scopes.numbered[key.Scope]
	return decision.Match{
		Version: version, Group: of.group.compiled,
		Key: decision.Key{ID: key.ID, Scope: &of.Scope, Suspended: key.Suspended, Rate: of.rate},
	}, true
}

// Recognize implements decision.Recognizer. A text that is not of Keyward's own form is known by its keyed digest, and so is a key
// that was imported by the hash of a text of either form. Without a secret there is no such key, or only keys that a manager
// of an earlier release has sent, which are known by their plain digests.
func (s *Store) Recognize(credential *decision.Credential) {
	secret := s.secret.Load()
	if secret == nil || credential.Form != decision.Foreign && credential.Form != decision.WellFormed {
		return
	}
	keyed := secret.Keyed(credential.Digest)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, _, known := s.keys.Find(&keyed); known {
		credential.Digest = keyed
	}
}

// Synced reports whether the store has been complete once, from its journal or its stream.
func (s *Store) Synced() bool { return s.synced.Load() }

// Revision returns the revision of the last update.
func (s *Store) Revision() uint64 { return s.revision.Load() }

// LastContact returns when the manager was last known to be connected; the zero time is never.
func (s *Store) LastContact() time.Time {
	if millis := s.lastContact.Load(); millis != 0 {
		return time.UnixMilli(millis)
	}
	return time.Time{}
}

// Contact records that the manager is connected. The journal keeps the time over a restart.
func (s *Store) Contact(now time.Time) {
	s.lastContact.Store(now.UnixMilli())
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.journal != nil {
		s.journal.touch(now)
	}
}

// HasGroup reports whether the group with the identity namespace/name is known.
func (s *Store) HasGroup(identity string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[identity] != nil
}

// HasKey reports whether the key with the id is known.
func (s *Store) HasKey(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.keys.Get(id)
	return ok
}

// GroupOf returns the identity of the group of a key, by its id.
func (s *Store) GroupOf(keyID string) (identity string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	key, ok := s.keys.Get(keyID)
	if !ok {
		return "", false
	}
	return s.scopes.numbered[key.Scope].group.compiled.Identity, true
}
