// Package syncv1 is the synchronization protocol between the manager and validation servers: code generated from sync.proto,
// and the content hashes that both ends compute.
package syncv1

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"google.golang.org/protobuf/proto"
)

// HashSize is the length of a content hash in bytes.
const HashSize = sha256.Size

// Content identifies the state of one group with all its keys: the sum, modulo 2^256, of the hashes of their records. Both
// ends keep it current, at the cost of one record per change, so that a server that kept its snapshot over a reconnect is sent
// nothing that it has already. Ends built from different releases may encode a message differently and then disagree; the cost
// is one group that is sent again.
//
// A sum is weaker than a hash over everything: an attacker who chose very many records freely might find two sets of them with
// the same sum (Wagner, A Generalized Birthday Problem, 2002). The manager makes the records, and validation servers trust it
// anyway.
//
// The zero Content has no records.
type Content struct{ words [HashSize / 8]uint64 }

// RecordHash is the SHA-256 of a byte for the kind of a record, followed by the record in its deterministic encoding.
type RecordHash [HashSize]byte

const (
	groupTag byte = 'G'
	keyTag   byte = 'K'
)

// HashGroup returns the hash of the record of a group.
func HashGroup(group *Group) RecordHash { return hashRecord(groupTag, group) }

// HashKey returns the hash of the record of a key.
func HashKey(key *Key) RecordHash { return hashRecord(keyTag, key) }

// HashEncodedKey returns the HashKey of the key with this deterministic encoding.
func HashEncodedKey(encoded []byte) RecordHash {
	var onStack [256]byte
	return sha256.Sum256(append(append(onStack[:0], keyTag), encoded...))
}

func hashRecord(tag byte, record proto.Message) RecordHash {
	// Marshal fails only on invalid UTF-8, which the API server never stores.
	encoded, _ := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{tag}, record)
	return sha256.Sum256(encoded)
}

// Add adds a record.
func (c *Content) Add(hash RecordHash) {
	var carry uint64
	for i := range c.words {
		c.words[i], carry = bits.Add64(c.words[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
	}
}

// Remove undoes an Add of the same record.
func (c *Content) Remove(hash RecordHash) {
	var borrow uint64
	for i := range c.words {
		c.words[i], borrow = bits.Sub64(c.words[i], binary.LittleEndian.Uint64(hash[8*i:]), borrow)
	}
}

// Bytes returns the content hash as it is sent.
func (c *Content) Bytes() []byte {
	sum := make([]byte, 0, HashSize)
	for _, word := range c.words {
		sum = binary.LittleEndian.AppendUint64(sum, word)
	}
	return sum
}

// ContentHash returns the content hash of a group with these keys, in any order.
func ContentHash(group *Group, keys []*Key) []byte {
	var content Content
	content.Add(HashGroup(group))
	for _, key := range keys {
		content.Add(HashKey(key))
	}
	return content.Bytes()
}
