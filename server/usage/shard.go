package usage

import (
	"sync"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/store/openhash"
)

// shard has a part of the keys with all that is recorded of them, so that requests seldom wait for each other. A request
// locks it for some 50 ns.
type shard struct {
	recorder *Recorder

	mu       sync.Mutex
	index    openhash.Table // of keys by their ids
	keys     slab[key]
	versions slab[version]
	monitors slab[monitor]
	calendar calendar
	origins  texts

	// What few keys have, by the numbers of keys, and few versions, by the numbers of versions.
	longIDs map[uint32]string
	before  map[uint32]past
	clients map[uint32]*clients
}

// use is what is recorded of requests with a key.
type use struct {
	id, group string
	digest    *keyformat.Digest // nil if the version is not known
	millis    int64
	requests  uint64
	origin    string // as it was written; "" if there is none
	client    uint64 // hashed
	hasClient bool
}

// note counts requests. It returns false if their origin was not seen before in this spelling, and has yet to be counted.
func (s *shard) note(hash uint64, u *use) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.find(hash, u.id)
	if number == 0 {
		number = s.add(hash, u.id, u.group)
	}
	s.count(number, u.requests, u.millis)
	k := s.keys.at(number)
	if u.digest != nil {
		v := s.version(k, u.digest)
		s.versions.at(v).used(u.millis)
		if u.hasClient {
			s.addClient(v, u.client)
		}
	}
	return u.origin == "" || s.countKnown(k, u.origin)
}

// find returns the number of the key with the id, 0 if there is none.
func (s *shard) find(hash uint64, id string) uint32 {
	found := s.index.Seek(hash)
	for number := found.Next(); number != 0; number = found.Next() {
		if s.isID(number, id) {
			return number
		}
	}
	return 0
}

func (s *shard) add(hash uint64, id, group string) uint32 {
	number := s.keys.take()
	s.keys.at(number).group = s.recorder.groups.refer(group)
	s.setID(number, id)
	s.index.Insert(hash, number)
	return number
}

// all iterates over the numbers of the keys. The key of the current number may be dropped.
func (s *shard) all(yield func(uint32) bool) {
	for number := range s.keys.records {
		if s.keys.records[number].group != 0 && !yield(uint32(number)) {
			return
		}
	}
}

// drop forgets a key.
func (s *shard) drop(number uint32) {
	k := s.keys.at(number)
	for k.versions != 0 {
		s.dropVersion(&k.versions)
	}
	s.dropOrigins(k)
	s.recorder.groups.release(k.group)
	_, hash := s.recorder.shard(s.id(number))
	s.index.Remove(hash, number)
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
		k := s.keys.at(number)
		for at := &k.versions; *at != 0; {
			v := s.versions.at(*at)
			if v.last >= instant {
				used = append(used, s.reportVersion(*at))
			}
			if v.last < forget {
				s.dropVersion(at)
			} else {
				at = &v.next
			}
		}
		if s.isForgotten(number, forget) {
			s.drop(number)
		}
	}
	return used
}
