package publish

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// content identifies the state of one group with all its keys: the sum, modulo 2^256, of the hashes of their records. It is kept
// current at the cost of one record per change, and is a part of versions, by which a new leader recognizes the groups that a server
// has already. Managers of different releases may encode a record differently and then disagree; the cost is one group that is sent
// again.
//
// A sum is weaker than a hash over everything: an attacker who chose very many records freely might find two sets of them with
// the same sum (Wagner, A Generalized Birthday Problem, 2002). The manager makes the records, and no tenant has so many.
//
// The zero content has no records.
type content struct{ words [sha256.Size / 8]uint64 }

// recordHash is the SHA-256 of a byte for the kind of a record, followed by the record in its deterministic encoding.
type recordHash [sha256.Size]byte

const (
	groupTag byte = 'G'
	keyTag   byte = 'K'
)

func hashGroup(group *syncv1.Group) recordHash { return hashRecord(groupTag, group) }

func hashKey(key *syncv1.Key) recordHash { return hashRecord(keyTag, key) }

func hashRecord(tag byte, record proto.Message) recordHash {
	// Marshal fails only on invalid UTF-8, which the API server never stores.
	encoded, _ := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{tag}, record)
	return sha256.Sum256(encoded)
}

// add adds a record.
func (c *content) add(hash recordHash) {
	var carry uint64
	for i := range c.words {
		c.words[i], carry = bits.Add64(c.words[i], binary.LittleEndian.Uint64(hash[8*i:]), carry)
	}
}

// remove undoes an add of the same record.
func (c *content) remove(hash recordHash) {
	var borrow uint64
	for i := range c.words {
		c.words[i], borrow = bits.Sub64(c.words[i], binary.LittleEndian.Uint64(hash[8*i:]), borrow)
	}
}

func (c *content) bytes() []byte {
	sum := make([]byte, 0, sha256.Size)
	for _, word := range c.words {
		sum = binary.LittleEndian.AppendUint64(sum, word)
	}
	return sum
}
