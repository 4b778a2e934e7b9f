package publish

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// A version is what a server stores and echoes of a group: the term of the leader that made it, the revision of the last change in
// the group, and the beginning of the hash of its content. Within the term, the revision says which keys have changed since. In another
// term only the content can be compared: then the server has the group as it is, or is sent the group.
const (
	termSize     = 6
	revisionSize = 6
	contentSize  = 20
	versionSize  = termSize + revisionSize + contentSize
)

const (
	// rememberedChanges is how many changes of a group are remembered, or one for each rememberedShare of its keys if that is
	// more.
	rememberedChanges, rememberedShare = 1024, 8
	// maxRemembered is how many changes are remembered of all groups together, at 24 bytes and the id of the key.
	maxRemembered = 1 << 18
)

// newTerm returns the beginning of all versions that one Hub makes.
func newTerm() (term [termSize]byte) {
	_, _ = rand.Read(term[:]) // never fails
	return term
}

// changeLog remembers what has changed in a group, in the order of the revisions. The Hub's lock guards it.
type changeLog struct {
	since   uint64 // everything that changed after this revision is in changes
	last    uint64 // the revision of the last change
	changes []logged
}

// logged is a change of a key, or of the group's record if the key is "".
type logged struct {
	revision uint64
	key      string
}

// remember remembers a change in a group. Until the Hub is open, no server has a version to compare with.
func (h *Hub) remember(entry *groupEntry, key string) {
	log := &entry.log
	log.last = h.revision
	if !h.isOpen() {
		log.since = h.revision
		return
	}
	if n := len(log.changes); n > 0 && log.changes[n-1].key == key {
		log.changes[n-1].revision = h.revision
		return
	}
	log.changes = append(log.changes, logged{h.revision, key})
	h.remembered++
	if len(log.changes) > max(rememberedChanges, len(entry.keys)/rememberedShare) {
		h.forgetChanges(entry, len(log.changes)/2)
	}
	if h.remembered <= maxRemembered {
		return
	}
	for _, other := range h.groups { // any of them, so that none is forgotten more often than others
		if h.forgetChanges(other, len(other.log.changes)); h.remembered <= maxRemembered {
			return
		}
	}
}

// forgetChanges forgets the n oldest changes of a group.
func (h *Hub) forgetChanges(entry *groupEntry, n int) {
	if n == 0 {
		return
	}
	log := &entry.log
	log.since = log.changes[n-1].revision
	log.changes = append([]logged(nil), log.changes[n:]...)
	h.remembered -= n
}

// version returns the version of a group as it is.
func (h *Hub) version(entry *groupEntry) []byte {
	var revision [8]byte
	binary.BigEndian.PutUint64(revision[:], entry.log.last)
	version := make([]byte, 0, versionSize)
	version = append(version, h.term[:]...)
	version = append(version, revision[len(revision)-revisionSize:]...)
	return append(version, entry.content.bytes()[:contentSize]...)
}

// versionOf returns the version of a group for an update.
func (h *Hub) versionOf(identity string) *syncv1.GroupVersion {
	return &syncv1.GroupVersion{Group: identity, Version: h.version(h.groups[identity])}
}

// changesSince returns what has changed in a group since a version, some of it maybe more than once; known is false if that cannot
// be said.
func (h *Hub) changesSince(entry *groupEntry, version []byte) (changes []logged, known bool) {
	if len(version) != versionSize {
		return nil, false
	}
	if bytes.Equal(version[termSize+revisionSize:], entry.content.bytes()[:contentSize]) {
		return nil, true
	}
	if !bytes.Equal(version[:termSize], h.term[:]) {
		return nil, false
	}
	var revision [8]byte
	copy(revision[len(revision)-revisionSize:], version[termSize:])
	after := binary.BigEndian.Uint64(revision[:])
	if after < entry.log.since || after > entry.log.last {
		return nil, false
	}
	changes = entry.log.changes
	for len(changes) > 0 && changes[0].revision <= after {
		changes = changes[1:]
	}
	return changes, true
}
