// Package usage records the use of keys, for reports to the manager and for people: when each version of a key was last
// used and, during its overlap with its successor, from which client addresses; how often each key was used in a month; and
// from which origins most.
//
// All of it is in records without pointers, which refer to each other by number: however many keys are in use, the garbage
// collector has almost nothing to mark. A key in use takes about 80 bytes; 56 more for each further version, and 32 for each of its origins.
//
// The records of a shard refer to each other like this; a number of 0 is none, and records of the same kind form lists by
// their next:
//
//	index ──▶ key ──more──▶ more ──versions──▶ version ──next──▶ version …
//	           │              └──origins───▶ monitor ──next──▶ monitor …   each monitor has the number of a text in origins
//	           │──group──▶ a text in Recorder.groups                       which all shards share
//	           └ before[key], longIDs[key], clients[key, digest]           what very few keys have
//
// The record of a key has its version that was used last, which is often the only one.
package usage

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"iter"
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
//
// Locks: a shard's mu guards all of the shard. The mu of groups may be taken under it, and nothing else: two shards are
// never locked at once. So a report over all shards is not of one instant, but each key in it is.
//
// Invariants: origins is the number of keys that have monitors, plus those that are being given their first; a key is given
// one only if that leaves origins at most maxOrigins. A text of groups has as many references as keys have its number.
// offset is a hint: with a stale value, a request near the end of a month counts in the wrong one of two months.
type Recorder struct {
	seed     maphash.Seed // unknown to users who import keys, so that they cannot choose where keys are stored
	shards   [1 << shardBits]shard
	offset   atomic.Int64 // the manager's clock minus ours, in milliseconds
	origins  atomic.Int64 // keys whose origins are counted
	groups   groups
	outcomes outcomes
	refused  refusedKeys
}

// New returns a recorder in which nothing is recorded.
func New() *Recorder {
	r := &Recorder{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].recorder = r
	}
	return r
}

// Used records an allowed request with a version of the key with the id. If the version is retiring, the client's address,
// which may be unknown, is counted as well.
func (r *Recorder) Used(keyID string, group *decision.Group, request *decision.Request, at time.Time, retiring bool, client netip.Addr) {
	u := use{group: group.Identity, digest: &request.Credential.Digest, millis: at.UnixMilli(), requests: 1, origin: request.Origin}
	if u.origin == "" && request.Referer != "" {
		u.origin = withoutPath(request.Referer)
	}
	if retiring && client.IsValid() {
		u.client, u.hasClient = hash(*u.digest, client), true
	}
	s, of := r.shard(keyID)
	if !s.note(&of, &u) {
		s.noteOrigin(&of, u.origin)
	}
}

// Count records requests that were allowed elsewhere with the key with the id, of the group namespace/name.
func (r *Recorder) Count(id, group string, requests uint64, at time.Time) {
	s, of := r.shard(id)
	s.note(&of, &use{group: group, millis: at.UnixMilli(), requests: requests})
}

// hash is the same on every server, so that the manager can recognize an address that several servers have seen. The digest in
// it means that a table of hashes that was made for one version does not reveal the addresses of another.
func hash(digest keyformat.Digest, client netip.Addr) uint64 {
	address := client.Unmap().As16()
	sum := sha256.Sum256(append(digest[:], address[:]...))
	return binary.BigEndian.Uint64(sum[:8])
}

// Since returns the versions that were used at the instant or later, and forgets those that were not used for a day before now. Both is done
// while the sequence is iterated, for one shard after the other, so that reports of many keys take little memory.
func (r *Recorder) Since(instant, now time.Time) iter.Seq[*syncv1.VersionUse] {
	forget := now.Add(-forgetAfter).UnixMilli()
	return byShard(r, func(s *shard, used []*syncv1.VersionUse) []*syncv1.VersionUse {
		return s.since(used, instant.UnixMilli(), forget)
	})
}

// Keys returns the counts that the manager has not persisted and that were not reported on this stream already. At the
// beginning of a stream, which is whole, it returns all that are not persisted. It takes the counts of one shard after the other, while the
// sequence is iterated: if that ends early, a stream has to begin again.
func (r *Recorder) Keys(whole bool) iter.Seq[*syncv1.KeyUse] {
	return byShard(r, func(s *shard, uses []*syncv1.KeyUse) []*syncv1.KeyUse { return s.reportCounts(uses, whole) })
}

// byShard returns what a function appends for each shard. The shard is not locked while that is used.
func byShard[T any](r *Recorder, of func(s *shard, empty []T) []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		var buffer []T
		for i := range r.shards {
			buffer = of(&r.shards[i], buffer[:0])
			for _, one := range buffer {
				if !yield(one) {
					return
				}
			}
			clear(buffer)
		}
	}
}

// Recorded applies what the manager has persisted, and the manager's clock.
func (r *Recorder) Recorded(persisted *syncv1.KeysRecorded, now time.Time) {
	r.offset.Store(persisted.GetNowMs() - now.UnixMilli())
	for _, use := range persisted.GetKeys() {
		if month, err := parseMonth(use.GetPeriod()); err == nil {
			s, of := r.shard(use.GetKey())
			s.recorded(&of, month, use.GetRecorded())
		}
	}
}
