// Package usage remembers what let requests through, for the reports to the manager and for
// people: when each version of a key was last used, and, while its overlap with its successor
// is under way, from which client addresses; how often each key was used in a month; and from
// which origins most.
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
	"github.com/keyward-dev/keyward/server/decision"
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
	offset atomic.Int64 // the manager's clock less ours, milliseconds

	mu      sync.Mutex
	keys    map[string]*key // by id
	origins int             // keys whose origins are told apart
}

// shard is a part of the versions, so that requests seldom wait for each other.
type shard struct {
	mu   sync.RWMutex
	uses map[keyformat.Digest]*use
}

type use struct {
	lastMillis atomic.Int64
	key        *key

	mu      sync.Mutex
	clients []uint64
	more    bool
}

// New returns a recorder that remembers nothing.
func New() *Recorder {
	r := &Recorder{keys: map[string]*key{}}
	for i := range r.shards {
		r.shards[i].uses = map[keyformat.Digest]*use{}
	}
	return r
}

// Used notes that a version of the key with the id let the request through. Of a version that is retiring,
// the client's address is told from others; it may be unknown.
func (r *Recorder) Used(keyID string, group *decision.Group, request *decision.Request, at time.Time, retiring bool, client netip.Addr) {
	digest := request.Credential.Digest
	u := r.of(keyID, group, digest)
	millis := at.UnixMilli()
	u.key.used(1, millis, r.offset.Load())
	advance(&u.lastMillis, millis)
	if from, referer := request.Origin, false; from != "" || request.Referer != "" {
		if from == "" {
			from, referer = request.Referer, true
		}
		r.from(u.key, from, referer)
	}
	if retiring && client.IsValid() {
		u.add(hash(digest, client))
	}
}

// advance lets an instant move on.
func advance(last *atomic.Int64, millis int64) {
	for {
		was := last.Load()
		if was >= millis || last.CompareAndSwap(was, millis) {
			return
		}
	}
}

func (r *Recorder) of(keyID string, group *decision.Group, digest keyformat.Digest) *use {
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
		u = &use{key: r.key(keyID, group.Identity)}
		s.uses[digest] = u
	}
	return u
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

// Since returns the versions that were used at the instant or later, and forgets what was not
// used for a day before now.
func (r *Recorder) Since(instant, now time.Time) []*syncv1.VersionUse {
	var used []*syncv1.VersionUse
	forget := now.Add(-forgetAfter).UnixMilli()
	for i := range r.shards {
		used = r.shards[i].since(used, instant.UnixMilli(), forget)
	}
	r.forget(forget)
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
