// Package usage remembers what let requests through, for the reports to the manager and for
// people: when each version of a key was last used, and, while its overlap with its successor
// is under way, from which client addresses; how often each key was used in a month; and from
// which origins most.
//
// All of it is in records without pointers, which refer to each other by their numbers: whatever
// the number of keys in use, the garbage collector has next to nothing to mark. A key in use
// takes about 140 bytes, and 24 more for each of its origins.
package usage

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

const (
	shardBits = 6
	// forgetAfter is how long the use of a version is remembered.
	forgetAfter = 24 * time.Hour
)

// Recorder is safe for concurrent use.
type Recorder struct {
	seed    maphash.Seed // whoever imports keys does not choose their places
	shards  [1 << shardBits]shard
	offset  atomic.Int64 // the manager's clock less ours, milliseconds
	origins atomic.Int64 // keys whose origins are told apart
	groups  groups
}

// New returns a recorder that remembers nothing.
func New() *Recorder {
	r := &Recorder{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].recorder = r
	}
	return r
}

// shard returns the one that has the key with the id, and the hash that it is found by.
func (r *Recorder) shard(id string) (*shard, uint64) {
	hash := maphash.String(r.seed, id)
	return &r.shards[hash>>(64-shardBits)], hash
}

// Used notes that a version of the key with the id let the request through. Of a version that is retiring,
// the client's address is told from others; it may be unknown.
func (r *Recorder) Used(keyID string, group *decision.Group, request *decision.Request, at time.Time, retiring bool, client netip.Addr) {
	u := use{id: keyID, group: group.Identity, digest: &request.Credential.Digest, millis: at.UnixMilli(), requests: 1, origin: request.Origin}
	if u.origin == "" && request.Referer != "" {
		u.origin = withoutPath(request.Referer)
	}
	if retiring && client.IsValid() {
		u.client, u.hasClient = hash(*u.digest, client), true
	}
	s, hash := r.shard(keyID)
	if !s.note(hash, &u) {
		s.noteOrigin(hash, keyID, u.origin)
	}
}

// Count notes requests that were let through elsewhere with the key, by its id and that
// of its group, namespace/name.
func (r *Recorder) Count(id, group string, requests uint64, at time.Time) {
	s, hash := r.shard(id)
	s.note(hash, &use{id: id, group: group, millis: at.UnixMilli(), requests: requests})
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
	return used
}

// Keys returns the counts that the manager has not persisted, as far as it was not told them
// on this stream already; at the beginning of a stream, which is whole, all of them.
func (r *Recorder) Keys(whole bool) []*syncv1.KeyUse {
	var uses []*syncv1.KeyUse
	for i := range r.shards {
		uses = r.shards[i].reportCounts(uses, whole)
	}
	return uses
}

// Recorded takes over what the manager has persisted, and what time it is there.
func (r *Recorder) Recorded(said *syncv1.Allowances, now time.Time) {
	r.offset.Store(said.GetNowMs() - now.UnixMilli())
	for _, use := range said.GetKeys() {
		if month, err := parseMonth(use.GetPeriod()); err == nil {
			s, hash := r.shard(use.GetKey())
			s.recorded(hash, use.GetKey(), month, use.GetRecorded())
		}
	}
}
