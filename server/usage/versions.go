package usage

import (
	"slices"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
	"github.com/keyward-dev/keyward/internal/keyformat"
)

// maxClients is how many addresses of a version are counted.
const maxClients = 32

// version is the use of a version that is not the last use of its key. Most keys have one version, of which the key's own record has
// everything.
type version struct {
	digest keyformat.Digest
	last   int64  // when it was used, Unix milliseconds
	next   uint32 // version of the key, 0 is none
}

// versionName names a version of a key.
type versionName struct {
	key    uint32
	digest keyformat.Digest
}

// clients are the hashed addresses that a retiring version was used from.
type clients struct {
	hashes []uint64
	more   bool
}

// usedVersion records that a version of a key was used.
func (s *shard) usedVersion(number uint32, digest *keyformat.Digest, millis int64) {
	k := s.keys.at(number)
	last := k.last.millis()
	switch {
	case k.is(hasLatest) && k.digest == *digest:
		k.last.set(max(last, millis))
	case millis < last:
		s.usedEarlier(k, digest, millis)
	default:
		s.setAside(k)
		s.unsetAside(k, digest)
		k.digest = *digest
		k.set(hasLatest, true)
		k.last.set(millis)
	}
}

// usedKey records that a key was used, it is not known with which version.
func (s *shard) usedKey(number uint32, millis int64) {
	if k := s.keys.at(number); millis > k.last.millis() {
		s.setAside(k)
		k.last.set(millis)
	}
}

// usedEarlier records the use of a version that is not the last use of its key.
func (s *shard) usedEarlier(k *key, digest *keyformat.Digest, millis int64) {
	more := s.moreOf(k)
	for number := more.versions; number != 0; {
		v := s.versions.at(number)
		if v.digest == *digest {
			v.last = max(v.last, millis)
			return
		}
		number = v.next
	}
	number := s.versions.take()
	*s.versions.at(number) = version{digest: *digest, last: millis, next: more.versions}
	more.versions = number
}

// setAside makes the latest version of a key, if it has one, one of the others.
func (s *shard) setAside(k *key) {
	if k.is(hasLatest) {
		k.set(hasLatest, false)
		s.usedEarlier(k, &k.digest, k.last.millis())
	}
}

// unsetAside removes a version from the others.
func (s *shard) unsetAside(k *key, digest *keyformat.Digest) {
	if k.more == 0 {
		return
	}
	for at := &s.more.at(k.more).versions; *at != 0; {
		v := s.versions.at(*at)
		if v.digest == *digest {
			s.releaseVersion(at)
			s.releaseMore(k)
			return
		}
		at = &v.next
	}
}

func (s *shard) addClient(of versionName, hash uint64) {
	c := s.clients[of]
	if c == nil {
		if s.clients == nil {
			s.clients = map[versionName]*clients{}
		}
		c = &clients{}
		s.clients[of] = c
	}
	switch {
	case c.more, slices.Contains(c.hashes, hash):
	case len(c.hashes) == maxClients:
		c.more = true
	default:
		c.hashes = append(c.hashes, hash)
	}
}

// reportVersions appends the versions of a key that were used at the first instant or later, and forgets those that were last used before the
// second one.
func (s *shard) reportVersions(number uint32, used []*syncv1.VersionUse, instant, forget int64) []*syncv1.VersionUse {
	report := func(digest keyformat.Digest, last int64) (forgotten bool) {
		of := versionName{number, digest}
		if last >= instant {
			use := &syncv1.VersionUse{Digest: slices.Clone(digest[:]), LastMs: last}
			if c := s.clients[of]; c != nil {
				use.Clients, use.MoreClients = slices.Clone(c.hashes), c.more
			}
			used = append(used, use)
		}
		if last < forget {
			delete(s.clients, of)
		}
		return last < forget
	}
	k := s.keys.at(number)
	if k.is(hasLatest) && report(k.digest, k.last.millis()) {
		k.set(hasLatest, false)
	}
	if k.more == 0 {
		return used
	}
	for at := &s.more.at(k.more).versions; *at != 0; {
		if v := s.versions.at(*at); report(v.digest, v.last) {
			s.releaseVersion(at)
		} else {
			at = &v.next
		}
	}
	s.releaseMore(k)
	return used
}

// dropVersions forgets all versions of a key.
func (s *shard) dropVersions(number uint32) {
	k := s.keys.at(number)
	if k.is(hasLatest) {
		delete(s.clients, versionName{number, k.digest})
	}
	if k.more == 0 {
		return
	}
	for at := &s.more.at(k.more).versions; *at != 0; {
		delete(s.clients, versionName{number, s.versions.at(*at).digest})
		s.releaseVersion(at)
	}
	s.releaseMore(k)
}

// releaseVersion removes the version that the pointer refers to from its list.
func (s *shard) releaseVersion(at *uint32) {
	number := *at
	*at = s.versions.at(number).next
	s.versions.release(number)
}
