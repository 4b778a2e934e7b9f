package usage

import (
	"sync"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// shard has a part of the keys with all that is recorded of them, so that requests seldom wait for each other. A request
// locks it for some 50 ns.
type shard struct {
	recorder *Recorder

	mu       sync.Mutex
	index    index // of keys by their ids
	keys     slab[key]
	more     slab[more]
	versions slab[version]
	monitors slab[monitor]
	calendar calendar
	origins  texts

	// What very few keys have, by the numbers of keys, and very few versions.
	longIDs map[uint32]string
	before  map[uint32]past
	clients map[versionName]*clients
}

// use is what is recorded of requests with a key.
type use struct {
	group     string
	digest    *keyformat.Digest // nil if the version is not known
	millis    int64
	requests  uint64
	origin    string // as it was written; "" if there is none
	client    uint64 // hashed
	hasClient bool
}

// note counts requests. It returns false if their origin was not seen before in this spelling, and has yet to be counted.
func (s *shard) note(of *name, u *use) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.find(of)
	if number == 0 {
		number = s.add(of, u.group)
	}
	s.count(number, u.requests, u.millis)
	if u.digest == nil {
		s.usedKey(number, u.millis)
	} else {
		s.usedVersion(number, u.digest, u.millis)
		if u.hasClient {
			s.addClient(versionName{number, *u.digest}, u.client)
		}
	}
	return u.origin == "" || s.countKnown(s.keys.at(number), u.origin)
}

// find returns the number of the key with the id, 0 if there is none.
func (s *shard) find(of *name) uint32 {
	return s.index.find(of.hash, func(number uint32) bool { return s.isID(number, of) })
}

func (s *shard) add(of *name, group string) uint32 {
	number := s.keys.take()
	s.keys.at(number).group = s.recorder.groups.refer(group)
	s.setID(number, of)
	s.index.insert(of.hash, number, s.hashOf)
	return number
}

// all iterates over the numbers of the keys. The key of the current number may be dropped.
func (s *shard) all(yield func(uint32) bool) {
	for number := range s.keys.numbers() {
		if number != 0 && s.keys.at(number).group != 0 && !yield(number) {
			return
		}
	}
}

// drop forgets a key.
func (s *shard) drop(number uint32) {
	k := s.keys.at(number)
	s.dropVersions(number)
	s.dropOrigins(k)
	s.recorder.groups.release(k.group)
	s.index.remove(s.hashOf(number), number, s.hashOf)
	delete(s.before, number)
	delete(s.longIDs, number)
	s.keys.release(number)
}

// since appends the versions that were used at the first instant or later. It forgets versions, and keys, that were last
// used before the second one. Both are in Unix milliseconds.
func (s *shard) since(used []*syncv1.VersionUse, instant, forget int64) []*syncv1.VersionUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := range s.all {
		used = s.reportVersions(number, used, instant, forget)
		if s.isForgotten(number, forget) {
			s.drop(number)
		}
	}
	return used
}
