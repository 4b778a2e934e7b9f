// Package store holds what a validation server knows: groups compiled for decisions, and
// keys by the digests of their versions. It implements decision.Snapshot, applies the
// updates of the sync stream, and can keep a journal of them to start from.
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

// Config says how a store behaves. Its zero value keeps nothing and never gets stale.
type Config struct {
	// Dir is where the journal is kept; "" keeps none.
	Dir string
	// MaxStaleness is how long after the last contact with the manager the store is still
	// decided on, where DenyStale is set; 0 is for ever.
	MaxStaleness time.Duration
	DenyStale    bool
}

// Store is safe for concurrent use by any number of readers and one sync stream.
type Store struct {
	config  Config
	log     *slog.Logger
	metrics *metrics

	// writing serializes updates. Its holder reads without mu, and holds mu only to change
	// one record, so that decisions never wait for an update as a whole.
	writing sync.Mutex
	mu      sync.RWMutex
	groups  map[string]*groupRecord // by identity
	keys    *keytable.Table
	scopes  scopes
	origins origins           // groups by what they allow
	journal *journal          // nil where none is kept
	pass    uint32            // grows with each announcement of replaced groups
	renewed map[string]uint32 // replaced groups, and the pass that replaces them

	// These belong to the holder of writing, who uses their memory again and again.
	record   keyRecord
	versions []keytable.Version
	encoded  []byte

	secret      atomic.Pointer[keyformat.DigestSecret] // of the digests of imported keys; nil while there are none
	synced      atomic.Bool
	revision    atomic.Uint64
	lastContact atomic.Int64 // Unix milliseconds; 0 is never
}

// groupRecord is one group. Compiled is replaced, never changed.
type groupRecord struct {
	wire     *syncv1.Group
	compiled *decision.Group
	content  syncv1.Content
	keys     int
}

// Open returns a store with what its journal has kept, if there is one. A journal that
// cannot be trusted is set aside, and the store is empty. It fails if the directory cannot
// be written.
func Open(config Config, log *slog.Logger, registry prometheus.Registerer) (*Store, error) {
	s := &Store{
		config:  config,
		log:     log,
		groups:  map[string]*groupRecord{},
		keys:    keytable.New(),
		scopes:  newScopes(),
		origins: origins{},
		renewed: map[string]uint32{},
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

// Close ends the journal. The store can still be read.
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

// Recognize implements decision.Recognizer. A text that is not of Keyward's own form is known by its
// keyed digest. Without a secret there is no such key, or only what an earlier manager has sent, which is known
// by its plain digest.
func (s *Store) Recognize(credential *decision.Credential) {
	secret := s.secret.Load()
	if credential.Form != decision.Foreign || secret == nil {
		return
	}
	keyed := secret.Keyed(credential.Digest)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, _, known := s.keys.Find(&keyed); known {
		credential.Digest = keyed
	}
}

// Synced tells whether the store has been complete once, by its journal or its stream.
func (s *Store) Synced() bool { return s.synced.Load() }

// Revision returns the revision of the last update.
func (s *Store) Revision() uint64 { return s.revision.Load() }

// LastContact returns when the manager was last known to be there; the zero time is never.
func (s *Store) LastContact() time.Time {
	if millis := s.lastContact.Load(); millis != 0 {
		return time.UnixMilli(millis)
	}
	return time.Time{}
}

// Contact notes that the manager is there. The journal remembers it over a restart.
func (s *Store) Contact(now time.Time) {
	s.lastContact.Store(now.UnixMilli())
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.journal != nil {
		s.journal.touch(now)
	}
}

// HasGroup is whether the group with the identity namespace/name is known.
func (s *Store) HasGroup(identity string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.groups[identity] != nil
}

// HasKey is whether the key with the id is known.
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
