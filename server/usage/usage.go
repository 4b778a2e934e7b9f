// Package usage remembers which versions of keys have let requests through, for the reports
// to the manager: when each was last used, and, of a version whose overlap with its
// successor is under way, from which client addresses.
package usage

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyward-dev/keyward/api/keyformat"
	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

const (
	shards = 64
	// maxClients is how many addresses of a version are told apart.
	maxClients = 32
	// forgetAfter is how long the use of a version is remembered.
	forgetAfter = 24 * time.Hour
)

// Recorder is safe for concurrent use.
type Recorder struct {
	shards [shards]shard

	mu   sync.Mutex
	keys map[string]*atomic.Uint64 // how often each key was used in this life
}

// shard is a part of the versions, so that requests seldom wait for each other.
type shard struct {
	mu   sync.RWMutex
	uses map[keyformat.Digest]*use
}

type use struct {
	lastMillis atomic.Int64
	key        string
	requests   *atomic.Uint64 // of the key, with all its versions

	mu      sync.Mutex
	clients []uint64
	more    bool
}

// New returns a recorder that remembers nothing.
func New() *Recorder {
	r := &Recorder{keys: map[string]*atomic.Uint64{}}
	for i := range r.shards {
		r.shards[i].uses = map[keyformat.Digest]*use{}
	}
	return r
}

// Used notes that the version of the key with the id let a request through. Of a version that is retiring, the
// client's address is told from others; it may be unknown.
func (r *Recorder) Used(key string, digest keyformat.Digest, at time.Time, retiring bool, client netip.Addr) {
	u := r.of(key, digest)
	u.requests.Add(1)
	for now := at.UnixMilli(); ; {
		last := u.lastMillis.Load()
		if last >= now || u.lastMillis.CompareAndSwap(last, now) {
			break
		}
	}
	if retiring && client.IsValid() {
		u.add(hash(digest, client))
	}
}

func (r *Recorder) of(key string, digest keyformat.Digest) *use {
	s := &r.shards[digest[0]%shards]
	s.mu.RLock()
	u := s.uses[digest]
	s.mu.RUnlock()
	if u != nil {
		return u
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u = s.uses[digest]; u == nil {
		u = &use{key: key, requests: r.counter(key)}
		s.uses[digest] = u
	}
	return u
}

// counter is that of a key, which outlives its versions.
func (r *Recorder) counter(key string) *atomic.Uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	counter := r.keys[key]
	if counter == nil {
		counter = &atomic.Uint64{}
		r.keys[key] = counter
	}
	return counter
}

// Keys returns how often, in this life, the keys were used that were used at the instant or
// later.
func (r *Recorder) Keys(instant time.Time) []*syncv1.KeyUse {
	used := map[string]*atomic.Uint64{}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		for _, u := range s.uses {
			if u.lastMillis.Load() >= instant.UnixMilli() {
				used[u.key] = u.requests
			}
		}
		s.mu.RUnlock()
	}
	keys := make([]*syncv1.KeyUse, 0, len(used))
	for key, requests := range used {
		keys = append(keys, &syncv1.KeyUse{Key: key, Requests: requests.Load()})
	}
	return keys
}

func (u *use) add(client uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.more, slices.Contains(u.clients, client):
	case len(u.clients) == maxClients:
		u.more = true
	default:
		u.clients = append(u.clients, client)
	}
}

// hash is the same on every server, so that the manager can tell addresses apart that were
// seen on several. The digest in it keeps it from being looked up for another version.
func hash(digest keyformat.Digest, client netip.Addr) uint64 {
	address := client.Unmap().As16()
	sum := sha256.Sum256(append(digest[:], address[:]...))
	return binary.BigEndian.Uint64(sum[:8])
}

// Since returns the versions that were used at the instant or later, and forgets those that
// were not used for a day before now.
func (r *Recorder) Since(instant, now time.Time) []*syncv1.VersionUse {
	var used []*syncv1.VersionUse
	for i := range r.shards {
		used = r.shards[i].since(used, instant.UnixMilli(), now.Add(-forgetAfter).UnixMilli())
	}
	return used
}

func (s *shard) since(used []*syncv1.VersionUse, instant, forget int64) []*syncv1.VersionUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	for digest, u := range s.uses {
		last := u.lastMillis.Load()
		if last < forget {
			delete(s.uses, digest)
		}
		if last < instant {
			continue
		}
		u.mu.Lock()
		used = append(used, &syncv1.VersionUse{Digest: digest[:], LastMs: last, Clients: slices.Clone(u.clients), MoreClients: u.more})
		u.mu.Unlock()
	}
	return used
}
