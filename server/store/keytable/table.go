// Package keytable keeps keys and their versions in memory without pointers: however many there are, the garbage collector
// has nothing to mark in it, and a key with one version takes about 100 bytes.
package keytable

import (
	"crypto/subtle"
	"hash/maphash"
	"iter"

	"github.com/keyward-dev/keyward/internal/keyformat"
	"github.com/keyward-dev/keyward/server/decision"
)

// Key is one key without its versions.
type Key struct {
	ID        string // 1 to MaxID bytes, unique
	Scope     uint32 // a number of the caller
	Pass      uint32 // a number of the caller
	Suspended bool
}

// Version is one minted credential of a key.
type Version struct {
	decision.Version

	Digest keyformat.Digest
	// URLSecret is not in the table: few versions have one.
	URLSecret string
}

// Table finds keys by their ids, and by the digests of their versions. It may be used by one writer or, while there is
// none, by any number of readers. What it returns never changes.
//
// Memory is not given back: the records of deleted keys are reused.
type Table struct {
	// Records have numbers from 1. A key has the number of its first version; further versions, which are few, are records
	// of their own.
	chunks []*chunk
	texts  []*text
	blank  []chunk // allocated, and not yet among the chunks
	free   uint32  // the first free record, 0 if there is none
	taken  uint32  // the highest number that was ever taken

	// Hashes are seeded, so that users who import keys cannot choose where they are stored.
	seed    maphash.Seed
	ids     index
	digests index
}

// New returns an empty table.
func New() *Table { return &Table{seed: maphash.MakeSeed()} }

// Len returns how many keys there are, and how many digests of versions.
func (t *Table) Len() (keys, versions int) { return t.ids.len, t.digests.len }

func (t *Table) at(number uint32) *record {
	return &t.chunks[number/chunkRecords][number%chunkRecords]
}

func (t *Table) text(number uint32) *text { return t.texts[number/chunkRecords] }

func (t *Table) key(number uint32) Key {
	r := t.at(number)
	return Key{ID: t.text(number).of(r), Scope: r.scope, Pass: r.pass, Suspended: r.flags.has(isSuspended)}
}

// Find returns the key that has a version with the digest, and that version. If two keys have the digest, it is the key
// that was put last.
func (t *Table) Find(digest *keyformat.Digest) (Key, decision.Version, bool) {
	number := t.numberOf(digest)
	if number == 0 {
		return Key{}, decision.Version{}, false
	}
	r := t.at(number)
	if !r.flags.has(isKey) {
		number = r.scope
	}
	return t.key(number), r.version(), true
}

// numberOf returns the number of the version with the digest, or 0. The time that it takes reveals nothing about how much
// of a digest is right.
func (t *Table) numberOf(digest *keyformat.Digest) uint32 {
	found := t.digests.seek(t.hash(digest))
	for number := found.Next(); number != 0; number = found.Next() {
		if subtle.ConstantTimeCompare(t.at(number).digest[:], digest[:]) == 1 {
			return number
		}
	}
	return 0
}

func (t *Table) hash(digest *keyformat.Digest) uint64 { return maphash.Bytes(t.seed, digest[:]) }

// Get returns the key with the id.
func (t *Table) Get(id string) (Key, bool) {
	number := t.numberOfID(id)
	if number == 0 {
		return Key{}, false
	}
	return t.key(number), true
}

func (t *Table) numberOfID(id string) uint32 {
	found := t.ids.seek(maphash.String(t.seed, id))
	for number := found.Next(); number != 0; number = found.Next() {
		if t.text(number).of(t.at(number)) == id {
			return number
		}
	}
	return 0
}

// Versions appends the versions of the key with the id, in the order in which they were put.
func (t *Table) Versions(versions []Version, id string) []Version {
	if number := t.numberOfID(id); number != 0 {
		return t.versions(versions, number)
	}
	return versions
}

func (t *Table) versions(versions []Version, number uint32) []Version {
	for ; number != 0; number = t.at(number).next {
		if r := t.at(number); r.flags.has(isVersion) {
			versions = append(versions, Version{Version: r.version(), Digest: r.digest})
		}
	}
	return versions
}

// Put adds a key, or replaces the one with its id and all its versions. The id may be part of a larger string; the table
// keeps a copy.
func (t *Table) Put(key Key, versions []Version) {
	number := t.numberOfID(key.ID)
	if number != 0 {
		t.dropVersions(number)
	} else {
		number = t.take()
		t.text(number).add(t.chunks[number/chunkRecords], t.at(number), key.ID)
		t.ids.insert(maphash.String(t.seed, key.ID), number)
	}
	r := t.at(number)
	r.flags, r.scope, r.pass, r.next = isKey|when(key.Suspended, isSuspended), key.Scope, key.Pass, 0
	// In reverse order, so that the first of two versions with the same digest is found.
	for i := len(versions) - 1; i >= 0; i-- {
		at := number
		if i > 0 {
			at = t.take()
			further := t.at(at)
			further.scope, further.next = number, r.next
			r.next = at
		}
		t.at(at).setVersion(&versions[i])
		t.point(&versions[i].Digest, at)
	}
}

// point makes the digest find a version.
func (t *Table) point(digest *keyformat.Digest, number uint32) {
	hash := t.hash(digest)
	found := t.digests.seek(hash)
	for other := found.Next(); other != 0; other = found.Next() {
		if t.at(other).digest == *digest {
			found.Replace(number)
			return
		}
	}
	t.digests.insert(hash, number)
}

// Delete removes the key with the id and its versions.
func (t *Table) Delete(id string) {
	number := t.numberOfID(id)
	if number == 0 {
		return
	}
	t.dropVersions(number)
	t.ids.remove(maphash.String(t.seed, id), number)
	t.text(number).remove(t.at(number))
	t.release(number)
}

// dropVersions removes all versions of a key.
func (t *Table) dropVersions(number uint32) {
	r := t.at(number)
	if r.flags.has(isVersion) {
		t.digests.remove(t.hash(&r.digest), number)
	}
	for further := r.next; further != 0; {
		next := t.at(further).next
		t.digests.remove(t.hash(&t.at(further).digest), further)
		t.release(further)
		further = next
	}
	r.next = 0
}

// take returns the number of a free record.
func (t *Table) take() uint32 {
	if number := t.free; number != 0 {
		t.free = t.at(number).next
		return number
	}
	t.taken++
	if int(t.taken/chunkRecords) == len(t.chunks) {
		t.grow()
	}
	return t.taken
}

// maxBlock is how many chunks are allocated at once at most, 1 MB.
const maxBlock = 16

// grow adds a chunk. The more chunks there are, the more are allocated at once, because they are one object for the garbage
// collector.
func (t *Table) grow() {
	if len(t.blank) == 0 {
		t.blank = make([]chunk, min(maxBlock, 1+len(t.chunks)/maxBlock))
	}
	t.chunks, t.texts = append(t.chunks, &t.blank[0]), append(t.texts, &text{})
	t.blank = t.blank[1:]
}

func (t *Table) release(number uint32) {
	*t.at(number) = record{next: t.free}
	t.free = number
}

// All iterates over all keys with their versions, which are valid until the next key. The current key may be deleted
// meanwhile, and nothing else may be changed.
func (t *Table) All() iter.Seq2[Key, []Version] {
	return func(yield func(Key, []Version) bool) {
		var versions []Version
		for number := uint32(1); number <= t.taken; number++ {
			if !t.at(number).flags.has(isKey) {
				continue
			}
			versions = t.versions(versions[:0], number)
			if !yield(t.key(number), versions) {
				return
			}
		}
	}
}
