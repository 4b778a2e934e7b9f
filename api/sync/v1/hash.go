// Package syncv1 is the synchronization protocol between the manager and validation servers:
// generated from sync.proto, with what both ends compute alike beside it.
package syncv1

import (
	"crypto/sha256"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// HashSize is the length of a content hash in bytes.
const HashSize = sha256.Size

// ContentHash identifies the state of one group with all its keys: the SHA-256 over the
// group and then its keys in the order of their ids. Both ends compute it, so a server
// that kept its snapshot over a reconnect is sent nothing that it has already. Ends built
// from different releases may encode a message differently and then disagree; the cost is
// one group sent again. The keys are sorted in place.
func ContentHash(group *Group, keys []*Key) []byte {
	slices.SortFunc(keys, func(a, b *Key) int { return strings.Compare(a.GetId(), b.GetId()) })

	hash := sha256.New()
	encode := proto.MarshalOptions{Deterministic: true}
	var buf []byte
	add := func(m proto.Message) {
		// Marshal fails only on invalid UTF-8, which the API server never stores.
		buf, _ = encode.MarshalAppend(buf[:0], m)
		var size [4]byte
		for i := range size {
			size[i] = byte(len(buf) >> (8 * i))
		}
		hash.Write(size[:])
		hash.Write(buf)
	}
	add(group)
	for _, key := range keys {
		add(key)
	}
	return hash.Sum(nil)
}
