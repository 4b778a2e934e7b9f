package usage

import (
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// maxClients is how many addresses of a version are counted.
const maxClients = 32

// version is the use of one version of a key.
type version struct {
	digest keyformat.Digest
	last   int64  // when it was used, Unix milliseconds
	next   uint32 // version of the key, 0 is none
}

// clients are the hashed addresses that a retiring version was used from.
type clients struct {
	hashes []uint64
	more   bool
}

// version returns the number of the version of a key with the digest, and adds it if it is new.
func (s *shard) version(k *key, digest *keyformat.Digest) uint32 {
	for number := k.versions; number != 0; {
		v := s.versions.at(number)
		if v.digest == *digest {
			return number
		}
		number = v.next
	}
	number := s.versions.take()
	*s.versions.at(number) = version{digest: *digest, next: k.versions}
	k.versions = number
	return number
}

func (v *version) used(millis int64) { v.last = max(v.last, millis) }

func (s *shard) addClient(number uint32, hash uint64) {
	c := s.clients[number]
	if c == nil {
		if s.clients == nil {
			s.clients = map[uint32]*clients{}
		}
		c = &clients{}
		s.clients[number] = c
	}
	switch {
	case c.more, slices.Contains(c.hashes, hash):
	case len(c.hashes) == maxClients:
		c.more = true
	default:
		c.hashes = append(c.hashes, hash)
	}
}

func (s *shard) reportVersion(number uint32) *syncv1.VersionUse {
	v := s.versions.at(number)
	reported := &syncv1.VersionUse{Digest: slices.Clone(v.digest[:]), LastMs: v.last}
	if c := s.clients[number]; c != nil {
		reported.Clients, reported.MoreClients = slices.Clone(c.hashes), c.more
	}
	return reported
}

// dropVersion removes the version that the pointer refers to from its list.
func (s *shard) dropVersion(at *uint32) {
	number := *at
	*at = s.versions.at(number).next
	delete(s.clients, number)
	s.versions.release(number)
}
